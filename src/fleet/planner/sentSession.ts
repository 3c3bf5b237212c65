/**
 * A session that the planner has sent to the queue, until its result is there. Everything about it
 * lies on the server, so a planner that continues a run adopts its sessions.
 */
import type { Queue } from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BackupError,
  CancelledError,
  InternalError,
  QueueError,
  toFailure,
} from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { RunnableVm } from '../../sessions/backup/vmRunner.ts';
import type { ProgressEvent } from '../../sessions/shared/progress.ts';
import type { SessionReport } from '../../sessions/shared/report.ts';
import { type QueueLink, queueFailure } from '../connection.ts';
import { failureOf, placedAt, plainFailure } from '../failure.ts';
import { decodeBatch, type FeedEvent } from '../feed.ts';
import type { FleetJob } from '../jobData.ts';
import {
  feedKey,
  jobIdOf,
  leaseKey,
  outcomeField,
  QUEUES_KEY,
  SENT_CHANNEL,
  stateKey,
} from '../keys.ts';
import type { Pause } from '../news.ts';
import { decodeOutcome, type SessionOutcome } from '../outcome.ts';

const MOST_WORKER_CHARS = 300;
/** How often a session is sent again whose worker was lost. */
const MOST_LOSSES = 5;
/** A number above it was not written by this product, because it is a time. */
const LATEST_SEND = 1e15;
const FEED_BATCHES = 100;
const WAITING: ReadonlySet<string> = new Set(['waiting', 'prioritized', 'delayed']);

export interface SentParts {
  readonly link: QueueLink;
  readonly queue: Queue;
  /** Between two looks. It ends when the session has ended. */
  readonly pause: Pause;
  readonly priority: number;
  /** @throws when this planner is no longer the one of the queue */
  readonly assertPlanner: () => void;
  /** Called while the session waits for a worker. @returns why it must not wait any longer */
  readonly onWaiting: () => Promise<BackupError | undefined>;
  /** Whether a worker lives that may take the session, besides those of these names. */
  readonly hasOtherWorker: (names: ReadonlySet<string>) => Promise<boolean>;
  readonly tell: (event: FeedEvent) => void;
  readonly note: (message: SessionMessage) => void;
  readonly data: Omit<FleetJob, 'send'>;
  /** Added when the session is sent: it depends on the time. */
  readonly windowEndMs: () => Promise<number | undefined>;
  /** False when the window has ended. */
  readonly mayStart: () => boolean;
}

interface Look {
  /** Of what was sent last. */
  readonly outcome: SessionOutcome | undefined;
  readonly hasLease: boolean;
  /** As the queue calls it. Only read for a session without outcome and lease. */
  readonly jobState: string;
}

type SentReport = Extract<SessionOutcome, { report: unknown }>;
type FailedOutcome = Extract<SessionOutcome, { failure: unknown }>;
type End = SessionOutcome | { readonly isLost: true };

export class SentSession {
  readonly #parts: SentParts;
  readonly #vm: RunnableVm;
  readonly #signal: AbortSignal;
  readonly #id: string;
  #send = 0;
  #worker = '';
  /** Workers that could not begin the session. */
  readonly #unfit = new Set<string>();
  #lastFeedId = '0';
  #isStopTold = false;
  /** True when nobody waits for the result any more. */
  #isOver = false;
  #isSettled = false;
  /** What was sent to workers that were lost. */
  readonly #lost = new Set<number>();
  /** A lost worker has told no end. The next session cleans up after it on the engine. */
  #isLeft = false;
  /** A worker that was taken for lost has made a point. */
  #earlier: SentReport | undefined;
  /** The last event of a session that has not told its end. */
  #open: ProgressEvent | undefined;

  constructor(parts: SentParts, vm: RunnableVm, signal: AbortSignal) {
    this.#parts = parts;
    this.#vm = vm;
    this.#signal = signal;
    this.#id = parts.data.sessionId;
  }

  /** True when the result was read, and each worker that had the session has told its end. */
  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** @throws the error of the session; {@link CancelledError}; {@link QueueError} */
  async run(): Promise<SessionReport> {
    const own = new AbortController();
    const work = this.#run().catch((error: unknown) => {
      throw this.#failureOf(error);
    });
    work.catch(() => {});
    try {
      return await Promise.race([work, this.#overdue(own.signal)]);
    } finally {
      this.#isOver = true;
      own.abort();
      this.#tellEnd(this.#signal.aborted ? 'cancelled' : 'failed');
    }
  }

  /** Fails when a cancelled session does not end in time, also while the server is away. */
  async #overdue(ended: AbortSignal): Promise<never> {
    await aborted(AbortSignal.any([this.#signal, ended]));
    await sleep(this.#parts.link.timings.cancelMs, undefined, { signal: ended });
    const worker = this.#worker === '' ? '' : ` of worker ${this.#worker}`;
    throw new CancelledError('CANCELLED', `the end of the session${worker} was not awaited`, {
      hint: 'the worker ends the session by itself; look at its log',
    });
  }

  #failureOf(error: unknown): BackupError {
    if (error instanceof BackupError) return error;
    if (this.#signal.aborted) return toFailure(this.#signal.reason, this.#signal);
    return queueFailure(this.#parts.link.place, error);
  }

  async #run(): Promise<SessionReport> {
    await this.#begin();
    for (;;) {
      const end = await this.#follow();
      await this.#leaveQueue();
      const isFailure = 'failure' in end && !(await this.#mayBeginElsewhere(end));
      this.#isSettled = ('report' in end || isFailure) && !this.#isLeft;
      if ('report' in end) return end.report;
      if (isFailure) throw failureOf(placedAt(this.#worker, end.failure));
      if (this.#signal.aborted) throw this.#failureOf(this.#signal.reason);
      await this.#sendAgain(end);
    }
  }

  /** One worker with a wrong password must not fail the VMs that others can back up. */
  async #mayBeginElsewhere({ isUnfit }: FailedOutcome): Promise<boolean> {
    if (!isUnfit) return false;
    this.#unfit.add(this.#worker);
    return await this.#parts.hasOtherWorker(this.#unfit);
  }

  /** Adopts what a planner before this one has sent, or sends the session. */
  async #begin(): Promise<void> {
    const fields = await this.#parts.link.redis.hgetall(stateKey(this.#id));
    const sent = sendIn(fields);
    if (sent === undefined) return await this.#sendJob();
    this.#send = sent;
    const { outcome, hasLease } = await this.#look();
    if (this.#earlier || isDone(outcome)) return;
    const isStopped = fields['cancel'] !== undefined || isCancelled(outcome);
    if (!isStopped && (outcome || hasLease)) return;
    await this.#withdraw();
    await this.#sendJob();
  }

  async #sendJob(): Promise<void> {
    const { link, queue, data, priority } = this.#parts;
    this.#signal.throwIfAborted();
    this.#isStopTold = false;
    // A server that was emptied knows no number. So none may be used twice.
    this.#send = Math.max(this.#send + 1, Math.trunc(await link.serverTimeMs()));
    const key = stateKey(this.#id);
    const { keepMs } = link.timings;
    await link.redis
      .multi()
      .sadd(QUEUES_KEY, queue.name)
      .hset(key, 'send', this.#send)
      .hdel(key, 'cancel')
      .pexpire(key, keepMs)
      .exec();
    const windowEndMs = await this.#parts.windowEndMs();
    const jobId = jobIdOf(this.#id, this.#send);
    const job: FleetJob = { ...data, send: this.#send, windowEndMs };
    // The server may have been away for long.
    this.#signal.throwIfAborted();
    await queue.add('session', job, { jobId, priority, removeOnComplete: true });
    // Who may not publish has workers that find it a moment later.
    await link.redis.publish(SENT_CHANNEL, queue.name).catch(() => {});
  }

  async #sendAgain(end: End): Promise<void> {
    const worker = this.#worker === '' ? 'that is not known' : this.#worker;
    const { label: vm } = this.#vm;
    if ('isLost' in end) {
      this.#lost.add(this.#send);
      if (this.#lost.size > MOST_LOSSES) {
        await this.#tellStop();
        throw workerLost(vm, worker);
      }
      const fields = { vm, worker, n: this.#lost.size, max: MOST_LOSSES };
      this.#parts.note(sessionMessage('FLT-952', fields));
    } else if ('failure' in end) {
      const { message: reason, code } = end.failure;
      this.#parts.note(sessionMessage('FLT-958', { vm, worker, reason, code }));
    } else {
      this.#parts.note(sessionMessage('FLT-953', { vm, worker }));
    }
    this.#tellEnd('failed');
    this.#worker = '';
    await this.#sendJob();
  }

  /** Waits for the end of what was sent last. */
  async #follow(): Promise<End> {
    const { link, pause } = this.#parts;
    const { timings } = link;
    let missingSinceMs: number | undefined;
    for (;;) {
      this.#parts.assertPlanner();
      const { outcome, hasLease, jobState } = await this.#look();
      if (outcome) return this.#endOf(outcome);
      if (this.#isOver) await this.#abandon();
      const isWaiting = !hasLease && WAITING.has(jobState);
      const end = await this.#guide(isWaiting);
      if (end) return end;
      missingSinceMs = hasLease || isWaiting ? undefined : (missingSinceMs ?? performance.now());
      const missingMs = performance.now() - (missingSinceMs ?? Infinity);
      if (missingMs > timings.graceMs) return { isLost: true };
      await pause.wait(timings.pollMs, this.#isStopTold ? undefined : this.#signal);
    }
  }

  #endOf(outcome: SessionOutcome): SessionOutcome {
    if (isDone(outcome)) return outcome;
    // A crash leaves something on the engine. The next attempt of the run cleans up.
    const isCrash = 'failure' in outcome && outcome.failure.code === 'WORKER_CRASHED';
    if (this.#earlier && !isCrash) return this.#earlier;
    // A planner before this one stopped it, or its worker found that another one has it.
    const isStopOfOthers = isCancelled(outcome) && !this.#signal.aborted;
    return isStopOfOthers ? { isReturned: true } : outcome;
  }

  /** Stops what need not go on. @returns the report of an earlier worker that now counts */
  async #guide(isWaiting: boolean): Promise<SentReport | undefined> {
    // It must not go on beside what follows the sessions of the run.
    const isDoneElsewhere = this.#earlier !== undefined && !this.#isLeft;
    const isToStop = this.#signal.aborted || isDoneElsewhere;
    if (isToStop) await this.#tellStop();
    if (!isWaiting) return undefined;
    const failure = isToStop ? undefined : await this.#whyNotWait();
    const isToLeave = isToStop || failure !== undefined;
    if (!isToLeave || !(await this.#withdraw())) return undefined;
    if (this.#earlier) return this.#earlier;
    throw failure ?? this.#failureOf(this.#signal.reason);
  }

  /** Nobody waits for the session any more. */
  async #abandon(): Promise<never> {
    await this.#tellStop();
    await this.#withdraw();
    throw new CancelledError('CANCELLED', 'nobody waits for the session');
  }

  /** Reads everything about what was sent last, and passes its events on. */
  async #look(): Promise<Look> {
    const { link, queue } = this.#parts;
    const jobId = jobIdOf(this.#id, this.#send);
    const [fields, lease, feed] = await Promise.all([
      link.redis.hgetall(stateKey(this.#id)),
      link.redis.exists(leaseKey(jobId)),
      link.redis.xread('COUNT', FEED_BATCHES, 'STREAMS', feedKey(this.#id), this.#lastFeedId),
    ]);
    this.#worker = (fields['worker'] ?? '').slice(0, MOST_WORKER_CHARS);
    for (const [, entries] of feed ?? []) for (const entry of entries) this.#onEntry(entry);
    const outcome = outcomeIn(fields, this.#send);
    this.#earlier ??= earlierReport(fields, this.#send);
    this.#isLeft = [...this.#lost].some((send) => fields[outcomeField(send)] === undefined);
    const hasLease = lease > 0;
    const jobState = outcome || hasLease ? '' : await queue.getJobState(jobId);
    return { outcome, hasLease, jobState };
  }

  #onEntry([entryId, [, batch]]: readonly [string, readonly string[]]): void {
    this.#lastFeedId = entryId;
    for (const event of decodeBatch(batch ?? '')) {
      if (event.type === 'progress') this.#onProgress(event.event);
      else this.#parts.tell(event);
    }
  }

  #onProgress(own: ProgressEvent): void {
    const event = this.#worker === '' ? own : { ...own, worker: this.#worker };
    this.#open = event.type === 'ended' ? undefined : event;
    this.#parts.tell({ type: 'progress', event });
  }

  /** A session that began must end for those who follow its events. */
  #tellEnd(result: 'failed' | 'cancelled'): void {
    if (!this.#open) return;
    const { sessionId, vmName, vmId, worker } = this.#open;
    this.#open = undefined;
    const event: ProgressEvent = { type: 'ended', result, sessionId, vmName, vmId, worker };
    this.#parts.tell({ type: 'progress', event });
  }

  async #whyNotWait(): Promise<BackupError | undefined> {
    const { mayStart, onWaiting } = this.#parts;
    return mayStart() ? await onWaiting() : windowEnded(this.#vm.label);
  }

  /** @returns false when a worker has just taken the session. */
  async #withdraw(): Promise<boolean> {
    return (await this.#parts.queue.remove(jobIdOf(this.#id, this.#send))) === 1;
  }

  /** What was sent is over. Its worker may have died before it took the job out of the queue. */
  async #leaveQueue(): Promise<void> {
    const { link, queue } = this.#parts;
    const jobId = jobIdOf(this.#id, this.#send);
    await link.redis.del(queue.toKey(`${jobId}:lock`));
    await this.#withdraw();
  }

  /** Told at each look, because a server that was emptied forgets it. */
  async #tellStop(): Promise<void> {
    const { redis, timings } = this.#parts.link;
    const key = stateKey(this.#id);
    this.#isStopTold = true;
    await redis.multi().hset(key, 'cancel', 1).pexpire(key, timings.keepMs).exec();
  }
}

type Fields = Readonly<Record<string, string>>;

/** Undefined for a session that was not sent, and for what is no number of a send. */
function sendIn(fields: Fields): number | undefined {
  const send = Number(fields['send'] || Number.NaN);
  return Number.isInteger(send) && send >= 0 && send <= LATEST_SEND ? send : undefined;
}

function outcomeIn(fields: Fields, send: number): SessionOutcome | undefined {
  const text = fields[outcomeField(send)];
  if (text === undefined) return undefined;
  return decodeOutcome(text) ?? { failure: plainFailure(unreadable()) };
}

/** The point of an earlier worker is in the repository, so its report counts too. */
function earlierReport(fields: Fields, send: number): SentReport | undefined {
  for (const [field, text] of Object.entries(fields)) {
    if (!field.startsWith(outcomeField('')) || field === outcomeField(send)) continue;
    const outcome = decodeOutcome(text);
    if (isDone(outcome)) return outcome;
  }
  return undefined;
}

function isDone(outcome: SessionOutcome | undefined): outcome is SentReport {
  return outcome !== undefined && 'report' in outcome;
}

/** The session has ended, so it must not be repeated as one that was lost. */
function unreadable(): InternalError {
  const text = 'the result of the session, as its worker sent it, cannot be read';
  return new InternalError('INTERNAL_INVARIANT', text, {
    hint: 'look into the log of the worker, and at who can write to the server of the queue',
  });
}

function isCancelled(outcome: SessionOutcome | undefined): boolean {
  if (!outcome || 'report' in outcome) return false;
  return 'isReturned' in outcome || outcome.failure.code === 'CANCELLED';
}

function workerLost(vm: string, worker: string): QueueError {
  const text = `the session of ${vm} was lost ${MOST_LOSSES + 1} times, last with worker ${worker}`;
  return new QueueError('QUEUE_WORKER_LOST', text, {
    hint: 'look on the machines of the workers for the reason why they end',
    retryable: true,
  });
}

function windowEnded(vm: string): QueueError {
  return new QueueError('QUEUE_NO_WORKER', `no worker took ${vm} before the end of the window`, {
    hint: 'start more workers, or raise --parallel-vms of those that run',
  });
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
