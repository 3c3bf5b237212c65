/**
 * The lock of a folder in a bucket: an object that only one process can create. Its holder renews
 * it. It is taken over when it was not renewed for the time of its lease, by the clock of the
 * server, or when its process has provably ended.
 *
 * A holder that was paused for longer than its lease may go on to work. These rules keep it from
 * changing anything:
 *
 * - The object of the lock changes only while it has the ETag that the writer knows.
 * - So does each other file that only the holder of the lock writes. A process that took the lock
 *   over first writes the chain metadata with its token. So an older ETag never comes back.
 * - A process that took the lock over first ends all uploads. So no older upload can be completed.
 *
 * A container below one part is one request. A holder that is paused right before it makes an
 * object that no chain metadata names. It deletes that object when its next request is refused.
 */
import { randomUUID } from 'node:crypto';
import { RepositoryError } from '../../core/errors.ts';
import { LOCK_TIMES, lockLostError, type LockTimes, Renewal } from '../lockLease.ts';
import { describeProcess } from '../processIdentity.ts';
import type { StoreLock } from '../store.ts';
import {
  ageMs,
  contentOf,
  type FoundLock,
  givenUp,
  isStale,
  lockedError,
  type LockHolder,
  readLock,
} from './lockHolder.ts';
import type { Bucket, ObjectFacts } from './requests/bucket.ts';
import { removeObjects, removeRemains } from './requests/removal.ts';

/**
 * A holder renews its lock before it relies on one that is older than this share of its lease. The
 * rest covers the seconds to which the server rounds.
 */
const FRESH_SHARE = 0.5;

/** The lock as it was taken. */
interface Taken {
  readonly facts: ObjectFacts;
  readonly holder: LockHolder;
}

/** On a clock that is never set, and on one that counts the time in which the machine sleeps. */
interface Moment {
  readonly steadyMs: number;
  readonly wallMs: number;
}

function present(): Moment {
  return { steadyMs: performance.now(), wallMs: Date.now() };
}

function sinceMs({ steadyMs, wallMs }: Moment): number {
  return Math.max(performance.now() - steadyMs, Date.now() - wallMs);
}

async function create(bucket: Bucket, key: string, holder: LockHolder): Promise<Taken | undefined> {
  const facts = await bucket.put(key, contentOf(holder), { onlyIfAbsent: true });
  return facts === 'conflict' ? undefined : { facts, holder };
}

/**
 * Takes over the lock of a holder that is gone: replaces it, unless it changed meanwhile. So of
 * several processes one wins, and one that is killed here leaves nothing.
 */
async function takeOver(bucket: Bucket, key: string, self: LockHolder): Promise<Taken | undefined> {
  const found = await readLock(bucket, key);
  if (!found) {
    // A lock that an administrator deleted may still count there for a write with a condition.
    const made = await create(bucket, key, self);
    if (made || !(await removeRemains(bucket, key))) return made;
    return await create(bucket, key, self);
  }
  if (!found.holder || !(await isStale(bucket, found))) return undefined;
  // Larger also when the clock of the server was put back.
  const token = Math.max(self.token ?? 0, (found.holder.token ?? 0) + 1);
  const holder = { ...self, token };
  const facts = await bucket.put(key, contentOf(holder), { ifMatch: found.facts.etag });
  return facts === 'conflict' ? undefined : { facts, holder };
}

export class ObjectLock implements StoreLock {
  readonly token: number;
  /** True when another session left it. That session may have left more. */
  readonly isTakenOver: boolean;
  /** When it was taken, by the clock of the server. */
  readonly takenAtMs: number;
  readonly #bucket: Bucket;
  readonly #key: string;
  #holder: LockHolder;
  readonly #onRelease: () => Promise<void>;
  #etag: string;
  #renewedAt: Moment;
  readonly #lost = new AbortController();
  #isReleased = false;
  readonly #renewal: Renewal;

  private constructor(
    place: { readonly bucket: Bucket; readonly key: string },
    taken: Taken & { readonly startedAt: Moment; readonly isOver: boolean },
    onRelease: () => Promise<void>,
    { renewEveryMs }: LockTimes,
  ) {
    this.#bucket = place.bucket;
    this.#key = place.key;
    this.takenAtMs = taken.facts.modifiedAtMs;
    this.#holder = { ...taken.holder, takenAtMs: this.takenAtMs };
    this.token = taken.holder.token ?? 0;
    this.#etag = taken.facts.etag;
    this.#renewedAt = taken.startedAt;
    this.isTakenOver = taken.isOver;
    this.#onRelease = onRelease;
    this.#renewal = new Renewal(() => this.#renewQuietly(), renewEveryMs);
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
      token: Math.floor(bucket.connection.serverNowMs()),
      ...(await describeProcess()),
    };
    try {
      let startedAt = present();
      let taken = await create(bucket, key, holder);
      const isOver = !taken;
      if (!taken) {
        startedAt = present();
        taken = await takeOver(bucket, key, holder);
      }
      if (!taken) throw await lockedError(bucket, key);
      return new ObjectLock({ bucket, key }, { ...taken, startedAt, isOver }, onRelease, times);
    } catch (error) {
      // The error may come after the object was made.
      givenUp.add(holder.id);
      throw error;
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** The server compares contents, not tokens. */
  get mustMark(): boolean {
    return this.isTakenOver;
  }

  /**
   * True when no other process can have taken the lock, because it was renewed a moment ago. A
   * clock may be put back while the machine sleeps, so this is no proof for a commit.
   */
  get #isFresh(): boolean {
    const isFresh = sinceMs(this.#renewedAt) < FRESH_SHARE * this.#holder.leaseMs;
    return isFresh && !this.#lost.signal.aborted;
  }

  /** A failure may pass. @returns false when the lock is lost. */
  async #renewQuietly(): Promise<boolean> {
    return await this.#renew().catch(() => !this.#lost.signal.aborted);
  }

  /** A lock that ran out and that nobody took is renewed, too. */
  async #renew(): Promise<boolean> {
    const startedAt = present();
    const { renewals = 0 } = this.#holder;
    this.#holder = { ...this.#holder, renewals: renewals + 1 };
    const content = contentOf(this.#holder);
    const facts = await this.#bucket.put(this.#key, content, { ifMatch: this.#etag });
    if (facts !== 'conflict') {
      [this.#etag, this.#renewedAt] = [facts.etag, startedAt];
      return true;
    }
    // An earlier renewal whose answer was lost counts as ours.
    const found = await readLock(this.#bucket, this.#key);
    if (found?.holder?.id === this.#holder.id) this.#etag = found.facts.etag;
    else await this.#lose();
    return !this.#lost.signal.aborted;
  }

  async #lose(): Promise<RepositoryError> {
    const url = this.#bucket.urlOf(this.#key);
    const place = url.slice(0, url.lastIndexOf('/'));
    const error = lockLostError(place, await lockedError(this.#bucket, this.#key));
    this.#lost.abort(error);
    return error;
  }

  async assertHeld(): Promise<void> {
    await this.#renewal.settle();
    const found = await readLock(this.#bucket, this.#key);
    if (found?.holder?.id !== this.#holder.id) throw await this.#lose();
    if (this.#isFresh && !this.#isOld(found)) return;
    const isRenewed = await this.#renew().catch((cause: unknown) => {
      throw new RepositoryError(
        'REPOSITORY_LOCKED',
        `the lock ${this.#bucket.urlOf(this.#key)} could not be renewed in time`,
        { cause, hint: 'another session may work on this VM now; run the command again' },
      );
    });
    if (!isRenewed) throw this.#lost.signal.reason;
  }

  /** A machine that slept does not count that time. The clock of the server does. */
  #isOld(found: FoundLock): boolean {
    return ageMs(this.#bucket, found) > FRESH_SHARE * this.#holder.leaseMs;
  }

  /** As {@link assertHeld}. Sends no request for a lock that was renewed a moment ago. */
  async assertFresh(): Promise<void> {
    if (!this.#isFresh) await this.assertHeld();
  }

  async isHeld(): Promise<boolean> {
    return await this.assertFresh().then(
      () => true,
      () => false,
    );
  }

  async release(): Promise<void> {
    if (this.#isReleased) return;
    this.#isReleased = true;
    await this.#renewal.stop();
    await this.#onRelease();
    const isRemoved = await this.#remove().catch(() => false);
    // Not before: a session of this process could take the lock over, and lose it by our removal.
    if (!isRemoved) givenUp.add(this.#holder.id);
  }

  /** @returns false when the object may still be there. */
  async #remove(): Promise<boolean> {
    if (!this.#isFresh) {
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
