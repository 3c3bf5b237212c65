/** Shows what a run of a job would do, and why. It changes and locks nothing. */
import { toFailure } from '../../core/errors.ts';
import { Repository } from '../../repository/repository.ts';
import { type CopyPlan, planCopy } from '../../sessions/copy/planCopy.ts';
import { type PreflightReport, preflightOn } from '../../sessions/backup/vm/preflightVm.ts';
import {
  type FailedSession,
  failedSession,
  loginForSessions,
} from '../../sessions/backup/vmRunner.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { PruneReport } from '../../sessions/retention/pruneReport.ts';
import { engineSettings, storeOptionsOf } from '../config/connectionSettings.ts';
import type { HookResult } from '../runReport.ts';
import { windowEnd } from '../schedule/schedule.ts';
import { type JobRunOptions, sessionOptionsOf } from './runJob.ts';
import { requireNoPast } from './pastPoints.ts';
import { planRun, type RunPlan } from './runPlan.ts';
import { foldersOf, pruneStep } from './steps.ts';

export interface RunPreview {
  readonly type: 'run_preview';
  readonly jobName: string;
  readonly repository: string;
  /** No session would start from then on, ISO 8601; absent without a window. */
  readonly windowEnd?: string | undefined;
  /** How the next session of each VM would read its disks. */
  readonly vms: readonly PreflightReport[];
  /** VMs whose sessions would fail. */
  readonly failures: readonly FailedSession[];
  readonly vanishedVms: readonly string[];
  readonly newVms: readonly string[];
  /** Of the points that are there now: those of the run would come in addition. */
  readonly prune?: PruneReport | undefined;
  /** Of the points that are there now. */
  readonly copy?: CopyPlan | undefined;
  /** Share of the stored blocks that would be read afterwards. */
  readonly verifySampleRatio?: number | undefined;
  /** Programs that would be started. */
  readonly hooks: readonly Pick<HookResult, 'when' | 'program'>[];
}

export type PreviewOptions = Omit<
  JobRunOptions,
  | 'runId'
  | 'trigger'
  | 'slot'
  | 'clock'
  | 'gates'
  | 'onResult'
  | 'onProgress'
  | 'doneVms'
  | 'missedSlots'
>;

type Sessions = Pick<RunPreview, 'vms' | 'failures'>;

/** Plans the next session of each VM, one after the other. */
async function previewVms(
  engine: EngineApi,
  { vms }: RunPlan,
  options: PreviewOptions,
): Promise<Sessions> {
  const { job, signal, logger, onMessage, onStatus } = options;
  const store = storeOptionsOf(job.repository, { signal, onWait: onStatus });
  const settings = await engineSettings(job.engine, options.timings, signal);
  const { place: repository } = job.repository;
  const { mode } = job.backup;
  const place = { engine: settings, repository, store };
  const common = { ...place, mode, excludeDiskPatterns: job.excludeDisks, signal, logger };
  const reports: PreflightReport[] = [];
  const failures: FailedSession[] = [];
  for (const { label, vmName } of vms) {
    try {
      reports.push(await preflightOn(engine, { ...common, vm: label, onMessage }));
    } catch (error) {
      signal.throwIfAborted();
      failures.push(failedSession(vmName, toFailure(error, signal)));
    }
  }
  return { vms: reports, failures };
}

async function previewSteps(
  plan: RunPlan,
  options: PreviewOptions,
): Promise<Pick<RunPreview, 'prune' | 'copy'>> {
  const { job, signal, logger, onMessage, onStatus } = options;
  const waits = { signal, onWait: onStatus };
  await using repository = await Repository.openIfMade(
    job.repository.place,
    storeOptionsOf(job.repository, waits),
  );
  if (!repository) {
    if (!options.newRepository) requireNoPast(job, options.previous);
    return {};
  }
  const folders = await foldersOf(repository, plan.vms);
  const prune = await pruneStep({ repository, folders, job, signal, logger, onMessage }, true);
  const { copyTo } = job;
  const copy = copyTo && (await planCopy(folders, copyTo.place, storeOptionsOf(copyTo, waits)));
  return { ...(prune ? { prune } : {}), ...(copy ? { copy } : {}) };
}

/** @throws a {@link BackupError} when nothing can be planned */
export async function previewJob(options: PreviewOptions): Promise<RunPreview> {
  const { job, signal, logger, onMessage, only, previous, startedAt } = options;
  try {
    const settings = await engineSettings(job.engine, options.timings, signal);
    const sessions = sessionOptionsOf(options);
    await using engine = await loginForSessions(settings, sessions);
    const past = previous.vms;
    const plan = await planRun(engine, job, { past, only, signal, logger, onMessage });
    const endMs = windowEnd(job, startedAt.getTime());
    return {
      type: 'run_preview',
      jobName: job.name,
      repository: job.repository.place,
      ...(endMs === undefined ? {} : { windowEnd: new Date(endMs).toISOString() }),
      ...(await previewVms(engine, plan, options)),
      vanishedVms: plan.vanishedVms,
      newVms: plan.newVms,
      ...(await previewSteps(plan, options)),
      ...(job.verifySampleRatio === undefined ? {} : { verifySampleRatio: job.verifySampleRatio }),
      hooks: (['before', 'after'] as const).flatMap((when) =>
        job.hooks[when].map(({ command: [program = ''] }) => ({ when, program })),
      ),
    };
  } catch (error) {
    throw toFailure(error, signal);
  }
}
