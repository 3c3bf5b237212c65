/** `backup`: VMs of an engine, or local images. */
import { type Command, Option } from 'commander';
import { EXIT_CODES, UsageError } from '../../core/errors.ts';
import type { BackupImagesOptions } from '../../sessions/backup/backupImages.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { JobReport } from '../../sessions/backup/backupVms.ts';
import type { SessionMode } from '../../sessions/backup/parent/parentChoice.ts';
import {
  collect,
  type CommonFlags,
  parseCount,
  parsePercent,
  parseSize,
  repoOption,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withWriteFlags } from '../flags/storeFlags.ts';
import { CommandContext } from '../context.ts';
import { type BackupPage, type BackupResult, withPage } from './backupPage.ts';
import { parseImage } from '../flags/imageFlag.ts';
import { type EngineFlags, readEngineSettings, withEngineFlags } from '../flags/engineFlags.ts';
import { leftByBackup, LEFT_IN_REPOSITORY } from '../leftTexts.ts';
import { formatJob } from '../output/jobOutput.ts';
import { formatSession } from '../output/sessionOutput.ts';
import {
  onlyVm,
  readVmSelection,
  selectsVms,
  type VmFlags,
  withVmFlags,
} from '../flags/vmFlags.ts';
import { createProgressLine, type ProgressLine } from '../output/progress.ts';

const MINUTE_MS = 60_000;

interface BackupFlags extends CommonFlags, EngineFlags, VmFlags, StoreFlags {
  readonly image?: readonly string[];
  readonly imageFormat?: 'raw';
  readonly name?: string;
  readonly repo: string;
  readonly mode: SessionMode;
  readonly disk?: readonly string[];
  readonly excludeDisk?: readonly string[];
  readonly blockSize?: number;
  readonly workers?: number;
  readonly compression: BackupImagesOptions['compression'];
  readonly connections?: number;
  readonly parallelVms?: number;
  readonly wait?: number;
  readonly requireConsistency?: boolean;
  readonly partialReads?: boolean;
  readonly audit?: number;
  readonly limitRate?: number;
  readonly strict?: boolean;
  readonly report?: string;
}

/** Both kinds of backup get this, besides their options. */
interface Surroundings {
  readonly context: CommandContext;
  readonly line: ProgressLine;
  readonly onMessage: (message: SessionMessage) => void;
}

function misuse(message: string, hint: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', message, { hint });
}

async function backUpImages(
  flags: BackupFlags,
  { context, line, onMessage }: Surroundings,
): Promise<BackupResult> {
  const { image: images = [], name } = flags;
  if (selectsVms(flags)) {
    throw misuse('VMs and --image exclude each other', 'use one command for each');
  }
  if (name === undefined) {
    throw misuse('--name is missing', 'an image needs the name of its VM: --name NAME');
  }
  if (flags.limitRate !== undefined) {
    throw misuse('--limit-rate does not limit reads of images', 'leave it out');
  }
  context.leftText = LEFT_IN_REPOSITORY;
  const { backupImages } = await import('../../sessions/backup/backupImages.ts');
  const report = await backupImages({
    images: images.map((image) => parseImage(image)),
    imageFormat: flags.imageFormat,
    vmName: name,
    repository: flags.repo,
    store: storeOf(flags),
    mode: flags.mode,
    blockSizeBytes: flags.blockSize,
    workers: flags.workers,
    compression: flags.compression,
    strict: flags.strict,
    ...context.sessionOptions,
    onMessage,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatSession(report, context.form));
  return { report, exitCode: context.exitCode(flags.strict ?? false) };
}

async function backUpVms(
  flags: BackupFlags,
  { context, line, onMessage }: Surroundings,
): Promise<BackupResult> {
  if (!selectsVms(flags)) {
    throw misuse(
      'nothing to back up',
      'use --vm NAME, --all, --search or --vm-file, or --image FILE with --name',
    );
  }
  const { backupVms } = await import('../../sessions/backup/backupVms.ts');
  context.leftText = leftByBackup(onlyVm(flags), flags.repo);
  const report = await backupVms({
    engine: await readEngineSettings(flags, process.env, context.signal),
    select: await readVmSelection(flags, context.signal),
    repository: flags.repo,
    store: storeOf(flags),
    mode: flags.mode,
    disks: flags.disk,
    excludeDisks: flags.excludeDisk,
    blockSizeBytes: flags.blockSize,
    workers: flags.workers,
    compression: flags.compression,
    connections: flags.connections,
    parallelVms: flags.parallelVms,
    waitMs: flags.wait === undefined ? undefined : flags.wait * MINUTE_MS,
    requireConsistency: flags.requireConsistency,
    partialReads: flags.partialReads,
    auditRatio: flags.audit,
    bytesPerSecond: flags.limitRate,
    strict: flags.strict,
    ...context.sessionOptions,
    onMessage,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatJob(report, context.form));
  return { report, exitCode: exitCodeOfJob(report, context.exitCode(flags.strict ?? false)) };
}

function pageOf(flags: BackupFlags): BackupPage | undefined {
  if (flags.report === undefined) return undefined;
  const vmName = flags.name ?? onlyVm(flags) ?? 'Backup';
  return { file: flags.report, repository: flags.repo, store: storeOf(flags), vmName };
}

/** Exit code 3 when some VMs failed, 1 when all failed. */
function exitCodeOfJob(report: JobReport, exitCode: number): number {
  if (report.failures.length === 0) return exitCode;
  return report.sessions.length === 0 ? EXIT_CODES.failed : EXIT_CODES.doneWithProblems;
}

function withSourceFlags(command: Command): Command {
  return withWriteFlags(withVmFlags(withEngineFlags(withCommonFlags(command))))
    .description('back up VMs of an engine, or raw images: first a full, then increments')
    .option(
      '--image <file...>',
      'raw image or block device instead of --vm; each is one disk, FILE or NAME=FILE',
    )
    .addOption(
      new Option(
        '--image-format <format>',
        'with --image: back up files of other formats (qcow2, vmdk …) byte by byte',
      ).choices(['raw']),
    )
    .option('--name <name>', 'with --image: name of the VM in the repository')
    .addOption(
      repoOption('repository: folder or s3://bucket/prefix; a new or empty one becomes one'),
    )
    .addOption(
      new Option('--mode <mode>', 'kind of restore point')
        .choices(['auto', 'full', 'incremental'])
        .default('auto'),
    )
    .option('--disk <id>', 'with --vm: only this disk, by id or name; may be repeated', collect)
    .option(
      '--exclude-disk <id>',
      'with --vm: all disks except this one; may be repeated',
      collect,
    );
}

export function addBackup(program: Command, done: (exitCode: number) => void): void {
  withSourceFlags(program.command('backup'))
    .option(
      '--block-size <size>',
      'block size of a full: 256KiB to 8MiB (default: 1MiB; 4MiB above 128 GiB of data)',
      parseSize('--block-size'),
    )
    .addOption(
      new Option('--compression <level>', 'of stored blocks; high takes much CPU time')
        .choices(['none', 'default', 'high'])
        .default('default'),
    )
    .addOption(workersOption())
    .option(
      '--connections <n>',
      'data requests at the same time per disk, 1 to 8 (default: 4)',
      parseCount('--connections'),
    )
    .option(
      '--parallel-vms <n>',
      'sessions at the same time with several VMs (default: 2)',
      parseCount('--parallel-vms'),
    )
    .option(
      '--wait <minutes>',
      'how long to wait for a VM that is busy or moving (default: 15)',
      parseCount('--wait'),
    )
    .option('--require-consistency', 'fail when the guest cannot be frozen (live backups only)')
    .option('--partial-reads', 'with --vm: read only the changed bytes of a block from the engine')
    .option(
      '--audit <percent>',
      'with --vm: read and compare this part of the blocks that the engine calls unchanged',
      parsePercent('--audit'),
    )
    .option(
      '--limit-rate <size>',
      'with --vm: bytes a second at most that all sessions read from the hosts, e.g. 200MiB',
      parseSize('--limit-rate'),
    )
    .option('--strict', 'warnings give exit code 3; a missing native codec is an error')
    .option('--report <file>', 'write a page about the backup into this file (HTML)')
    .action(async (flags: BackupFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('backup', context.isJson);
      const work = flags.image ? backUpImages : backUpVms;
      const exitCode = await context.execute(() =>
        withPage(pageOf(flags), context, (onMessage) =>
          work(flags, { context, line, onMessage }).finally(() => line.stop()),
        ),
      );
      done(exitCode);
    });
}
