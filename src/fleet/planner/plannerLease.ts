/**
 * A queue has one planner. It holds a key of the server for a time and renews it. A planner that
 * was killed leaves its key, so the next one waits for the end of that time.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { QueueError } from '../../core/errors.ts';
import { packageVersion } from '../../core/installation.ts';
import { describeProcess, isProvablyGone } from '../../store/processIdentity.ts';
import type { QueueLink } from '../connection.ts';
import { PLANNER_KEY } from '../keys.ts';
import { holdKey, releaseKey } from '../leases.ts';
import { parsePlanner, type PlannerFacts } from '../plannerFacts.ts';

function plannerRunning(place: string, holder: string): QueueError {
  const { host, pid } = parsePlanner(holder)?.process ?? { host: 'unknown', pid: 0 };
  const text = `queue ${place} has a planner already: process ${pid} on ${host}`;
  return new QueueError('QUEUE_PLANNER_RUNNING', text, {
    hint: 'stop that daemon or run first; a planner that was killed is replaced after a minute',
  });
}

export class PlannerLease implements AsyncDisposable {
  readonly token: string;
  readonly #link: QueueLink;
  /** The value of the key. */
  readonly #holder: string;
  #other: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(link: QueueLink, facts: PlannerFacts) {
    this.#link = link;
    this.token = facts.token;
    this.#holder = JSON.stringify(facts);
  }

  /**
   * Waits for the lease of a planner that does not renew it.
   *
   * @throws {@link QueueError} `QUEUE_PLANNER_RUNNING`; the reason of the signal
   */
  static async take(link: QueueLink, signal: AbortSignal): Promise<PlannerLease> {
    const process = await describeProcess();
    const facts = { token: randomUUID(), productVersion: packageVersion(), process };
    const lease = new PlannerLease(link, facts);
    await lease.#takeFirst(signal);
    const renew = (): void => void lease.#renew();
    lease.#timer = setInterval(renew, link.timings.leaseMs / 3).unref();
    // A server that was away may have forgotten the key.
    link.redis.on('ready', renew);
    return lease;
  }

  /** @throws {@link QueueError} `QUEUE_PLANNER_RUNNING` when another planner has taken over */
  assertHeld(): void {
    if (this.#other !== undefined) throw plannerRunning(this.#link.place, this.#other);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const { redis } = this.#link;
    // Commands wait while the server is away, and the lease ends by itself.
    if (redis.status !== 'ready') return;
    await releaseKey(this.#link, PLANNER_KEY, this.#holder).catch(() => {});
  }

  async #hold(): Promise<string | undefined> {
    const { leaseMs } = this.#link.timings;
    return await holdKey(this.#link, PLANNER_KEY, this.#holder, leaseMs);
  }

  async #takeFirst(signal: AbortSignal): Promise<void> {
    const { redis, place, timings } = this.#link;
    let longestMs = Infinity;
    for (;;) {
      const other = await this.#hold();
      if (other === undefined) return;
      const { process } = parsePlanner(other) ?? {};
      if (process && (await isProvablyGone(process))) {
        await releaseKey(this.#link, PLANNER_KEY, other);
        continue;
      }
      const leftMs = await redis.pttl(PLANNER_KEY);
      // It grows only when its holder lives. A key without an end was not set by this product.
      if (leftMs > longestMs || leftMs === -1) throw plannerRunning(place, other);
      longestMs = leftMs < 0 ? Infinity : leftMs;
      await sleep(timings.pollMs, undefined, { signal });
    }
  }

  async #renew(): Promise<void> {
    if (this.#link.redis.status !== 'ready') return;
    // Once lost, it stays lost: the other planner has removed what waited.
    this.#other ??= await this.#hold().catch(() => undefined);
  }
}
