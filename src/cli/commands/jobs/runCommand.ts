/** `run`: one run of a job, as a timer starts it, or by hand. */
import type { Command } from 'commander';
import { EXIT_CODES, invariant, throwIfCancelled } from '../../../core/errors.ts';
import type { JobConfig, JobFile } from '../../../jobs/jobFile.ts';
import type { VmState } from '../../../jobs/jobState.ts';
import type { OpenRunner } from '../../../jobs/run/runners.ts';
import type { RunReport } from '../../../jobs/runReport.ts';
import { CommandContext } from '../../context.ts';
import { collect, type CommonFlags, withCommonFlags } from '../../flags/commonFlags.ts';
import { type JobFlags, jobFileOf, withJobFile } from '../../flags/jobFlags.ts';
import {
  openFleetFor,
  QUEUE_TEXT,
  type QueueFlags,
  queueSettings,
  withQueueFlags,
} from '../../flags/queueFlags.ts';
import { createProgressLine, type ProgressLine } from '../../output/progress.ts';

interface RunFlags extends CommonFlags, JobFlags, QueueFlags {
  readonly dryRun?: boolean;
  readonly only?: readonly string[];
  readonly newRepository?: boolean;
  readonly report?: string;
}

async function preview(file: JobFile, job: JobConfig, flags: RunFlags, context: CommandContext) {
  const { StateFolder } = await import('../../../jobs/state/stateFolder.ts');
  const { previewJob } = await import('../../../jobs/run/previewJob.ts');
  const { formatPreview } = await import('../../output/jobs/previewOutput.ts');
  const state = await StateFolder.find(file, process.env, context.onMessage);
  const report = await previewJob({
    ...context.sessionOptions,
    job,
    startedAt: new Date(),
    only: flags.only,
    newRepository: flags.newRepository,
    previous: await state.read(job.name),
  });
  context.print(report, formatPreview(report, context.form));
  const canStart = report.failures.length === 0 && report.vms.every((vm) => vm.canStart);
  return canStart ? EXIT_CODES.done : EXIT_CODES.doneWithProblems;
}

/** @param lastPoints - of the VMs of the job, for those that failed. */
async function writePage(
  file: string,
  report: RunReport,
  lastPoints: readonly VmState[],
): Promise<void> {
  const { writePageFile } = await import('../../../report/pageFile.ts');
  const { runPage } = await import('../../../report/runPage.ts');
  await writePageFile(file, runPage(report, lastPoints));
}

/** A run takes hours. A page that cannot be written is told before it. */
async function checkPage(file: string | undefined): Promise<void> {
  if (file === undefined) return;
  const { checkPageFile } = await import('../../../report/pageFile.ts');
  await checkPageFile(file);
}

/** The run connects to the queue itself, so that a failure is told to the receivers of the job. */
function fleetRunner(flags: RunFlags, context: CommandContext): OpenRunner {
  return async (request) => {
    const fleet = await openFleetFor(flags, context);
    invariant(fleet, 'a run without a queue has no fleet');
    try {
      const runner = await fleet.openRunner(request);
      const close = async (): Promise<void> => {
        await runner[Symbol.asyncDispose]();
        await fleet[Symbol.asyncDispose]();
      };
      return {
        backup: async (vm, call) => await runner.backup(vm, call),
        [Symbol.asyncDispose]: close,
      };
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  };
}

async function conduct(
  file: JobFile,
  job: JobConfig,
  flags: RunFlags,
  context: CommandContext,
  line: ProgressLine,
): Promise<number> {
  const { StateFolder } = await import('../../../jobs/state/stateFolder.ts');
  const { conductRun } = await import('../../../jobs/run/conductRun.ts');
  const { exitCodeOfRun } = await import('../../../jobs/run/outcome.ts');
  const { formatRun } = await import('../../output/jobs/runOutput.ts');
  context.leftText = `the run is not complete; "ovirt-cbt run ${job.name}" cleans up and starts anew`;
  const hasQueue = (await queueSettings(flags)) !== undefined;
  await checkPage(flags.report);
  // The run makes the folder, so that a failure of it is told to the receivers of the job.
  const state = await StateFolder.find(file, process.env, context.onMessage);
  const report = await conductRun({
    ...context.sessionOptions,
    file,
    job,
    trigger: 'command',
    only: flags.only,
    newRepository: flags.newRepository,
    state,
    openRunner: hasQueue ? fleetRunner(flags, context) : undefined,
    onProgress: line.onProgress,
  }).finally(() => line.stop());
  context.print(report, formatRun(report, context.form));
  if (flags.report !== undefined) {
    const { vms } = await state.read(job.name);
    await writePage(flags.report, report, vms);
  }
  throwIfCancelled(context.signal);
  return exitCodeOfRun(report, job.strict);
}

export function addRun(program: Command, done: (exitCode: number) => void): void {
  withQueueFlags(withJobFile(withCommonFlags(program.command('run'))), QUEUE_TEXT)
    .argument('<job>', 'name of a job in the job file')
    .description('run a job: back up its VMs, then prune, verify and copy as the job file says')
    .option('--dry-run', 'only show what would be done, and why')
    .option(
      '--only <vm>',
      'only these VMs of the job: name, id or pattern; may be repeated',
      collect,
    )
    .option('--new-repository', 'make the repository anew where that of earlier runs is gone')
    .option('--report <file>', 'write the report as an HTML page')
    .action(async (name: string, flags: RunFlags) => {
      const context = new CommandContext(flags);
      const line = createProgressLine('run', context.isJson);
      const work = async (): Promise<number> => {
        const { readJobFile } = await import('../../../jobs/config/readJobFile.ts');
        const { requireJob } = await import('../../../jobs/requireJob.ts');
        const file = await readJobFile(jobFileOf(flags), context.signal);
        const job = requireJob(file, name);
        if (flags.dryRun) return await preview(file, job, flags, context);
        return await conduct(file, job, flags, context, line);
      };
      done(await context.execute(() => work().finally(() => line.stop())));
    });
}
