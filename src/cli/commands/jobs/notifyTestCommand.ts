/** `notify-test`: a test message to each receiver of a job. */
import type { Command } from 'commander';
import { EXIT_CODES, UsageError } from '../../../core/errors.ts';
import type { JobConfig } from '../../../jobs/jobFile.ts';
import type { Delivery } from '../../../jobs/notify/deliver.ts';
import { CommandContext } from '../../context.ts';
import { type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';
import type { DeliveryResult, NotifyTestReport } from '../../output/jobs/notifyOutput.ts';

interface NotifyTestFlags extends CommonFlags, JobFlags {}

async function readJob(
  name: string,
  flags: NotifyTestFlags,
  signal: AbortSignal,
): Promise<JobConfig> {
  const { readJobFile } = await import('../../../jobs/config/readJobFile.ts');
  const { requireJob } = await import('../../../jobs/requireJob.ts');
  const job = requireJob(await readJobFile(jobFileOf(flags), signal), name);
  if (job.notify.length > 0) return job;
  throw new UsageError('USAGE_NOT_FOUND', `job "${name}" has no receiver`, {
    hint: 'add "notify" to the job, with names of receivers, as docs/monitoring.md shows',
  });
}

function resultOf({ receiver, way, target, failure }: Delivery): DeliveryResult {
  const result = { receiver, way, target, isDelivered: failure === undefined };
  return failure ? { ...result, code: failure.code } : result;
}

function exitCodeOf(deliveries: readonly DeliveryResult[]): number {
  if (deliveries.every(({ isDelivered }) => isDelivered)) return EXIT_CODES.done;
  const isNone = deliveries.every(({ isDelivered }) => !isDelivered);
  return isNone ? EXIT_CODES.failed : EXIT_CODES.doneWithProblems;
}

async function notifyTest(
  name: string,
  flags: NotifyTestFlags,
  context: CommandContext,
): Promise<number> {
  const { signal, logger, onMessage } = context;
  const job = await readJob(name, flags, signal);
  const { notifyTest: send } = await import('../../../jobs/notify/notify.ts');
  const { formatNotifyTest } = await import('../../output/jobs/notifyOutput.ts');
  const deliveries = await send({ job, now: new Date(), signal, logger, onMessage });
  signal.throwIfAborted();
  const report: NotifyTestReport = {
    type: 'notify_test',
    job: job.name,
    deliveries: deliveries.map(resultOf),
  };
  context.print(report, formatNotifyTest(report, context.form));
  return exitCodeOf(report.deliveries);
}

export function addNotifyTest(program: Command, done: (exitCode: number) => void): void {
  withJobFile(withCommonFlags(program.command('notify-test')))
    .argument('<job>', 'name of a job')
    .description('send a test message to each receiver of a job')
    .action(async (name: string, flags: NotifyTestFlags) => {
      const context = new CommandContext(flags);
      done(await context.execute(() => notifyTest(name, flags, context)));
    });
}
