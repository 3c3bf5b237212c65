/** The daemon with the real clock, job file, runs and notifications. */
import type { Logger } from '../../core/log.ts';
import { sessionMessage, type SessionMessage } from '../../core/messages.ts';
import { toFailure } from '../../core/errors.ts';
import { SYSTEM_CLOCK } from '../clock.ts';
import { readJobFile } from '../config/readJobFile.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { JobConfig, JobFile } from '../jobFile.ts';
import { formatMetrics } from '../metrics/formatMetrics.ts';
import { writeMetricsFile } from '../metrics/metricsFile.ts';
import { notifyMissed } from '../notify/notify.ts';
import { concludeRun, conductRun, type RunOptions } from '../run/conductRun.ts';
import { EngineGates } from '../run/engineGates.ts';
import type { OpenRunner } from '../run/runners.ts';
import { StateFolder } from '../state/stateFolder.ts';
import type { VmResult } from '../runReport.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type { DaemonParts, JobPlace, RunEvent } from './parts.ts';

export interface LiveOptions {
  /** Absolute path of the job file. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: DaemonParts['onMessage'];
  readonly onNote: DaemonParts['onNote'];
  /** Where sessions run. @defaultValue this process */
  readonly openRunner?: OpenRunner | undefined;
  readonly watcher?: RunWatcher | undefined;
  /** Patience with the engine. @defaultValue as sessions have it */
  readonly timings?: OvirtTimings | undefined;
}

export interface RunName {
  readonly jobName: string;
  readonly runId: string;
}

/** Who looks at the runs while they go on. Its methods must not throw. */
export interface RunWatcher {
  onRun(event: RunEvent): void;
  onProgress(event: ProgressEvent, run: RunName): void;
  /** After each session of a VM. */
  onResult(result: VmResult, run: RunName): void;
  /** The state of a job has changed without a run, such as by missed times. */
  onState(jobName: string): void;
}

type JobRequest = JobPlace & { readonly job: JobConfig };

export function liveParts(options: LiveOptions): DaemonParts {
  const { path, signal, logger, onMessage, onNote, openRunner, watcher, timings } = options;
  const gates = new EngineGates();
  /** The lock of the daemon is in the first folder, so a new one counts after a restart. */
  let place: Pick<JobFile, 'stateFolder'> | undefined;
  const runOptions = ({ file, job, states }: JobRequest): RunOptions => ({
    file,
    job,
    trigger: 'schedule',
    state: states,
    gates,
    timings,
    openRunner,
    signal,
    logger,
    onMessage: (message) => onMessage(message, job.name),
  });
  return {
    clock: SYSTEM_CLOCK,
    load: async () => await readJobFile(path, signal),
    openStates: async (file) => {
      place ??= { stateFolder: file.stateFolder };
      return await StateFolder.open({ ...file, ...place }, process.env, onMessage);
    },
    run: async (request) => {
      const { openRun, missedSlots, trigger, only } = request;
      const slot = openRun.slot === undefined ? undefined : new Date(openRun.slot);
      const run = { jobName: request.job.name, runId: openRun.runId };
      return await conductRun({
        ...runOptions(request),
        trigger,
        only,
        slot,
        resume: openRun,
        missedSlots,
        signal: request.signal,
        onProgress: watcher && ((event) => watcher.onProgress(event, run)),
        onResult: watcher && ((result) => watcher.onResult(result, run)),
      });
    },
    conclude: async (request, report) => {
      await concludeRun(runOptions(request), report);
      watcher?.onState(request.job.name);
    },
    tellMissed: async (request, slots, isRepeated) => {
      watcher?.onState(request.job.name);
      await tellMissed(request, isRepeated ? [] : slots, options);
    },
    onRun: watcher && ((event) => watcher.onRun(event)),
    onMessage,
    onNote,
  };
}

/** @param slots - for the receivers; without any, only the metrics are written. */
async function tellMissed(
  { file, job, states }: JobRequest,
  slots: readonly Date[],
  { signal, logger, onMessage }: LiveOptions,
): Promise<void> {
  const now = SYSTEM_CLOCK.now();
  const told = { logger, signal, onMessage: (one: SessionMessage) => onMessage(one, job.name) };
  const { failed } = await notifyMissed({ job, slots, now, ...told });
  if (failed > 0) {
    await states.update(job.name, (state) => ({
      ...state,
      failedNotifications: state.failedNotifications + failed,
    }));
  }
  if (file.metricsFile === undefined) return;
  try {
    await writeMetricsFile(file.metricsFile, formatMetrics(await states.readAll(), now));
  } catch (error) {
    const reason = toFailure(error).message;
    onMessage(
      sessionMessage('JOB-629', { job: job.name, reason, file: file.metricsFile }),
      job.name,
    );
  }
}
