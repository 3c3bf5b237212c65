/**
 * One lock per folder. It names its holder: process, host and time. Its holder renews it, so that
 * the time of the file is near that of the file server. A lock is taken over when its holder has
 * provably ended, or did not renew it for the time of its lease. All times are those of the file
 * server, so the clocks of the hosts may differ.
 *
 * A holder that was paused for longer than its lease may go on to work. Two rules keep it from
 * changing anything, whatever it was about to do:
 *
 * - A holder writes a temporary file with its token in the name. Then it reads the lock. Only when
 *   the lock is its own it gives the file its final name.
 * - A process that got the lock first deletes the temporary files of all others. Only then it reads
 *   or changes the folder.
 *
 * So either the paused holder finds another lock, or its temporary file is gone and the rename
 * fails, or its rename came before all that the new holder has read. This does not depend on any
 * clock. See {@link DiskFolder} for deletions, which have no temporary file.
 */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { errnoOf, RepositoryError } from '../../core/errors.ts';
import { retryPassing } from '../../core/systemErrors.ts';
import {
  LOCK_TIMES,
  leaseHint,
  lockLostError,
  type LockTimes,
  MAX_LEASE_MS,
  Renewal,
} from '../lockLease.ts';
import type { StoreLock } from '../store.ts';
import { exists, guardRepository, linkOrCreate, removeQuietly } from './durableFile.ts';
import {
  describeProcess,
  factSchema,
  type HolderState,
  isProvablyGone,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../processIdentity.ts';
import { openRegular } from './regularFile.ts';

const LOCK_NAME = 'lock';
const MAX_LOCK_BYTES = 64 * 1024;
const MAX_TRIES = 3;
/**
 * Names of the files that take a lock: `lock.<id>` before it is linked to `lock`, and
 * `lock.break.<id>`, the claim on the lock of a holder that is gone. A claim can be claimed too.
 */
const LOCK_ATTEMPT = /^lock\.(?:[\w-]+\.)*[\w-]+$/;
const CLAIM = /^lock\.break\./;

/** Ids of locks that this process could not remove. Their files no longer count. */
const givenUp = new Set<string>();

export interface LockHolder extends ProcessIdentity {
  readonly id: string;
  readonly since: string;
  /**
   * Time without a renewal after which the holder counts as gone. Locks of older versions, and
   * locks for life, lack it.
   */
  readonly leaseMs?: number | undefined;
  /** Larger than that of the holder before. Locks of older versions lack it. */
  readonly token?: number | undefined;
}

const holderSchema: z.ZodType<LockHolder> = z.intersection(
  processSchema,
  z.object({
    // The id becomes part of a file name.
    id: z.string().regex(/^[\w-]{1,64}$/),
    since: factSchema(64),
    leaseMs: z.number().int().positive().max(MAX_LEASE_MS).optional(),
    token: z.number().int().nonnegative().optional(),
  }),
);

/** Why nothing is proven about a holder. */
const UNPROVEN: Readonly<Record<Exclude<HolderState, 'alive' | 'gone'>, string>> = {
  'on another host': 'that process was started on another host, so it cannot be seen from here',
  'of another boot':
    'that process was started on another machine, or before this machine was restarted',
  'in another container':
    'that process was started in another container, so it cannot be seen from here',
  unknown: 'this system cannot tell whether that process still runs',
};

function hintOf(
  { file, found }: Blocker,
  state: HolderState | 'unreadable',
  nowMs: number,
): string {
  const wayOut = `if you are sure that it has ended, delete ${file} and run the command again`;
  switch (state) {
    case 'alive':
      return 'wait until that process has ended';
    case 'gone':
      return 'another session takes this lock over at this moment; run the command again';
    case 'unreadable':
      return `the lock file ${file} cannot be read, so its holder is not known; if you are sure that no session works on this VM, delete the file and run the command again`;
    default:
      return found?.holder.leaseMs === undefined
        ? `${UNPROVEN[state]}; wait until it has ended; ${wayOut}`
        : leaseHint(found.holder, found.holder.leaseMs - (nowMs - found.renewedAtMs));
  }
}

/**
 * The error for a lock that another session holds. The hint says how long it lasts.
 *
 * @param nowMs - by the clock of the file server.
 */
async function lockedError(lockFile: string, nowMs: number): Promise<RepositoryError> {
  const blocker = await blockerOf(lockFile, nowMs);
  const holder = blocker.found?.holder;
  const { file } = blocker;
  const who = holder
    ? `pid ${holder.pid} on host ${holder.host} since ${holder.since}`
    : 'an unknown holder';
  const state = holder ? await stateHere(holder) : 'unreadable';
  return new RepositoryError('REPOSITORY_LOCKED', `${path.dirname(file)} is locked by ${who}`, {
    hint: hintOf(blocker, state, nowMs),
    details: { pid: holder?.pid, host: holder?.host, since: holder?.since, file },
  });
}

interface Blocker {
  readonly file: string;
  readonly found: FoundLock | undefined;
}

/** The lock, or the claim of another session on it when the holder of the lock is gone. */
async function blockerOf(file: string, nowMs: number): Promise<Blocker> {
  const found = await readLock(file);
  if (!found || !(await isGone(found, nowMs))) return { file, found };
  const claim = claimOn(file, found.holder);
  return (await readLock(claim)) ? await blockerOf(claim, nowMs) : { file, found };
}

function claimOn(file: string, holder: LockHolder): string {
  return `${file}.break.${holder.id}`;
}

export class ChainLock implements StoreLock {
  readonly token: number;
  readonly mustMark = false;
  readonly #file: string;
  readonly #holder: LockHolder;
  readonly #lost = new AbortController();
  readonly #renewal: Renewal | undefined;
  /** Temporary file of this lock that could not be deleted yet. */
  #left: string | undefined;
  #isReleased = false;

  private constructor(file: string, holder: LockHolder, times: LockTimes | undefined) {
    this.#file = file;
    this.#holder = holder;
    this.token = holder.token ?? 0;
    if (times) this.#renewal = new Renewal(() => this.#renew(), times.renewEveryMs);
  }

  /**
   * Takes the lock of a folder.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
   */
  static async acquire(folder: string, times: LockTimes = LOCK_TIMES): Promise<ChainLock> {
    return await ChainLock.#acquire(folder, times);
  }

  /**
   * As {@link acquire}, without a lease: the lock lasts until its process has provably ended. For
   * files that are changed where they are: a process that was paused could go on to write them.
   */
  static async acquireForLife(folder: string): Promise<ChainLock> {
    return await ChainLock.#acquire(folder, undefined);
  }

  /** The attempt of a process that was paused may be deleted. Then it makes another one. */
  static async #acquire(folder: string, times: LockTimes | undefined): Promise<ChainLock> {
    return await guardRepository(`lock ${folder}`, async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await ChainLock.#try(folder, times);
        } catch (error) {
          const isDeleted = errnoOf(error) === 'ENOENT' && (await exists(folder));
          if (!isDeleted || tries === MAX_TRIES) throw error;
        }
      }
    });
  }

  static async #try(folder: string, times: LockTimes | undefined): Promise<ChainLock> {
    const file = path.join(folder, LOCK_NAME);
    const id = randomUUID();
    const since = new Date().toISOString();
    const self = { id, since, leaseMs: times?.leaseMs, ...(await describeProcess()) };
    const attemptFile = `${file}.${id}`;
    try {
      const own = await Attempt.make(attemptFile, self);
      const isTaken = (await tryTake(own, file)) || (await breakStaleLock(file, own));
      if (!isTaken) throw await lockedError(file, own.nowMs);
      await removeLeftAttempts(folder, own);
      const lock = new ChainLock(file, own.holder, times);
      lock.#left = (await isDone(rm(own.file, { force: true }))) ? undefined : own.file;
      return lock;
    } catch (error) {
      // The error may come after the link was made, so the lock may exist.
      await removeOwn(file, id);
      await removeQuietly(attemptFile);
      throw error;
    }
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /**
   * Checks that nobody took the lock over. Call it right before a restore point is published.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
   */
  async assertHeld(): Promise<void> {
    const found = await readLock(this.#file);
    if (found?.holder.id !== this.#holder.id) throw await this.#lose();
  }

  async isHeld(): Promise<boolean> {
    return await isDone(this.assertHeld());
  }

  async #lose(): Promise<RepositoryError> {
    const error = lockLostError(
      path.dirname(this.#file),
      await lockedError(this.#file, Number.NaN),
    );
    this.#lost.abort(error);
    return error;
  }

  /**
   * Gives the lock the time of the file server, by writing the same bytes again. The file is opened
   * first and read then. So the write reaches the own file, also when another process replaces it
   * at this moment. A failure may pass.
   */
  async #renew(): Promise<boolean> {
    try {
      const handle = await open(this.#file, 'r+');
      try {
        const found = await readHandle(handle);
        if (found?.holder.id === this.#holder.id) {
          await handle.write(found.bytes, 0, found.bytes.length, 0);
          await handle.sync();
          return true;
        }
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') return true;
    }
    await this.#lose();
    return false;
  }

  /**
   * Releases the lock. Never throws, because the result of the session must not change any more. If
   * the file cannot be removed, the next session takes the lock over, also in this process.
   */
  async release(): Promise<void> {
    await this.#renewal?.stop();
    this.#isReleased = true;
    if (this.#left) await removeQuietly(this.#left);
    await removeOwn(this.#file, this.#holder.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** Deletes a lock that has this id. What cannot be deleted does not count any more. */
async function removeOwn(file: string, id: string): Promise<void> {
  const found = await readLock(file);
  if (found && found.holder.id !== id) return;
  const isRemoved = found && (await isDone(rm(file, { force: true })));
  // Not before: another task would take the lock over, and this one would remove the new lock.
  if (!isRemoved) givenUp.add(id);
}

/**
 * When the lock of a folder was taken or renewed, by the clock of its file server. Without a lock
 * it is the beginning of time, so nothing is old then.
 */
export async function lockedAtMs(folder: string): Promise<number> {
  return await stat(path.join(folder, LOCK_NAME)).then(
    ({ mtimeMs }) => mtimeMs,
    () => -Infinity,
  );
}

async function isDone(work: Promise<unknown>): Promise<boolean> {
  return await work.then(
    () => true,
    () => false,
  );
}

async function isGone({ holder, renewedAtMs }: FoundLock, nowMs: number): Promise<boolean> {
  if (givenUp.has(holder.id)) return true;
  if (holder.leaseMs !== undefined && nowMs - renewedAtMs > holder.leaseMs) return true;
  return await isProvablyGone(holder);
}

/** Deletes temporary lock files of killed processes. The caller must hold the lock. */
async function removeLeftAttempts(folder: string, own: Attempt): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!LOCK_ATTEMPT.test(name) || name.endsWith(own.holder.id)) continue;
    const file = path.join(folder, name);
    const found = await readLock(file);
    // Without content, its process was killed as it made the file. A living one makes another.
    const isLeft = found ? await isGone(found, own.nowMs) : !CLAIM.test(name);
    if (isLeft) await removeQuietly(file);
  }
}

interface FoundLock {
  readonly holder: LockHolder;
  /** By the clock of the file server. */
  readonly renewedAtMs: number;
  readonly bytes: Buffer;
}

/**
 * Opens the file anew, so that a client of a network file system asks its server.
 *
 * @returns undefined for a file that is missing or no lock.
 */
async function readLock(file: string): Promise<FoundLock | undefined> {
  return await retryPassing(async () => {
    const handle = await openRegular(file);
    try {
      return await readHandle(handle);
    } finally {
      await handle.close();
    }
  }).catch(() => undefined);
}

async function readHandle(handle: FileHandle): Promise<FoundLock | undefined> {
  const { mtimeMs: renewedAtMs } = await handle.stat();
  const room = Buffer.alloc(MAX_LOCK_BYTES);
  const { bytesRead } = await handle.read(room, 0, room.length, 0);
  const bytes = room.subarray(0, bytesRead);
  const holder = parseHolder(bytes.toString('utf8'));
  return holder && { holder, renewedAtMs, bytes };
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** A file with the content of a lock. It becomes the lock when its name is free. */
class Attempt {
  readonly file: string;
  /** Time of the file server when the attempt began. */
  readonly nowMs: number;
  #holder: LockHolder;

  private constructor(file: string, nowMs: number, holder: LockHolder) {
    this.file = file;
    this.nowMs = nowMs;
    this.#holder = holder;
  }

  /** The token is the time of the file server. So it grows after a release, too. */
  static async make(file: string, self: LockHolder): Promise<Attempt> {
    const handle = await open(file, 'wx', 0o600);
    try {
      const { mtimeMs } = await handle.stat();
      const own = new Attempt(file, mtimeMs, { ...self, token: Math.max(0, Math.floor(mtimeMs)) });
      await handle.writeFile(own.content);
      await handle.sync();
      return own;
    } finally {
      await handle.close();
    }
  }

  get holder(): LockHolder {
    return this.#holder;
  }

  get content(): string {
    return JSON.stringify(this.#holder);
  }

  /** Makes the token larger than that of another holder, also after the clock was put back. */
  async outrank({ token = 0 }: LockHolder): Promise<void> {
    if ((this.#holder.token ?? 0) > token) return;
    this.#holder = { ...this.#holder, token: token + 1 };
    await writeFile(this.file, this.content, { flag: 'r+', flush: true });
  }
}

/** @returns false when another lock exists. */
async function tryTake(own: Attempt, file: string): Promise<boolean> {
  return await linkOrCreate(own.file, file, own.content);
}

/**
 * Takes over the lock of a holder that is gone. A process must first get the claim on that holder.
 * Without the claim a slow process could remove the new lock of a faster one. A process that is
 * paused for longer than its lease may still do that: then the faster one finds another lock.
 *
 * @returns true when the lock is ours now.
 */
async function breakStaleLock(file: string, own: Attempt): Promise<boolean> {
  const found = await readLock(file);
  // The lock was released meanwhile, or it cannot be read.
  if (!found) return await tryTake(own, file);
  if (!(await isGone(found, own.nowMs))) return false;
  const { holder } = found;
  await own.outrank(holder);
  const claim = claimOn(file, holder);
  // The owner of the claim may have died too. Its claim is taken over in the same way.
  const isClaimed = (await tryTake(own, claim)) || (await breakStaleLock(claim, own));
  if (!isClaimed) return false;
  try {
    const now = await readLock(file);
    // Its holder may have gone on and renewed it.
    if (now && !(await isGone(now, own.nowMs))) return false;
    if (now?.holder.id === holder.id) await rm(file, { force: true });
    return await tryTake(own, file);
  } finally {
    await removeQuietly(claim);
  }
}
