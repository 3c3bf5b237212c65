/** Commands that change chains: prune, synthesize. */
import type { Command } from 'commander';
import { type CalendarSpan, parseSpan } from '../../core/calendarSpan.ts';
import { EXIT_CODES } from '../../core/errors.ts';
import type { PruneReport } from '../../sessions/retention/pruneReport.ts';
import {
  type CommonFlags,
  parseCount,
  repoOption,
  withCommonFlags,
  workersOption,
} from '../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withWriteFlags } from '../flags/storeFlags.ts';
import { CommandContext, throwFirst } from '../context.ts';
import { LEFT_IN_REPOSITORY } from '../leftTexts.ts';
import { createProgressLine } from '../output/progress.ts';
import { formatPrune, formatSynthesize } from '../output/chainOutput.ts';

type Done = (exitCode: number) => void;

interface PruneFlags extends CommonFlags, StoreFlags {
  readonly repo: string;
  readonly vm?: string;
  readonly keepLast?: number;
  readonly keepDaily?: number;
  readonly keepWeekly?: number;
  readonly keepMonthly?: number;
  readonly keepYearly?: number;
  readonly keepWithin?: CalendarSpan;
  readonly dryRun?: boolean;
  readonly workers?: number;
}

/**
 * Prints the report. When all VMs failed, the failure of the first one ends the command.
 * stdout does not repeat it.
 *
 * @returns exit code 3 when some VMs failed, otherwise `exitCode`.
 */
function printPrune(report: PruneReport, exitCode: number, context: CommandContext): number {
  const failures = report.vms.flatMap((vm) => (vm.failure ? [vm.failure] : []));
  const [first, ...others] = report.vms;
  const haveAllFailed = first !== undefined && failures.length === report.vms.length;
  const told = haveAllFailed && first.points.length > 0 ? [{ ...first, failure: undefined }] : [];
  const vms = haveAllFailed ? [...told, ...others] : report.vms;
  if (context.isJson || vms.length > 0 || !haveAllFailed) {
    context.print(report, formatPrune({ ...report, vms }, context.form));
  }
  if (haveAllFailed) throwFirst(failures);
  return failures.length > 0 ? EXIT_CODES.doneWithProblems : exitCode;
}

async function prune(flags: PruneFlags, context: CommandContext): Promise<number> {
  const line = createProgressLine('merge', context.isJson);
  context.leftText = LEFT_IN_REPOSITORY;
  const { pruneRepository } = await import('../../sessions/retention/pruneRepository.ts');
  const report = await pruneRepository({
    repository: flags.repo,
    store: storeOf(flags),
    vm: flags.vm,
    keep: {
      last: flags.keepLast,
      daily: flags.keepDaily,
      weekly: flags.keepWeekly,
      monthly: flags.keepMonthly,
      yearly: flags.keepYearly,
      within: flags.keepWithin,
    },
    dryRun: flags.dryRun,
    workers: flags.workers,
    ...context.sessionOptions,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  return printPrune(report, context.exitCode(false), context);
}

function withKeepFlags(command: Command): Command {
  const counted = [
    ['last', 'points'],
    ['daily', 'days'],
    ['weekly', 'weeks'],
    ['monthly', 'months'],
    ['yearly', 'years'],
  ] as const;
  for (const [rule, unit] of counted) {
    const flag = `--keep-${rule}`;
    const text =
      unit === 'points'
        ? 'the newest n points'
        : `one point for each of the last n ${unit} that have one`;
    command.option(`${flag} <n>`, `keep ${text}`, parseCount(flag));
  }
  return command.option(
    '--keep-within <span>',
    'keep points younger than this, counted back from the newest one: for example 4w or 1y5m7d2h',
    (text: string) => parseSpan(text, '--keep-within'),
  );
}

export function addPrune(program: Command, done: Done): void {
  withKeepFlags(
    withWriteFlags(withCommonFlags(program.command('prune')))
      .description('delete or merge restore points that no rule keeps')
      .addOption(repoOption())
      .option('--vm <name>', 'VM name or id (default: every VM)'),
  )
    .option('--dry-run', 'only show what would be done')
    .addOption(workersOption())
    .action(async (flags: PruneFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => prune(flags, context)));
    });
}

interface SynthesizeFlags extends CommonFlags, StoreFlags {
  readonly repo: string;
  readonly vm: string;
  readonly workers?: number;
}

export function addSynthesize(program: Command, done: Done): void {
  withWriteFlags(withCommonFlags(program.command('synthesize')))
    .description('make the newest restore point a full from its chain, without reading a disk')
    .addOption(repoOption())
    .requiredOption('--vm <name>', 'VM name or id')
    .addOption(workersOption())
    .action(async (flags: SynthesizeFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('synthesize', context.isJson);
      const exitCode = await context.execute(async () => {
        context.leftText = LEFT_IN_REPOSITORY;
        const { synthesizeFull } = await import('../../sessions/retention/synthesizeFull.ts');
        const report = await synthesizeFull({
          repository: flags.repo,
          store: storeOf(flags),
          vm: flags.vm,
          workers: flags.workers,
          ...context.sessionOptions,
          onProgress: line.onProgress,
        }).finally(() => line.stop());
        context.print(report, formatSynthesize(report, context.form));
        return context.exitCode(false);
      });
      done(exitCode);
    });
}
