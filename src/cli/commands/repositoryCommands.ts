/** Commands that need only a repository: list, verify, rescan, inspect. */
import type { Command } from 'commander';
import {
  type BackupError,
  EXIT_CODES,
  IntegrityError,
  RepositoryError,
  UsageError,
} from '../../core/errors.ts';
import type { InspectedVm } from '../../sessions/files/inspectFiles.ts';
import type { VerifyReport } from '../../sessions/verify/verifyRepository.ts';
import {
  type CommonFlags,
  parsePercent,
  repoOption,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withLockFlags, withStoreFlags } from '../flags/storeFlags.ts';
import { CommandContext, throwFirst } from '../context.ts';
import { formatInspect, formatInspectFiles } from '../output/inspectOutput.ts';
import { formatList, formatRescan } from '../output/listOutput.ts';
import { countOf } from '../output/text.ts';
import { formatVerify } from '../output/verifyOutput.ts';
import {
  filesOption,
  refuseWithFiles,
  type SourceFlags,
  sourceOf,
  withSource,
} from '../flags/sourceFlags.ts';

type Done = (exitCode: number) => void;

function damageFound(what: string): IntegrityError {
  return new IntegrityError('INTEGRITY_DAMAGE_FOUND', what, {
    hint: 'do not delete the file; restore it from a copy if there is one; restore points that do not need it are good',
  });
}

function describeDamage({ points, damageCount }: VerifyReport): string {
  const damaged = points.filter((point) => point.isDamaged);
  const verb = damaged.length === 1 ? 'is' : 'are';
  const harmed = `${countOf(damaged.length, 'restore point')} ${verb} damaged`;
  return `verify: ${countOf(damageCount, 'finding')}, ${harmed}`;
}

async function verifySource(
  flags: VerifyFlags,
  command: Command,
  context: CommandContext,
): Promise<VerifyReport> {
  const { vm, point, sample: sampleRatio, resume, workers } = flags;
  const common = { vm, sampleRatio, workers, ...context.sessionOptions };
  const source = sourceOf(flags, command, false);
  if (source.files) {
    refuseWithFiles({ '--resume': resume });
    const { verifyFiles } = await import('../../sessions/files/verifyFiles.ts');
    return await verifyFiles({ files: source.files, ...common });
  }
  const { verifyRepository } = await import('../../sessions/verify/verifyRepository.ts');
  return await verifyRepository({ ...source, point, resume, ...common });
}

interface VerifyFlags extends CommonFlags, SourceFlags {
  readonly sample?: number;
  readonly resume?: boolean;
  readonly workers?: number;
}

export function addVerify(program: Command, done: Done): void {
  withSource(withCommonFlags(program.command('verify')))
    .description('check stored blocks, fingerprints and chain links')
    .option('--vm <name>', 'VM name or id (default: every VM)')
    .option('--point <id>', 'restore point: number, id, its beginning, all (default: latest)')
    .option(
      '--sample <percent>',
      'part of the stored blocks to read, at least one a container; for example 10% (default: all)',
      parsePercent('--sample'),
    )
    .option('--resume', 'continue a verify that was interrupted')
    .addOption(workersOption())
    .action(async (flags: VerifyFlags, command: Command) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const report = await verifySource(flags, command, context);
        context.print(report, formatVerify(report, context.form));
        if (report.outcome === 'damaged') throw damageFound(describeDamage(report));
        throwFirst(report.failures);
        return context.exitCode(false);
      });
      done(exitCode);
    });
}

export function addRepositoryCommands(program: Command, done: Done): void {
  withStoreFlags(withCommonFlags(program.command('list')))
    .description('show VMs, chains and restore points')
    .addOption(repoOption())
    .option('--vm <name>', 'VM name or id, with its disks (default: every VM)')
    .action(async (flags: CommonFlags & StoreFlags & { repo: string; vm?: string }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { listRepository } = await import('../../sessions/inspect/listRepository.ts');
        const report = await listRepository({
          repository: flags.repo,
          store: storeOf(flags, context),
          vm: flags.vm,
        });
        context.print(report, formatList(report, context.form, flags.vm !== undefined));
        throwFirst(report.failures);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
  withLockFlags(withCommonFlags(program.command('rescan')))
    .description('rebuild chain metadata (.vbm) from the containers')
    .addOption(repoOption())
    .option('--undelete', 'with s3://: first bring back what somebody deleted or replaced')
    .action(async (flags: CommonFlags & StoreFlags & { repo: string; undelete?: boolean }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { rescanRepository } = await import('../../sessions/cleanup/rescanRepository.ts');
        const report = await rescanRepository({
          repository: flags.repo,
          store: storeOf(flags, context),
          undelete: flags.undelete,
        });
        context.print(report, formatRescan(report, context.form));
        const isHidden = (report.undeleted?.failed.length ?? 0) > 0;
        const leftOut = isHidden || report.vms.some((vm) => vm.leftOut.length > 0);
        return leftOut ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
      });
      done(exitCode);
    });
}

function noChain({ code, message, hint }: NonNullable<InspectedVm['problem']>): BackupError {
  const isUsage = code.startsWith('USAGE_');
  return isUsage
    ? new UsageError(code, message, { hint })
    : new RepositoryError(code, message, { hint });
}

async function inspectChain(
  single: string | undefined,
  files: readonly string[],
  context: CommandContext,
): Promise<number> {
  if (single !== undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', `"${single}" is given beside --file`, {
      hint: 'name all files after --file, oldest first',
    });
  }
  const { inspectFiles } = await import('../../sessions/files/inspectFiles.ts');
  const report = await inspectFiles({ files });
  for (const message of report.messages) context.onMessage(message);
  context.print(report, formatInspectFiles(report, context.form));
  const damaged = report.files.find(({ problems }) => problems.length > 0);
  if (damaged) throw damageFound(`${damaged.file}: ${damaged.problems[0]}`);
  const problem = report.vms.find((vm) => vm.problem !== undefined)?.problem;
  if (problem) throw noChain(problem);
  return EXIT_CODES.done;
}

export function addInspect(program: Command, done: Done): void {
  withCommonFlags(program.command('inspect'))
    .description('show the structure of a VBK or VIB file, of this product or another')
    .argument('[file]', 'container')
    .addOption(filesOption())
    .action(async (file: string | undefined, flags: CommonFlags & SourceFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        if (flags.file !== undefined) return await inspectChain(file, flags.file, context);
        if (file === undefined) {
          throw new UsageError('USAGE_INVALID_OPTION', 'no file was given', {
            hint: 'name a .vbk or .vib file, or several with --file',
          });
        }
        const { inspectContainer } = await import('../../sessions/inspect/inspectContainer.ts');
        const report = await inspectContainer({ file });
        context.print(report, formatInspect(report, context.form));
        if (report.problems.length > 0) throw damageFound(`${file}: ${report.problems[0]}`);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
