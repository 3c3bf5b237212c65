/** Commands that need only a repository: list, verify, rescan, inspect. */
import type { Command } from 'commander';
import { EXIT_CODES, IntegrityError } from '../../core/errors.ts';
import type { VerifyReport } from '../../sessions/verify/verifyRepository.ts';
import {
  type CommonFlags,
  parsePercent,
  repoOption,
  withCommonFlags,
  workersOption,
} from '../commonFlags.ts';
import { CommandContext, throwFirst } from '../context.ts';
import { formatInspect } from '../output/inspectOutput.ts';
import { formatList, formatRescan } from '../output/listOutput.ts';
import { countOf } from '../output/text.ts';
import { formatVerify } from '../output/verifyOutput.ts';

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

interface VerifyFlags extends CommonFlags {
  readonly repo: string;
  readonly vm?: string;
  readonly point: string;
  readonly sample?: number;
  readonly resume?: boolean;
  readonly workers?: number;
}

export function addVerify(program: Command, done: Done): void {
  withCommonFlags(program.command('verify'))
    .description('check stored blocks, fingerprints and chain links')
    .addOption(repoOption())
    .option('--vm <name>', 'VM name or id (default: every VM)')
    .option('--point <id>', 'restore point: number, id, its beginning, latest or all', 'latest')
    .option(
      '--sample <percent>',
      'part of the stored blocks to read, at least one a container; for example 10% (default: all)',
      parsePercent('--sample'),
    )
    .option('--resume', 'continue a verify that was interrupted')
    .addOption(workersOption())
    .action(async (flags: VerifyFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { verifyRepository } = await import('../../sessions/verify/verifyRepository.ts');
        const report = await verifyRepository({
          repository: flags.repo,
          vm: flags.vm,
          point: flags.point,
          sampleRatio: flags.sample,
          resume: flags.resume,
          workers: flags.workers,
          ...context.sessionOptions,
        });
        context.print(report, formatVerify(report, context.form));
        if (report.outcome === 'damaged') throw damageFound(describeDamage(report));
        throwFirst(report.failures);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}

export function addRepositoryCommands(program: Command, done: Done): void {
  withCommonFlags(program.command('list'))
    .description('show VMs, chains and restore points')
    .addOption(repoOption())
    .option('--vm <name>', 'VM name or id, with its disks (default: every VM)')
    .action(async (flags: CommonFlags & { repo: string; vm?: string }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { listRepository } = await import('../../sessions/inspect/listRepository.ts');
        const report = await listRepository({ repository: flags.repo, vm: flags.vm });
        context.print(report, formatList(report, context.form, flags.vm !== undefined));
        throwFirst(report.failures);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
  withCommonFlags(program.command('rescan'))
    .description('rebuild chain metadata (.vbm) from the containers')
    .addOption(repoOption())
    .action(async (flags: CommonFlags & { repo: string }) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { rescanRepository } = await import('../../sessions/cleanup/rescanRepository.ts');
        const report = await rescanRepository({ repository: flags.repo });
        context.print(report, formatRescan(report, context.form));
        const leftOut = report.vms.some((vm) => vm.leftOut.length > 0);
        return leftOut ? EXIT_CODES.doneWithProblems : EXIT_CODES.done;
      });
      done(exitCode);
    });
}

export function addInspect(program: Command, done: Done): void {
  withCommonFlags(program.command('inspect'))
    .description('show the structure of a VBK or VIB file, of this product or another')
    .argument('<file>', 'container')
    .action(async (file: string, flags: CommonFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        const { inspectContainer } = await import('../../sessions/inspect/inspectContainer.ts');
        const report = await inspectContainer({ file });
        context.print(report, formatInspect(report, context.form));
        if (report.problems.length > 0) throw damageFound(`${file}: ${report.problems[0]}`);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
