/**
 * A session that a worker has taken from the queue. While it runs, the worker holds its lease and
 * asks whether it is to stop. The result goes to the server under a key of its own, so it arrives
 * also when the queue has forgotten the session.
 */
import type { Job } from 'bullmq';
import { setTimeout as sleep } from 'node:timers/promises';
import { CancelledError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { retry } from '../../core/retry.ts';
import type { OvirtTimings } from '../../ovirt/timings.ts';
import type { QueueLink } from '../connection.ts';
import type { FleetJob } from '../jobData.ts';
import { ENDED_CHANNEL, jobIdOf, leaseKey, outcomeField, stateKey } from '../keys.ts';
import { holdKey, releaseKey } from '../leases.ts';
import { Pause } from '../news.ts';
import { encodeOutcome, type SessionOutcome } from '../outcome.ts';
import type { ChildTask } from './childMessages.ts';
import type { ChildPool } from './childPool.ts';
import { FeedWriter } from './feedWriter.ts';
import { leaveQueue } from './leaveQueue.ts';

export interface TakenParts {
  readonly link: QueueLink;
  readonly pool: ChildPool;
  /** Absolute path of the job file. */
  readonly file: string;
  readonly workerName: string;
  readonly engineTimings: OvirtTimings | undefined;
  readonly logger: Logger;
  /** Aborted when the worker stops. */
  readonly signal: AbortSignal;
}

export class TakenSession {
  readonly #parts: TakenParts;
  readonly #job: Job;
  /** Of this delivery of the job. It holds the lease too. */
  readonly #jobToken: string;
  readonly #data: FleetJob;
  readonly #stop = new AbortController();
  readonly #leaseKey: string;
  readonly #betweenBeats = new Pause();
  #hasResult = false;
  #isOver = false;

  constructor(parts: TakenParts, job: Job, jobToken: string, data: FleetJob) {
    this.#parts = parts;
    this.#job = job;
    this.#jobToken = jobToken;
    this.#data = data;
    this.#leaseKey = leaseKey(jobIdOf(data.sessionId, data.send));
  }

  /** @returns the outcome; undefined for a session that runs already */
  async run(): Promise<SessionOutcome | undefined> {
    if (!(await this.#holdLease())) {
      await leaveQueue(this.#job, this.#jobToken);
      return undefined;
    }
    const { signal } = this.#parts;
    const stop = (): void => this.#cancel('the worker was stopped');
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    const beats = this.#beat();
    try {
      await this.#nameWorker();
      const outcome = this.#returned(await this.#session());
      this.#hasResult = true;
      await this.#deliver(outcome);
      return outcome;
    } finally {
      this.#isOver = true;
      this.#betweenBeats.end();
      signal.removeEventListener('abort', stop);
      await this.#orGiveUp(beats);
    }
  }

  async #nameWorker(): Promise<void> {
    const { link, workerName } = this.#parts;
    const key = stateKey(this.#data.sessionId);
    await link.redis
      .multi()
      .hset(key, 'worker', workerName)
      .pexpire(key, link.timings.keepMs)
      .exec();
  }

  async #session(): Promise<SessionOutcome> {
    const { link, pool } = this.#parts;
    const feed = new FeedWriter(link, this.#data.sessionId);
    const call = {
      signal: this.#stop.signal,
      onEvent: feed.add.bind(feed),
    };
    const outcome = await pool.run(await this.#task(), call);
    await this.#orGiveUp(feed.close());
    return outcome;
  }

  async #task(): Promise<ChildTask> {
    const { link, file, engineTimings, logger } = this.#parts;
    const { jobName, label, vmId, repositoryId, digests } = this.#data;
    const { bytesPerSecond, windowEndMs } = this.#data;
    const windowLeftMs =
      windowEndMs === undefined ? undefined : windowEndMs - (await link.serverTimeMs());
    return {
      file,
      jobName,
      label,
      vmId,
      repositoryId,
      digests,
      bytesPerSecond,
      windowLeftMs,
      lockPatienceMs: link.timings.lockPatienceMs,
      engineTimings,
      logLevel: logger.level,
    };
  }

  #cancel(reason: string): void {
    this.#stop.abort(new CancelledError('CANCELLED', reason));
  }

  /** A worker that stops gives the session back. A point that was made before counts. */
  #returned(outcome: SessionOutcome): SessionOutcome {
    const isStopped = 'failure' in outcome && outcome.failure.code === 'CANCELLED';
    return isStopped && this.#parts.signal.aborted ? { isReturned: true } : outcome;
  }

  /** @returns false when it is held for another delivery of the job, here or elsewhere */
  async #holdLease(): Promise<boolean> {
    const { link } = this.#parts;
    const { leaseMs } = link.timings;
    return (await holdKey(link, this.#leaseKey, this.#jobToken, leaseMs)) === undefined;
  }

  /** Until the result is delivered. A beat waits for a server that is away. */
  async #beat(): Promise<void> {
    const { link, logger } = this.#parts;
    while (!this.#isOver) {
      await this.#beatOnce().catch((error: unknown) => {
        logger.warn({ reason: String(error) }, 'the lease of a session was not renewed');
      });
      await this.#betweenBeats.wait(link.timings.beatMs);
    }
  }

  async #beatOnce(): Promise<void> {
    const { link } = this.#parts;
    const { send } = this.#data;
    if (!(await this.#holdLease())) this.#cancel('the session runs elsewhere');
    await this.#job.extendLock(this.#jobToken, link.timings.leaseMs).catch(() => {});
    // It ends: a planner must not adopt it. The planner may also have removed the state.
    if (this.#hasResult || this.#stop.signal.aborted) return;
    const [sent, cancel] = await this.#readState();
    if (cancel) this.#cancel('the run was stopped');
    // The planner took this worker for lost.
    if (Number(sent) > send) this.#cancel('the session was given to another worker');
  }

  /** Restores what a server forgot that was emptied: a planner after that adopts the session. */
  async #readState(): Promise<readonly (string | null)[]> {
    const { link, workerName } = this.#parts;
    const { sessionId, send } = this.#data;
    const key = stateKey(sessionId);
    const answers = await link.redis
      .multi()
      .hsetnx(key, 'send', send)
      .hsetnx(key, 'worker', workerName)
      .pexpire(key, link.timings.keepMs)
      .hmget(key, 'send', 'cancel')
      .exec();
    const [refusal, state] = answers?.at(-1) ?? [];
    if (refusal) throw refusal;
    return state as readonly (string | null)[];
  }

  /**
   * Waits for a server that is away, or that takes nothing because it is full. A result that is
   * lost would be made twice. A worker that stops does not wait for ever.
   */
  async #deliver(outcome: SessionOutcome): Promise<void> {
    const { link, logger } = this.#parts;
    const { beatMs, refusedMs } = link.timings;
    const givenUp = new AbortController();
    const patience = {
      windowMs: refusedMs,
      firstDelayMs: beatMs,
      maxDelayMs: beatMs,
      shouldRetry: () => true,
      signal: givenUp.signal,
    };
    const work = async (): Promise<void> => {
      await retry(patience, async () => await this.#write(outcome));
      await leaveQueue(this.#job, this.#jobToken).catch((error: unknown) => link.noteError(error));
      this.#isOver = true;
      await releaseKey(link, this.#leaseKey, this.#jobToken).catch(() => {});
    };
    if (await this.#orGiveUp(work())) return;
    givenUp.abort();
    const { sessionId } = this.#data;
    logger.error({ sessionId }, 'the result of a session was not delivered');
  }

  /** @throws the refusal of the server */
  async #write(outcome: SessionOutcome): Promise<void> {
    const { redis, timings } = this.#parts.link;
    const { sessionId, send } = this.#data;
    const key = stateKey(sessionId);
    const answers = await redis
      .multi()
      .hset(key, outcomeField(send), encodeOutcome(outcome))
      .hsetnx(key, 'send', send)
      .pexpire(key, timings.keepMs)
      .publish(ENDED_CHANNEL, sessionId)
      .exec();
    for (const [refusal] of answers ?? []) if (refusal) throw refusal;
  }

  /** @returns false when the worker stops, and the server does not answer in time */
  async #orGiveUp(work: Promise<void>): Promise<boolean> {
    const { signal, link } = this.#parts;
    const ended = new AbortController();
    const giveUp = async (): Promise<boolean> => {
      await aborted(signal, ended.signal);
      await sleep(link.timings.deliverMs, undefined, { signal: ended.signal });
      return false;
    };
    try {
      return await Promise.race([work.then(() => true), giveUp()]);
    } finally {
      ended.abort();
    }
  }
}

async function aborted(signal: AbortSignal, ended: AbortSignal): Promise<void> {
  const either = AbortSignal.any([signal, ended]);
  if (either.aborted) return;
  await new Promise<void>((resolve) => {
    either.addEventListener('abort', () => resolve(), { once: true });
  });
}
