/**
 * The lock of a folder in a bucket: an object that only one process can create. Its holder renews
 * it. It is taken over when it was not renewed for the time of its lease, by the clock of the
 * server, or when its process has provably ended. The holder of a lock that ran out notices it by
 * itself, so both never work at once.
 */
import { randomUUID } from 'node:crypto';
import { RepositoryError } from '../../core/errors.ts';
import { describeProcess } from '../processIdentity.ts';
import type { StoreLock } from '../store.ts';
import {
  ageMs,
  contentOf,
  givenUp,
  isStale,
  lockedError,
  type LockHolder,
  readLock,
} from './lockHolder.ts';
import type { Bucket, ObjectFacts } from './requests/bucket.ts';
import { removeObjects, removeRemains } from './requests/removal.ts';

export interface LockTimes {
  readonly renewEveryMs: number;
  readonly leaseMs: number;
}

export const LOCK_TIMES: LockTimes = { renewEveryMs: 60_000, leaseMs: 5 * 60_000 };
/**
 * The holder counts a lock as lost after this share of its lease. The rest covers the seconds to
 * which the server rounds, and the request that publishes.
 */
const HELD_SHARE = 0.9;

async function create(
  bucket: Bucket,
  key: string,
  holder: LockHolder,
): Promise<ObjectFacts | undefined> {
  const facts = await bucket.put(key, contentOf(holder), { onlyIfAbsent: true });
  return facts === 'conflict' ? undefined : facts;
}

/**
 * Takes over the lock of a holder that is gone: replaces it, unless it changed meanwhile. So of
 * several processes one wins, and one that is killed here leaves nothing.
 */
async function takeOver(
  bucket: Bucket,
  key: string,
  self: LockHolder,
): Promise<ObjectFacts | undefined> {
  const found = await readLock(bucket, key);
  if (!found) {
    // A lock that an administrator deleted may still count there for a write with a condition.
    const made = await create(bucket, key, self);
    if (made || !(await removeRemains(bucket, key))) return made;
    return await create(bucket, key, self);
  }
  if (!found.holder || !(await isStale(bucket, found))) return undefined;
  const facts = await bucket.put(key, contentOf(self), { ifMatch: found.facts.etag });
  return facts === 'conflict' ? undefined : facts;
}

export class ObjectLock implements StoreLock {
  /** True when another session left it. That session may have left more. */
  readonly isTakenOver: boolean;
  /** When it was taken, by the clock of the server. */
  readonly takenAtMs: number;
  readonly #bucket: Bucket;
  readonly #key: string;
  #holder: LockHolder;
  readonly #onRelease: () => Promise<void>;
  #etag: string;
  #renewedAtMs: number;
  #isLost = false;
  #isReleased = false;
  #timer: NodeJS.Timeout | undefined;
  #renewal: Promise<void> = Promise.resolve();

  private constructor(
    place: { readonly bucket: Bucket; readonly key: string },
    holder: LockHolder,
    taken: { readonly facts: ObjectFacts; readonly startedAtMs: number; readonly isOver: boolean },
    onRelease: () => Promise<void>,
  ) {
    this.#bucket = place.bucket;
    this.#key = place.key;
    this.takenAtMs = taken.facts.modifiedAtMs;
    this.#holder = { ...holder, takenAtMs: this.takenAtMs };
    this.#etag = taken.facts.etag;
    this.#renewedAtMs = taken.startedAtMs;
    this.isTakenOver = taken.isOver;
    this.#onRelease = onRelease;
  }

  /** @throws {@link RepositoryError} `REPOSITORY_LOCKED` */
  static async acquire(
    bucket: Bucket,
    key: string,
    onRelease: () => Promise<void>,
    times: LockTimes = LOCK_TIMES,
  ): Promise<ObjectLock> {
    const holder: LockHolder = {
      id: randomUUID(),
      since: new Date().toISOString(),
      leaseMs: times.leaseMs,
      ...(await describeProcess()),
    };
    try {
      let startedAtMs = performance.now();
      let facts = await create(bucket, key, holder);
      const isOver = !facts;
      if (!facts) {
        startedAtMs = performance.now();
        facts = await takeOver(bucket, key, holder);
      }
      if (!facts) throw await lockedError(bucket, key);
      const lock = new ObjectLock(
        { bucket, key },
        holder,
        { facts, startedAtMs, isOver },
        onRelease,
      );
      lock.#renewLater(times.renewEveryMs);
      return lock;
    } catch (error) {
      // The error may come after the object was made.
      givenUp.add(holder.id);
      throw error;
    }
  }

  /** True when others may think that the lock ran out. */
  #isOld(): boolean {
    return performance.now() - this.#renewedAtMs > HELD_SHARE * this.#holder.leaseMs;
  }

  #renewLater(renewEveryMs: number): void {
    this.#timer = setTimeout(() => {
      this.#renewal = this.#renew().finally(() => {
        if (!this.#isLost && this.#timer) this.#renewLater(renewEveryMs);
      });
    }, renewEveryMs).unref();
  }

  /** A failure may pass. The lock counts as lost when its time is over. */
  async #renew(): Promise<void> {
    if (this.#isOld()) {
      this.#isLost = true;
      return;
    }
    const startedAtMs = performance.now();
    const { renewals = 0 } = this.#holder;
    this.#holder = { ...this.#holder, renewals: renewals + 1 };
    try {
      const facts = await this.#bucket.put(this.#key, contentOf(this.#holder), {
        ifMatch: this.#etag,
      });
      if (facts === 'conflict') this.#isLost = true;
      else [this.#etag, this.#renewedAtMs] = [facts.etag, startedAtMs];
    } catch {
      // The next renewal tries again.
    }
  }

  async assertHeld(): Promise<void> {
    await this.#renewal;
    const found = await readLock(this.#bucket, this.#key);
    if (found?.holder?.id !== this.#holder.id) {
      this.#isLost = true;
      throw await lockedError(this.#bucket, this.#key);
    }
    // A machine that slept does not count that time. The clock of the server does.
    const isOver = ageMs(this.#bucket, found) > HELD_SHARE * this.#holder.leaseMs;
    if (this.#isLost || this.#isOld() || isOver) {
      throw new RepositoryError(
        'REPOSITORY_LOCKED',
        `the lock ${this.#bucket.urlOf(this.#key)} could not be renewed in time`,
        { hint: 'another session may work on this VM now; run the command again' },
      );
    }
  }

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#renewal;
    await this.#onRelease();
    const isRemoved = await this.#remove().catch(() => false);
    // Not before: a session of this process could take the lock over, and lose it by our removal.
    if (!isRemoved) givenUp.add(this.#holder.id);
  }

  /** @returns false when the object may still be there. */
  async #remove(): Promise<boolean> {
    const isSure =
      !this.#isLost && performance.now() - this.#renewedAtMs < this.#holder.leaseMs / 2;
    if (!isSure) {
      const found = await readLock(this.#bucket, this.#key);
      if (found?.holder?.id !== this.#holder.id) return true;
    }
    const failures = await removeObjects(this.#bucket, [this.#key]);
    return failures.size === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}
