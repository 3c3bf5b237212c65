/** `key`: key files, who opens a sealed repository, and with which key new files are sealed. */
import { Argument, type Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { KeysReport } from '../../sessions/keys/repositoryKeys.ts';
import { collect, type CommonFlags, repoOption, withCommonFlags } from '../flags/commonFlags.ts';
import { CommandContext } from '../context.ts';
import { formatKeys, formatNewKeyFile } from '../output/listOutput.ts';
import { type StoreFlags, storeOf, withLockFlags } from '../flags/storeFlags.ts';

const ACTIONS = ['new', 'list', 'add', 'remove', 'rotate'] as const;
type Action = (typeof ACTIONS)[number];

interface KeyFlags extends CommonFlags, StoreFlags {
  readonly repo?: string;
  readonly newKeyFile?: string;
  readonly recipient?: readonly string[];
  readonly slot?: string;
}

/** Options that only some actions take. */
const TAKEN_BY: Readonly<Record<string, readonly Action[]>> = {
  '--new-key-file': ['add', 'rotate'],
  '--recipient': ['add'],
  '--slot': ['remove'],
};

function checkUsage(action: Action, { newKeyFile, recipient, slot }: KeyFlags): void {
  const given = { '--new-key-file': newKeyFile, '--recipient': recipient, '--slot': slot };
  for (const [option, value] of Object.entries(given)) {
    const actions = TAKEN_BY[option] ?? [];
    if (value === undefined || actions.includes(action)) continue;
    throw new UsageError('USAGE_INVALID_OPTION', `${option}: "key ${action}" does not take it`, {
      hint: `it is for: ${actions.map((name) => `key ${name}`).join(', ')}`,
    });
  }
  if (action !== 'remove' || slot !== undefined) return;
  throw new UsageError('USAGE_INVALID_OPTION', 'key remove: no --slot was given', {
    hint: '"ovirt-cbt key list" shows the slots',
  });
}

async function change(
  action: Exclude<Action, 'new'>,
  flags: KeyFlags,
  context: CommandContext,
): Promise<KeysReport> {
  checkUsage(action, flags);
  const { newKeyFile, recipient: recipients, slot = '', repo } = flags;
  if (repo === undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', `key ${action}: no --repo was given`, {
      hint: 'name the repository by --repo or OVIRT_REPO',
    });
  }
  const common = { repository: repo, store: storeOf(flags, context) };
  const keys = await import('../../sessions/keys/repositoryKeys.ts');
  switch (action) {
    case 'list':
      return await keys.listKeys(common);
    case 'add':
      return await keys.addKey({ ...common, newKeyFile, recipients });
    case 'remove':
      return await keys.removeKey({ ...common, slot });
    case 'rotate':
      return await keys.rotateKey({ ...common, newKeyFile });
  }
}

async function makeKeyFile(
  file: string | undefined,
  flags: KeyFlags,
  context: CommandContext,
): Promise<void> {
  checkUsage('new', flags);
  if (file === undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', 'key new: no file was given', {
      hint: 'name the file to make: ovirt-cbt key new FILE',
    });
  }
  const { newKeyFile } = await import('../../sessions/keys/newKeyFile.ts');
  const report = await newKeyFile(file);
  context.print(report, formatNewKeyFile(report));
}

async function work(
  action: Action,
  file: string | undefined,
  flags: KeyFlags,
  context: CommandContext,
): Promise<void> {
  if (action === 'new') return await makeKeyFile(file, flags, context);
  if (file !== undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', `key ${action} takes no file`, {
      hint: 'name the key file by --key-file',
    });
  }
  const report = await change(action, flags, context);
  context.print(report, formatKeys(report, context.form));
}

export function addKeyCommand(program: Command, done: (exitCode: number) => void): void {
  withLockFlags(withCommonFlags(program.command('key')))
    .description('make a key file; show and change the keys of a sealed repository')
    .addArgument(new Argument('<action>', 'what to do').choices(ACTIONS))
    .argument('[file]', 'new: key file to make')
    .addOption(repoOption('repository; not for new').makeOptionMandatory(false))
    .option('--new-key-file <file>', 'add: one more key file; rotate: key file of another slot')
    .option('--recipient <age1…>', 'add: public key of age, may be repeated', collect)
    .option('--slot <id>', 'remove: key file or recipient, as key list shows it')
    .action(async (action: Action, file: string | undefined, flags: KeyFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        await work(action, file, flags, context);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
