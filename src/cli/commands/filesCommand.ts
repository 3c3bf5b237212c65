/** `files`: single files out of the file systems of a guest, through libguestfs. */
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Command, Argument } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { GuestFiles } from '../../sessions/guest/guestFiles.ts';
import { collect, type CommonFlags, repoOption, withCommonFlags } from '../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withStoreFlags } from '../flags/storeFlags.ts';
import { CommandContext } from '../context.ts';
import { leftByFiles } from '../leftTexts.ts';
import type { OutputForm } from '../output/outputForm.ts';
import { type Column, formatRows } from '../output/table.ts';
import { countOf, formatLocalTime, printable } from '../output/text.ts';

interface FilesFlags extends CommonFlags, StoreFlags {
  readonly repo: string;
  readonly vm: string;
  readonly point: string;
  readonly disk?: readonly string[];
  readonly filesystem?: string;
  readonly output?: string;
}

type Action = 'ls' | 'get' | 'find';
type Entry = Awaited<ReturnType<GuestFiles['list']>>[number];
type Copied = Awaited<ReturnType<GuestFiles['copy']>>;

/** The result of an action: fields of the JSON document, and the text for people. */
interface Answer {
  readonly facts: object;
  readonly text: string;
}

export function addFiles(program: Command, done: (exitCode: number) => void): void {
  withStoreFlags(withCommonFlags(program.command('files')))
    .description('list, find or copy files of a guest in a restore point; needs guestfish')
    .addArgument(new Argument('<action>', 'what to do').choices(['ls', 'get', 'find']))
    .argument('[paths...]', 'ls, get: paths in the guest; find: a pattern with * and ?')
    .addOption(repoOption())
    .requiredOption('--vm <name>', 'VM name or id')
    .option('--point <id>', 'restore point: number, id, its beginning, or latest', 'latest')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--filesystem <device>', 'only this file system, for example /dev/sda1')
    .option('--output <dir>', 'with get: folder for the files; existing files are kept')
    .action(async (action: Action, paths: readonly string[], flags: FilesFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => readFiles(action, paths, flags, context)));
    });
}

async function readFiles(
  action: Action,
  paths: readonly string[],
  flags: FilesFlags,
  context: CommandContext,
): Promise<number> {
  checkUsage(action, paths, flags);
  const work = await workOf(action, paths, flags, context.form);
  const { withGuestFiles } = await import('../../sessions/guest/guestFiles.ts');
  const { signal, logger, onStatus } = context;
  context.stopText = 'ending the appliance of libguestfs';
  context.leftText = leftByFiles(tmpdir(), flags.output);
  const { value, failures } = await withGuestFiles(
    {
      repository: flags.repo,
      store: storeOf(flags, context),
      vm: flags.vm,
      point: flags.point,
      disks: flags.disk,
      fileSystem: flags.filesystem,
      signal,
      logger,
      onStatus,
      onProblem: noteOnce(context),
    },
    async (files) => ({ ...files.point, ...(await work(files)) }),
  );
  const { facts, text, ...point } = value;
  context.print({ type: 'files', action, ...point, ...facts }, text);
  return failures > 0 ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
}

/** A guest reads a damaged block many times. */
function noteOnce(context: CommandContext): (text: string) => void {
  const told = new Set<string>();
  return (text) => {
    if (!told.has(text)) context.note('export_problem', text, 'error');
    told.add(text);
  };
}

function refuse(text: string, hint: string): never {
  throw new UsageError('USAGE_INVALID_OPTION', text, { hint });
}

function checkUsage(action: Action, paths: readonly string[], { output }: FilesFlags): void {
  if (action === 'get' && output === undefined) {
    refuse('--output is missing', 'name a folder for the files');
  }
  if (action !== 'get' && output !== undefined) {
    refuse('--output belongs to "files get"', 'without it, ls and find print what they find');
  }
  if (action === 'get' && paths.length === 0) refuse('no path is given', 'for example: /etc/fstab');
  if (action === 'find' && paths.length !== 1) {
    refuse('find takes one pattern', 'quote it, so that the shell does not expand it: "*.conf"');
  }
  if (action === 'ls' && paths.length > 1) refuse('ls takes one path', 'for example: /etc');
  if (paths.includes('')) refuse('a path is empty', 'for example: /etc');
}

/** Checks what needs no appliance, and returns what is done with one. */
async function workOf(
  action: Action,
  paths: readonly string[],
  { output = '' }: FilesFlags,
  form: OutputForm,
): Promise<(files: GuestFiles) => Promise<Answer>> {
  const [first = '/'] = paths;
  if (action === 'find') {
    return async (files) => listed({ pattern: first }, await files.search(first), 'path', form);
  }
  const { guestPath } = await import('../../sessions/guest/guestTree.ts');
  if (action === 'ls') {
    const folder = guestPath(first);
    return async (files) => listed({ path: folder }, await files.list(folder), 'name', form);
  }
  const { planCopy } = await import('../../sessions/guest/copyOut.ts');
  const folder = path.resolve(output);
  const plan = await planCopy(paths.map(guestPath), folder);
  return async (files) => gotten(await files.copy(plan, folder), folder);
}

function listed(
  asked: object,
  entries: readonly Entry[],
  shown: 'name' | 'path',
  form: OutputForm,
): Answer {
  const columns: Column<Entry>[] = [
    ['type', ({ kind }) => kind],
    ['size', ({ kind, sizeBytes }) => (kind === 'file' ? formatBytes(sizeBytes) : '')],
    ['modified', ({ modifiedAt }) => (modifiedAt === '' ? '' : formatLocalTime(modifiedAt))],
    [shown, (entry) => entry[shown], { kind: 'name' }],
  ];
  const text = entries.length > 0 ? formatRows(columns, entries, form) : 'nothing found';
  return { facts: { ...asked, entries }, text };
}

function gotten(copied: Copied, output: string): Answer {
  const { files, folders, links, bytes, leftOut } = copied;
  const counts = [countOf(files, 'file'), countOf(folders, 'folder'), countOf(links, 'link')];
  const lines = [`${counts.join(', ')}, ${formatBytes(bytes)} in ${printable(output)}`];
  if (leftOut.length > 0) {
    lines.push(`left out, because it has no content: ${printable(leftOut.join(', '))}`);
  }
  return { facts: { output, ...copied }, text: lines.join('\n') };
}
