/** The command table: flags, help and the mapping to sessions. */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { EXIT_CODES, IntegrityError, RepositoryError } from '../core/errors.ts';
import { backupImages } from '../session/backupImages.ts';
import type { SessionMode } from '../session/chainSession.ts';
import { inspectContainer } from '../session/inspectContainer.ts';
import { type FolderFailure, listRepository } from '../session/listRepository.ts';
import { rescanRepository } from '../session/rescanRepository.ts';
import type { ImageFormat } from '../session/restoreDisk.ts';
import { restoreImages } from '../session/restoreImages.ts';
import { verifyRepository } from '../session/verifyRepository.ts';
import {
  CommandContext,
  type CommonFlags,
  parseCount,
  parsePercent,
  parseSize,
  withCommonFlags,
} from './context.ts';
import { runDemo } from './demo.ts';
import {
  formatInspect,
  formatList,
  formatRescan,
  formatRestore,
  formatSession,
  formatVerify,
} from './output.ts';
import { createProgressLine } from './progress.ts';

const EXIT_HELP = `
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 done, but with an error in the session log, or with a
warning under --strict; 10 repository not found; 11 repository locked; 13 verify found damage; 70 internal
error; 130 stopped. Any other code is a failure. Codes of errors and messages: docs/errors.md.`;

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

function damageFound(what: string): IntegrityError {
  return new IntegrityError('INTEGRITY_DAMAGE_FOUND', what, {
    hint: 'keep the file, restore it from a copy if there is one; restore points that do not need it are sound',
  });
}

/** VMs that could not be read do not hide the others, but the command fails. */
function throwFirst(failures: readonly FolderFailure[]): void {
  const [failure] = failures;
  if (failure) throw new RepositoryError(failure.code, failure.message, { hint: failure.hint });
}

function workersOption(): Option {
  return new Option(
    '--workers <n>',
    'worker threads; 0 works on the main thread (default: number of CPUs, at most 8)',
  ).argParser(parseCount('--workers'));
}

interface BackupFlags extends CommonFlags {
  readonly image: readonly string[];
  readonly name: string;
  readonly repo: string;
  readonly mode: SessionMode;
  readonly blockSize?: number;
  readonly workers?: number;
  readonly strict?: boolean;
}

function addBackup(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('backup'))
    .description('back up raw images as the disks of one VM: first a full, then increments')
    .requiredOption('--image <file...>', 'raw image or block device; several are several disks')
    .requiredOption('--name <name>', 'name of the VM in the repository')
    .requiredOption('--repo <dir>', 'repository; made when the folder is new or empty')
    .addOption(
      new Option('--mode <mode>', 'what to make')
        .choices(['auto', 'full', 'incremental'])
        .default('auto'),
    )
    .option(
      '--block-size <size>',
      'of a full: 256KiB to 8MiB (default: 1MiB)',
      parseSize('--block-size'),
    )
    .addOption(workersOption())
    .option('--strict', 'warnings end with exit code 3, a missing native codec is an error')
    .action(async (flags: BackupFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('backup', context.isJson);
      const exitCode = await context.run(async () => {
        const report = await backupImages({
          images: flags.image,
          vmName: flags.name,
          repository: flags.repo,
          mode: flags.mode,
          blockSizeBytes: flags.blockSize,
          workers: flags.workers,
          strict: flags.strict,
          signal: context.signal,
          logger: context.logger,
          onMessage: context.onMessage,
          onDiskStart: (disk) => line.addDisk(disk),
        }).finally(() => line.stop());
        context.print(report, formatSession(report));
        return context.exitCode(flags.strict ?? false);
      });
      done(exitCode);
    });
}

interface RestoreFlags extends CommonFlags {
  readonly repo: string;
  readonly vm: string;
  readonly point: string;
  readonly disk?: readonly string[];
  readonly output: string;
  readonly format: ImageFormat;
  readonly workers?: number;
}

function addRestore(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('restore'))
    .description('restore disks of a restore point to image files')
    .requiredOption('--repo <dir>', 'repository')
    .requiredOption('--vm <name>', 'VM name or id')
    .option('--point <id>', 'restore point: id, its beginning, or latest', 'latest')
    .option('--disk <id>', 'only this disk, by id or name; may be repeated', collect)
    .requiredOption('--output <dir>', 'folder for the images; existing files are kept')
    .addOption(
      new Option('--format <format>', 'image format').choices(['raw', 'qcow2']).default('raw'),
    )
    .addOption(workersOption())
    .action(async (flags: RestoreFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('restore', context.isJson);
      const exitCode = await context.run(async () => {
        const report = await restoreImages({
          repository: flags.repo,
          vm: flags.vm,
          point: flags.point,
          disks: flags.disk,
          output: flags.output,
          format: flags.format,
          workers: flags.workers,
          signal: context.signal,
          logger: context.logger,
          onMessage: context.onMessage,
          onDiskStart: (disk) => line.addDisk(disk),
        }).finally(() => line.stop());
        context.print(report, formatRestore(report));
        return context.exitCode(false);
      });
      done(exitCode);
    });
}

interface VerifyFlags extends CommonFlags {
  readonly repo: string;
  readonly vm?: string;
  readonly point: string;
  readonly sample: number;
  readonly workers?: number;
}

function addVerify(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('verify'))
    .description('check stored blocks, fingerprints and chain links')
    .requiredOption('--repo <dir>', 'repository')
    .option('--vm <name>', 'VM name or id (default: every VM)')
    .option('--point <id>', 'restore point: id, its beginning, latest or all', 'latest')
    .option('--sample <percent>', 'part of the stored blocks to read', parsePercent, 1)
    .addOption(workersOption())
    .action(async (flags: VerifyFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.run(async () => {
        const report = await verifyRepository({
          repository: flags.repo,
          vm: flags.vm,
          point: flags.point,
          sampleRatio: flags.sample,
          workers: flags.workers,
          signal: context.signal,
          logger: context.logger,
        });
        context.print(report, formatVerify(report));
        if (report.damage.length > 0) throw damageFound(`verify: ${report.damage.length} findings`);
        throwFirst(report.failures);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}

function addRepositoryCommands(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('list'))
    .description('show VMs, chains and restore points')
    .requiredOption('--repo <dir>', 'repository')
    .option('--vm <name>', 'VM name or id (default: every VM)')
    .action(async (flags: CommonFlags & { repo: string; vm?: string }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.run(async () => {
        const report = await listRepository(flags.repo, flags.vm);
        context.print(report, formatList(report));
        throwFirst(report.failures);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
  withCommonFlags(program.command('rescan'))
    .description('rebuild chain metadata (.vbm) from the containers')
    .requiredOption('--repo <dir>', 'repository')
    .action(async (flags: CommonFlags & { repo: string }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.run(async () => {
        const report = await rescanRepository(flags.repo);
        context.print(report, formatRescan(report));
        const leftOut = report.vms.some((vm) => vm.leftOut.length > 0);
        return leftOut ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
      });
      done(exitCode);
    });
}

function addInspect(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('inspect'))
    .description('show the structure of a VBK or VIB file, of this product or another')
    .argument('<file>', 'container')
    .action(async (file: string, flags: CommonFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.run(async () => {
        const report = await inspectContainer(file);
        context.print(report, formatInspect(report));
        if (report.problems.length > 0) throw damageFound(`${file}: ${report.problems[0]}`);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}

function addDemo(program: Command, done: (exitCode: number) => void): void {
  withCommonFlags(program.command('demo'))
    .description('full, change, compare, verify and restore on an image made of real files')
    .action(async (flags: CommonFlags) => {
      const context = new CommandContext(flags);
      done(await context.run(() => runDemo(context)));
    });
}

/** Builds the program; `done` gets the exit code of the command that ran. */
export function createProgram(done: (exitCode: number) => void): Command {
  const program = new Command('ovirt-cbt')
    .description('Backup of oVirt-family VM disks by changed blocks, into VBK containers')
    .version(version())
    .showHelpAfterError(false)
    .addHelpText('after', EXIT_HELP);
  addBackup(program, done);
  addRepositoryCommands(program, done);
  addInspect(program, done);
  addVerify(program, done);
  addRestore(program, done);
  addDemo(program, done);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeErr: () => {} });
  }
  return program;
}
