/** `restore`: to image files, or to a new VM of an engine. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { ImageFormat } from '../../sessions/restore/restoreDisk.ts';
import type { ImageOutputOptions, RestoreReport } from '../../sessions/restore/restoreImages.ts';
import type { TargetFormat } from '../../sessions/restore/targetDisk.ts';
import {
  collect,
  type CommonFlags,
  parseCount,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import type { StoreOptions } from '../../store/store.ts';
import { CommandContext } from '../context.ts';
import { type EngineFlags, readEngineSettings, withEngineFlags } from '../flags/engineFlags.ts';
import { leftByRestoreImages, leftByRestoreVm } from '../leftTexts.ts';
import { formatRestore, formatRestoreVm } from '../output/restoreOutput.ts';
import { createProgressLine, type ProgressLine } from '../output/progress.ts';
import { refuseWithFiles, type SourceFlags, sourceOf, withSource } from '../flags/sourceFlags.ts';

type Source = ReturnType<typeof sourceOf>;

interface RestoreFlags extends CommonFlags, EngineFlags, SourceFlags {
  readonly disk?: readonly string[];
  readonly output?: string;
  readonly format: ImageFormat;
  readonly skipDamaged?: boolean;
  readonly damagedFrom?: string;
  readonly toEngine?: boolean;
  readonly asVm?: string;
  readonly storageDomain?: string;
  readonly cluster?: string;
  readonly diskFormat: TargetFormat;
  readonly newMacs?: boolean;
  readonly keepMacs?: boolean;
  readonly workers?: number;
  readonly connections?: number;
}

function missing(option: string, why: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `${option} is missing`, { hint: why });
}

/** A report of image files. Holes in them give the exit code of damage. */
async function restoreSource(
  flags: RestoreFlags,
  source: Source,
  options: ImageOutputOptions,
): Promise<RestoreReport> {
  const { vm, point, damagedFrom } = flags;
  if (source.files) {
    const { restoreFiles } = await import('../../sessions/files/restoreFiles.ts');
    return await restoreFiles({ files: source.files, vm, ...options });
  }
  const { restoreImages } = await import('../../sessions/restore/restoreImages.ts');
  const { repository, store } = source;
  return await restoreImages({ repository, store, vm: vm ?? '', point, damagedFrom, ...options });
}

async function restoreToImages(
  flags: RestoreFlags,
  source: Source,
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  if (flags.output === undefined) {
    throw missing('--output', 'name a folder for the images, or use --to-engine');
  }
  context.leftText = leftByRestoreImages(flags.output);
  const report = await restoreSource(flags, source, {
    disks: flags.disk,
    output: flags.output,
    format: flags.format,
    skipDamaged: flags.skipDamaged,
    workers: flags.workers,
    ...context.sessionOptions,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatRestore(report, context.form));
  const isDamaged = report.holes.length > 0 || report.failedDisks.length > 0;
  return isDamaged ? EXIT_CODES.damageFound : context.exitCode(false);
}

/** A VM with holes starts as if it were whole, and nothing in it tells where they are. */
function refuseSalvage({ skipDamaged, damagedFrom }: RestoreFlags): void {
  if (!skipDamaged && damagedFrom === undefined) return;
  const option = skipDamaged ? '--skip-damaged' : '--damaged-from';
  throw new UsageError('USAGE_INVALID_OPTION', `${option} and --to-engine exclude each other`, {
    hint: 'restore to image files with --output, check them, and upload them in the portal',
  });
}

function macChoice({ newMacs, keepMacs }: RestoreFlags): 'new' | 'keep' | undefined {
  if (newMacs) return 'new';
  return keepMacs ? 'keep' : undefined;
}

async function restoreToEngine(
  flags: RestoreFlags,
  source: Source,
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  const { asVm, storageDomain, output } = flags;
  refuseSalvage(flags);
  const { repository, store, vm } = engineSource(flags, source);
  if (asVm === undefined) throw missing('--as-vm', 'give the name of the new VM');
  if (storageDomain === undefined) {
    throw missing('--storage-domain', 'name the storage domain for the disks');
  }
  if (output !== undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', '--output and --to-engine exclude each other');
  }
  const { restoreVm } = await import('../../sessions/restore/restoreVm.ts');
  context.leftText = leftByRestoreVm(vm, asVm, repository);
  const report = await restoreVm({
    engine: await readEngineSettings(flags, process.env, context.signal),
    repository,
    store,
    vm,
    point: flags.point,
    disks: flags.disk,
    asVm,
    storageDomain,
    cluster: flags.cluster,
    format: flags.diskFormat,
    macs: macChoice(flags),
    workers: flags.workers,
    connections: flags.connections,
    ...context.sessionOptions,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatRestoreVm(report, context.form));
  return context.exitCode(false);
}

/** Files of others hold no configuration that an engine could read. */
function engineSource(
  { vm = '' }: RestoreFlags,
  source: Source,
): { readonly repository: string; readonly store: StoreOptions; readonly vm: string } {
  if (!source.files) return { repository: source.repository, store: source.store, vm };
  throw new UsageError('USAGE_INVALID_OPTION', '--to-engine and --file exclude each other', {
    hint: 'restore to image files with --output, and upload them in the portal',
  });
}

function withTargetFlags(command: Command): Command {
  return withSource(withEngineFlags(withCommonFlags(command)))
    .description('restore a restore point to image files or to a new VM of an engine')
    .option('--vm <name>', 'VM name or id (required with --repo)')
    .option('--point <id>', 'restore point: number, id, its beginning (default: latest)')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .option('--output <dir>', 'folder for the images; existing files are kept')
    .addOption(
      new Option('--format <format>', 'with --output: image format')
        .choices(['raw', 'qcow2'])
        .default('raw'),
    )
    .option('--skip-damaged', 'with --output: restore the rest; damaged blocks become zeros')
    .option(
      '--damaged-from <id>',
      'with --output: take damaged blocks from this restore point where they are equal',
    );
}

export function addRestore(program: Command, done: (exitCode: number) => void): void {
  withTargetFlags(program.command('restore'))
    .option('--to-engine', 'make a new VM on the engine')
    .option('--as-vm <name>', 'with --to-engine: name of the new VM')
    .option(
      '--storage-domain <name>',
      'with --to-engine: storage domain of its disks, by name or id',
    )
    .option('--cluster <name>', 'with --to-engine: its cluster (default: the only one)')
    .addOption(
      new Option('--disk-format <format>', 'with --to-engine: format of its disks')
        .choices(['same', 'cow', 'raw'])
        .default('same'),
    )
    .addOption(
      new Option(
        '--new-macs',
        'with --to-engine: new MAC addresses (default when the original VM exists there)',
      ).conflicts('keepMacs'),
    )
    .option('--keep-macs', 'with --to-engine: MAC addresses of the restore point')
    .addOption(workersOption())
    .option(
      '--connections <n>',
      'with --to-engine: data requests at the same time per disk (default: 4)',
      parseCount('--connections'),
    )
    .action(async (flags: RestoreFlags, command: Command) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('restore', context.isJson);
      const work = flags.toEngine ? restoreToEngine : restoreToImages;
      const exitCode = await context.execute(async () => {
        const source = sourceOf(flags, command, true);
        if (source.files) refuseWithFiles({ '--damaged-from': flags.damagedFrom });
        return await work(flags, source, context, line).finally(() => line.stop());
      });
      done(exitCode);
    });
}
