/**
 * The lock of a folder in a bucket: an object that only one process can create. Its holder renews
 * it. It is taken over when it was not renewed for the time of its lease, by the clock of the
 * server, or when its process has provably ended. The holder of a lock that ran out notices it by
 * itself, so both never work at once.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { RepositoryError } from '../../core/errors.ts';
import {
  describeProcess,
  factSchema,
  isProvablyGone,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../processIdentity.ts';
import type { StoreLock } from '../store.ts';
import type { Bucket, ObjectFacts } from './requests/bucket.ts';
import { removeObjects } from './requests/removal.ts';

const MAX_LOCK_BYTES = 64 * 1024;
/** Claims on claims of processes that ended while they took a lock over. */
const MAX_CLAIMS = 5;

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

/** Ids of locks that this process released. Their objects may still exist, but do not count. */
const givenUp = new Set<string>();

interface LockHolder extends ProcessIdentity {
  readonly id: string;
  /** Time by the clock of the holder, for messages. */
  readonly since: string;
  readonly leaseMs: number;
  /** Time by the clock of the server. A lock that was never renewed lacks it. */
  readonly takenAtMs?: number | undefined;
}

const holderSchema: z.ZodType<LockHolder> = z.intersection(
  processSchema,
  z.object({
    // The id becomes part of a key.
    id: z.string().regex(/^[\w-]{1,64}$/),
    since: factSchema(64),
    leaseMs: z
      .number()
      .int()
      .positive()
      .max(24 * 3_600_000),
    takenAtMs: z.number().optional(),
  }),
);

interface FoundLock {
  readonly facts: ObjectFacts;
  /** Undefined when the object is not readable as a lock. */
  readonly holder: LockHolder | undefined;
}

async function readLock(bucket: Bucket, key: string): Promise<FoundLock | undefined> {
  const found = await bucket.get(key, MAX_LOCK_BYTES);
  if (!found) return undefined;
  return { facts: found.facts, holder: parseHolder(found.bytes.toString('utf8')) };
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function contentOf(holder: LockHolder): Buffer {
  return Buffer.from(JSON.stringify(holder));
}

/** Time for which a lock was not renewed, by the clock of the server. */
function ageMs(bucket: Bucket, { facts }: FoundLock): number {
  return bucket.connection.serverNowMs() - facts.modifiedAtMs;
}

async function isStale(bucket: Bucket, found: FoundLock): Promise<boolean> {
  const { holder } = found;
  if (!holder) return false;
  if (givenUp.has(holder.id) || ageMs(bucket, found) > holder.leaseMs) return true;
  return await isProvablyGone(holder);
}

/** When a lock was taken, by the clock of the server; -Infinity without a lock. */
export async function lockTimeMs(bucket: Bucket, key: string): Promise<number> {
  const found = await readLock(bucket, key);
  return found ? (found.holder?.takenAtMs ?? found.facts.modifiedAtMs) : -Infinity;
}

async function create(
  bucket: Bucket,
  key: string,
  holder: LockHolder,
): Promise<ObjectFacts | undefined> {
  const facts = await bucket.put(key, contentOf(holder), { onlyIfAbsent: true });
  return facts === 'conflict' ? undefined : facts;
}

/**
 * Takes over the lock of a holder that is gone. A process must first get the claim on that holder.
 * Then it replaces the lock, unless it changed meanwhile.
 */
async function takeOver(
  bucket: Bucket,
  key: string,
  self: LockHolder,
  claims = 0,
): Promise<ObjectFacts | undefined> {
  const found = await readLock(bucket, key);
  if (!found) return await create(bucket, key, self);
  if (!found.holder || claims >= MAX_CLAIMS || !(await isStale(bucket, found))) return undefined;
  const claim = `${key}.break.${found.holder.id}`;
  const isClaimed =
    (await create(bucket, claim, self)) ?? (await takeOver(bucket, claim, self, claims + 1));
  if (!isClaimed) return undefined;
  try {
    // Some servers ignore the condition of the write, so the lock is read again before it.
    const now = await readLock(bucket, key);
    if (!now) return await create(bucket, key, self);
    if (now.facts.etag !== found.facts.etag) return undefined;
    const facts = await bucket.put(key, contentOf(self), { ifMatch: found.facts.etag });
    return facts === 'conflict' ? undefined : facts;
  } finally {
    await removeObjects(bucket, [claim]).catch(() => {});
  }
}

export class ObjectLock implements StoreLock {
  /** True when another session left it. That session may have left more. */
  readonly isTakenOver: boolean;
  /** When it was taken, by the clock of the server. */
  readonly takenAtMs: number;
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #holder: LockHolder;
  readonly #onRelease: () => Promise<void>;
  #etag: string;
  #renewedAtMs: number;
  #isLost = false;
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
    if (givenUp.has(this.#holder.id)) return;
    givenUp.add(this.#holder.id);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#renewal;
    await this.#onRelease();
    await this.#remove().catch(() => {});
  }

  async #remove(): Promise<void> {
    const isSure =
      !this.#isLost && performance.now() - this.#renewedAtMs < this.#holder.leaseMs / 2;
    if (!isSure) {
      const found = await readLock(this.#bucket, this.#key);
      if (found?.holder?.id !== this.#holder.id) return;
    }
    const failures = await removeObjects(this.#bucket, [this.#key]);
    if (failures.size === 0) givenUp.delete(this.#holder.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** The error for a lock that another session holds. */
async function lockedError(bucket: Bucket, key: string): Promise<RepositoryError> {
  const found = await readLock(bucket, key);
  const holder = found?.holder;
  const url = bucket.urlOf(key);
  const who = holder
    ? `pid ${holder.pid} on host ${holder.host} since ${holder.since}`
    : 'an unknown holder';
  return new RepositoryError(
    'REPOSITORY_LOCKED',
    `${url.slice(0, url.lastIndexOf('/'))} is locked by ${who}`,
    {
      hint: await hintOf(bucket, url, found),
      details: { pid: holder?.pid, host: holder?.host, since: holder?.since, file: url },
    },
  );
}

async function hintOf(bucket: Bucket, url: string, found: FoundLock | undefined): Promise<string> {
  if (!found) return 'the lock was released at this moment; run the command again';
  const { holder } = found;
  if (!holder) {
    return `the object ${url} is no lock that can be read; if you are sure that no session works on this VM, delete it and run the command again`;
  }
  if ((await stateHere(holder)) === 'alive') return 'wait until that process has ended';
  const leftMs = Math.max(0, holder.leaseMs - ageMs(bucket, found));
  return `wait until that process has ended; if it was killed, its lock runs out in ${Math.ceil(leftMs / 60_000)} minutes at most`;
}
