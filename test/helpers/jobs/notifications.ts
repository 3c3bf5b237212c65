/** Sends notifications to receivers of a test, with short pauses between tries. */
import { silentLogger } from '../../../src/core/log.ts';
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { JobState } from '../../../src/jobs/jobState.ts';
import type { NotifyConfig } from '../../../src/jobs/jobFile.ts';
import { type NotifyCount, notifyRun } from '../../../src/jobs/notify/notify.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { ENDED_AT, jobWith, runOf } from './runs.ts';

export const RETRY_TIMES = { attempts: 3, firstDelayMs: 1 } as const;

export interface Told extends NotifyCount {
  readonly messages: readonly SessionMessage[];
}

export interface TellOptions {
  readonly report?: RunReport;
  readonly previous?: JobState;
  readonly signal?: AbortSignal;
  readonly mailLimitMs?: number;
}

/** Tells receivers about a run. By default it failed. */
export async function tellRun(
  receivers: readonly NotifyConfig[],
  { report = runOf('failure'), previous, signal, mailLimitMs }: TellOptions = {},
): Promise<Told> {
  const messages: SessionMessage[] = [];
  const count = await notifyRun({
    job: jobWith(...receivers),
    report,
    previous,
    now: ENDED_AT,
    logger: silentLogger,
    signal,
    onMessage: (message) => messages.push(message),
    retryTimes: RETRY_TIMES,
    ...(mailLimitMs === undefined ? {} : { mailLimitMs }),
  });
  return { ...count, messages };
}
