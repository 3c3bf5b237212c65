/** The daemon with the real clock, job file, runs and notifications. */
import type { Logger } from '../../core/log.ts';
import { sessionMessage, type SessionMessage } from '../../core/messages.ts';
import { toFailure } from '../../core/errors.ts';
import { SYSTEM_CLOCK } from '../clock.ts';
import { readJobFile } from '../config/readJobFile.ts';
import type { JobConfig, JobFile } from '../jobFile.ts';
import { formatMetrics } from '../metrics/formatMetrics.ts';
import { writeMetricsFile } from '../metrics/metricsFile.ts';
import { notifyMissed } from '../notify/notify.ts';
import { concludeRun, conductRun, type RunOptions } from '../run/conductRun.ts';
import { EngineGates } from '../run/engineGates.ts';
import { StateFolder } from '../state/stateFolder.ts';
import type { DaemonParts, JobPlace } from './parts.ts';

export interface LiveOptions {
  /** Absolute path of the job file. */
  readonly path: string;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  readonly onMessage: (message: SessionMessage) => void;
  readonly onNote: DaemonParts['onNote'];
}

type JobRequest = JobPlace & { readonly job: JobConfig };

export function liveParts(options: LiveOptions): DaemonParts {
  const { path, signal, logger, onMessage, onNote } = options;
  const gates = new EngineGates();
  /** The lock of the daemon is in the first folder, so a new one counts after a restart. */
  let place: Pick<JobFile, 'stateFolder'> | undefined;
  const runOptions = ({ file, job, states }: JobRequest): RunOptions => ({
    file,
    job,
    trigger: 'schedule',
    state: states,
    gates,
    signal,
    logger,
    onMessage,
  });
  return {
    clock: SYSTEM_CLOCK,
    load: async () => await readJobFile(path, signal),
    openStates: async (file) => {
      place ??= { stateFolder: file.stateFolder };
      return await StateFolder.open({ ...file, ...place }, process.env, onMessage);
    },
    run: async (request) => {
      const { openRun, missedSlots } = request;
      const slot = openRun.slot === undefined ? undefined : new Date(openRun.slot);
      return await conductRun({
        ...runOptions(request),
        slot,
        resume: openRun,
        missedSlots,
        signal: request.signal,
      });
    },
    conclude: async (request, report) => {
      await concludeRun(runOptions(request), report);
    },
    tellMissed: async (request, slots, isRepeated) =>
      await tellMissed(request, isRepeated ? [] : slots, options),
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
  const { failed } = await notifyMissed({ job, slots, now, logger, signal, onMessage });
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
    onMessage(sessionMessage('JOB-629', { job: job.name, reason, file: file.metricsFile }));
  }
}
