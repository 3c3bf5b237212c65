/** `restore`: to image files, or to a new VM of an engine. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { ImageFormat } from '../../sessions/restore/restoreDisk.ts';
import type { TargetFormat } from '../../sessions/restore/targetDisk.ts';
import {
  collect,
  type CommonFlags,
  parseCount,
  repoOption,
  withCommonFlags,
  workersOption,
} from '../commonFlags.ts';
import { CommandContext } from '../context.ts';
import { type EngineFlags, readEngineSettings, withEngineFlags } from '../engineFlags.ts';
import { leftByRestoreImages, leftByRestoreVm } from '../leftTexts.ts';
import { formatRestore, formatRestoreVm } from '../output/restoreOutput.ts';
import { createProgressLine, type ProgressLine } from '../output/progress.ts';

interface RestoreFlags extends CommonFlags, EngineFlags {
  readonly repo: string;
  readonly vm: string;
  readonly point: string;
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

async function restoreToImages(
  flags: RestoreFlags,
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  if (flags.output === undefined) {
    throw missing('--output', 'name a folder for the images, or use --to-engine');
  }
  context.leftText = leftByRestoreImages(flags.output);
  const { restoreImages } = await import('../../sessions/restore/restoreImages.ts');
  const report = await restoreImages({
    repository: flags.repo,
    vm: flags.vm,
    point: flags.point,
    disks: flags.disk,
    output: flags.output,
    format: flags.format,
    skipDamaged: flags.skipDamaged,
    damagedFrom: flags.damagedFrom,
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
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  const { asVm, storageDomain, output } = flags;
  refuseSalvage(flags);
  if (asVm === undefined) throw missing('--as-vm', 'give the name of the new VM');
  if (storageDomain === undefined) {
    throw missing('--storage-domain', 'name the storage domain for the disks');
  }
  if (output !== undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', '--output and --to-engine exclude each other');
  }
  const { restoreVm } = await import('../../sessions/restore/restoreVm.ts');
  context.leftText = leftByRestoreVm(flags.vm, asVm, flags.repo);
  const report = await restoreVm({
    engine: await readEngineSettings(flags, process.env, context.signal),
    repository: flags.repo,
    vm: flags.vm,
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

function withTargetFlags(command: Command): Command {
  return withEngineFlags(withCommonFlags(command))
    .description('restore a restore point to image files or to a new VM of an engine')
    .addOption(repoOption())
    .requiredOption('--vm <name>', 'VM name or id')
    .option('--point <id>', 'restore point: number, id, its beginning, or latest', 'latest')
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
    .action(async (flags: RestoreFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('restore', context.isJson);
      const work = flags.toEngine ? restoreToEngine : restoreToImages;
      done(await context.execute(() => work(flags, context, line).finally(() => line.stop())));
    });
}
