/** The command `history`: sessions of VMs and runs of jobs, from the reports in a repository. */
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../../core/errors.ts';
import type { RunReport } from '../../../jobs/runReport.ts';
import type { SessionRecord } from '../../../sessions/history/sessionRecord.ts';
import { CommandContext } from '../../context.ts';
import {
  type CommonFlags,
  parseCount,
  repoOption,
  withCommonFlags,
} from '../../flags/commonFlags.ts';
import { type StoreFlags, storeOf, withStoreFlags } from '../../flags/storeFlags.ts';

const DEFAULT_LAST = 20;

interface HistoryFlags extends CommonFlags, StoreFlags {
  readonly repo: string;
  readonly vm?: string;
  readonly job?: string;
  readonly last: number;
  readonly failed?: boolean;
}

/** `--json` prints this. One of the lists is there. */
export type HistoryReport = { readonly type: 'history'; readonly repository: string } & (
  | { readonly sessions: readonly SessionRecord[] }
  | { readonly runs: readonly RunReport[] }
);

async function printHistory(flags: HistoryFlags, context: CommandContext): Promise<void> {
  const { vm, job, last: limit, failed: onlyFailed } = flags;
  if (vm !== undefined && job !== undefined) {
    throw new UsageError('USAGE_INVALID_OPTION', '--vm and --job are both given', {
      hint: 'use --vm for the sessions of a VM, --job for the runs of a job',
    });
  }
  const { Repository } = await import('../../../repository/repository.ts');
  await using repository = await Repository.open(flags.repo, storeOf(flags, context));
  const { formatRuns, formatSessionHistory } = await import('../../output/jobs/historyOutput.ts');
  const options = { limit, onlyFailed, onMessage: context.onMessage };
  const base = { type: 'history', repository: repository.root } as const;
  if (job === undefined) {
    const { listSessionReports } = await import('../../../sessions/history/listReports.ts');
    const sessions = await listSessionReports(repository, { vm, ...options });
    context.print({ ...base, sessions }, formatSessionHistory(sessions, context.form));
    return;
  }
  const { listRunReports } = await import('../../../jobs/runReports.ts');
  const runs = await listRunReports(repository, { job, ...options });
  context.print({ ...base, runs }, formatRuns(runs, context.form));
}

export function addHistory(program: Command, done: (exitCode: number) => void): void {
  withStoreFlags(withCommonFlags(program.command('history')))
    .description('show past sessions of VMs, or past runs of a job')
    .addOption(repoOption())
    .option('--vm <name>', 'sessions of this VM, by name or id (default: of every VM)')
    .option('--job <name>', 'runs of this job, instead of sessions')
    .option('--last <n>', 'the newest so many', parseCount('--last'), DEFAULT_LAST)
    .option('--failed', 'only those that failed or found damage')
    .action(async (flags: HistoryFlags) => {
      const context = new CommandContext(flags);
      const exitCode = await context.execute(async () => {
        await printHistory(flags, context);
        return EXIT_CODES.done;
      });
      done(exitCode);
    });
}
