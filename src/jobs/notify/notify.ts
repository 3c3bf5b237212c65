/** Tells the receivers of a job what happened: the only file of this folder that others import. */
import { randomUUID } from 'node:crypto';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { JobConfig, SecretFile } from '../jobFile.ts';
import type { JobState } from '../jobState.ts';
import type { RunReport } from '../runReport.ts';
import { readCaFile } from '../../store/userFile.ts';
import { readSecret } from '../config/secrets.ts';
import { type Delivery, deliverAll, type Told } from './deliver.ts';
import type { RetryTimes } from './delivery.ts';
import { runEvent } from './events.ts';
import { missedNotice, runNotice, testNotice } from './notice.ts';

export interface NotifyOptions {
  readonly job: JobConfig;
  readonly now: Date;
  readonly logger: Logger;
  /** Ends deliveries that wait. They count as failed. */
  readonly signal: AbortSignal | undefined;
  /** Gets a message for each delivery that failed. */
  readonly onMessage: (message: SessionMessage) => void;
  /** @defaultValue four tries in seven seconds, none after a minute */
  readonly retryTimes?: RetryTimes;
  /** Time for one try of a mail. @defaultValue ten minutes */
  readonly mailLimitMs?: number;
}

const RETRY_TIMES: RetryTimes = { attempts: 4, firstDelayMs: 1000, windowMs: 60_000 };

export interface NotifyRunOptions extends NotifyOptions {
  readonly report: RunReport;
  /** What the job remembered before this run; undefined before its first run. */
  readonly previous: JobState | undefined;
}

export interface NotifyMissedOptions extends NotifyOptions {
  /** Times of the schedule for which no run was started. */
  readonly slots: readonly Date[];
}

/** Deliveries: one per receiver and way (mail, webhook, command). */
export interface NotifyCount {
  readonly sent: number;
  readonly failed: number;
}

async function tell(told: readonly Told[], options: NotifyOptions): Promise<readonly Delivery[]> {
  const { job, logger, signal, mailLimitMs, retryTimes = RETRY_TIMES } = options;
  const context = {
    jobName: job.name,
    logger,
    signal,
    retryTimes,
    mailLimitMs,
    readSecret: async (secret: SecretFile) => await readSecret(secret, process.env, signal),
    readCa: async (file: string) => await readCaFile(file, 'the receiver', signal),
  };
  return await deliverAll(told, context, options.onMessage);
}

function countOf(deliveries: readonly Delivery[]): NotifyCount {
  const failed = deliveries.filter(({ failure }) => failure !== undefined).length;
  return { sent: deliveries.length - failed, failed };
}

/**
 * Tells the outcome of a run: each receiver that wants its event gets one message. A failure to
 * deliver is a message `NTF-901` to `NTF-904`. Nothing is thrown for it.
 */
export async function notifyRun(options: NotifyRunOptions): Promise<NotifyCount> {
  const { job, report, previous, now } = options;
  const id = randomUUID();
  const lastPoints = previous?.vms ?? [];
  const told = job.notify.flatMap((receiver) => {
    const event = runEvent(receiver.on, report, previous);
    if (!event) return [];
    const notice = runNotice(id, event, report, lastPoints, now, job.engine.url);
    return [{ receiver, notice }];
  });
  return countOf(await tell(told, options));
}

/** Tells that times of the schedule were missed, to each receiver that wants the event `missed`. */
export async function notifyMissed(options: NotifyMissedOptions): Promise<NotifyCount> {
  const { job, slots, now } = options;
  if (slots.length === 0) return { sent: 0, failed: 0 };
  const notice = missedNotice(randomUUID(), job.name, slots, now);
  const told = job.notify
    .filter(({ on }) => on.includes('missed'))
    .map((receiver) => ({ receiver, notice }));
  return countOf(await tell(told, options));
}

/** Sends a test message to each receiver of the job, whatever its events are. */
export async function notifyTest(options: NotifyOptions): Promise<readonly Delivery[]> {
  const { job, now } = options;
  const notice = testNotice(randomUUID(), job.name, now);
  const told = job.notify.map((receiver) => ({ receiver, notice }));
  return await tell(told, options);
}
