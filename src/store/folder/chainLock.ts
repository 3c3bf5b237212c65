/**
 * One lock per VM folder. It names its holder: process, host and time. A lock is taken over only
 * when its holder has provably ended. Otherwise a live session in another container could lose its
 * files, its transfers and its backup on the engine.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { RepositoryError } from '../../core/errors.ts';
import type { StoreLock } from '../store.ts';
import { guardRepository, linkOrCreate, readText, removeQuietly } from './durableFile.ts';
import {
  describeProcess,
  factSchema,
  type HolderState,
  isProvablyGone,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../processIdentity.ts';

const LOCK_NAME = 'lock';
const MAX_LOCK_BYTES = 64 * 1024;
/**
 * Names of the files that take a lock: `lock.<id>` before it is linked to `lock`, and
 * `lock.break.<id>`, the claim on the lock of a holder that is gone. A claim can be claimed too.
 */
const LOCK_ATTEMPT = /^lock\.(?:[\w-]+\.)*[\w-]+$/;

/** Ids of locks that this process could not remove. Their files no longer count. */
const givenUp = new Set<string>();

export interface LockHolder extends ProcessIdentity {
  readonly id: string;
  readonly since: string;
}

const holderSchema: z.ZodType<LockHolder> = z.intersection(
  processSchema,
  // The id becomes part of a file name.
  z.object({ id: z.string().regex(/^[\w-]{1,64}$/), since: factSchema(64) }),
);

async function describeSelf(): Promise<LockHolder> {
  const since = new Date().toISOString();
  return { id: randomUUID(), since, ...(await describeProcess()) };
}

/** Why nothing is proven about a holder. */
const UNPROVEN: Readonly<Record<Exclude<HolderState, 'alive' | 'gone'>, string>> = {
  'on another host': 'that process was started on another host, so it cannot be seen from here',
  'of another boot':
    'that process was started on another machine, or before this machine was restarted',
  'in another container':
    'that process was started in another container, so it cannot be seen from here',
  unknown: 'this system cannot tell whether that process still runs',
};

function hintOf(file: string, state: HolderState | 'unreadable'): string {
  const wayOut = `if you are sure that it has ended, delete ${file} and run the command again`;
  switch (state) {
    case 'alive':
      return 'wait until that process has ended';
    case 'gone':
      return 'another session takes this lock over at this moment; run the command again';
    case 'unreadable':
      return `the lock file ${file} cannot be read, so its holder is not known; if you are sure that no session works on this VM, delete the file and run the command again`;
    default:
      return `${UNPROVEN[state]}; wait until it has ended; ${wayOut}`;
  }
}

/** The error for a lock that another session holds. The hint says how to take the lock away. */
async function lockedError(lockFile: string): Promise<RepositoryError> {
  const { file, holder } = await blockerOf(lockFile);
  const who = holder
    ? `pid ${holder.pid} on host ${holder.host} since ${holder.since}`
    : 'an unknown holder';
  const state = holder ? await stateHere(holder) : 'unreadable';
  return new RepositoryError('REPOSITORY_LOCKED', `${path.dirname(file)} is locked by ${who}`, {
    hint: hintOf(file, state),
    details: { pid: holder?.pid, host: holder?.host, since: holder?.since, file },
  });
}

interface Blocker {
  readonly file: string;
  readonly holder: LockHolder | undefined;
}

/** The lock, or the claim of another session on it when the holder of the lock is gone. */
async function blockerOf(file: string): Promise<Blocker> {
  const holder = await readHolder(file);
  if (!holder || !(await isGone(holder))) return { file, holder };
  const claim = claimOn(file, holder);
  return (await readHolder(claim)) ? await blockerOf(claim) : { file, holder };
}

function claimOn(file: string, holder: LockHolder): string {
  return `${file}.break.${holder.id}`;
}

export class ChainLock implements StoreLock {
  readonly #file: string;
  readonly #holder: LockHolder;
  /** Temporary file of this lock that could not be deleted yet. */
  #left: string | undefined;

  private constructor(file: string, holder: LockHolder) {
    this.#file = file;
    this.#holder = holder;
  }

  /**
   * Takes the lock of a folder.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
   */
  static async acquire(folder: string): Promise<ChainLock> {
    const file = path.join(folder, LOCK_NAME);
    const self = await describeSelf();
    const own: Attempt = { file: `${file}.${self.id}`, content: JSON.stringify(self) };
    const lock = new ChainLock(file, self);
    return await guardRepository(`lock ${folder}`, async () => {
      try {
        await writeFile(own.file, own.content, { mode: 0o600, flag: 'wx', flush: true });
        const isTaken = (await tryTake(own, file)) || (await breakStaleLock(file, own));
        if (!isTaken) throw await lockedError(file);
        await removeLeftAttempts(folder, self.id);
        return lock;
      } catch (error) {
        // The error may come after the link was made, so the lock may exist.
        await lock.release();
        throw error;
      } finally {
        lock.#left = (await isDone(rm(own.file, { force: true }))) ? undefined : own.file;
      }
    });
  }

  /**
   * Checks that nobody took the lock over. Call it right before a restore point is published.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
   */
  async assertHeld(): Promise<void> {
    const holder = await readHolder(this.#file);
    if (holder?.id !== this.#holder.id) throw await lockedError(this.#file);
  }

  /**
   * Releases the lock. Never throws, because the result of the session must not change any more. If
   * the file cannot be removed, the next session takes the lock over, also in this process.
   */
  async release(): Promise<void> {
    const { id } = this.#holder;
    if (this.#left) await removeQuietly(this.#left);
    const holder = await readHolder(this.#file);
    if (holder && holder.id !== id) return;
    const isRemoved = holder && (await isDone(rm(this.#file, { force: true })));
    // Not before: another task would take the lock over, and this one would remove the new lock.
    if (!isRemoved) givenUp.add(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/**
 * When the lock of a folder was taken, by the clock of its file server. Without a lock it is the
 * beginning of time, so nothing is old then.
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

async function isGone(holder: LockHolder): Promise<boolean> {
  return givenUp.has(holder.id) || (await isProvablyGone(holder));
}

/** Deletes temporary lock files of killed processes. The caller must hold the lock. */
async function removeLeftAttempts(folder: string, ownId: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!LOCK_ATTEMPT.test(name) || name.endsWith(ownId)) continue;
    const file = path.join(folder, name);
    const holder = await readHolder(file);
    if (holder && (await isGone(holder))) await removeQuietly(file);
  }
}

async function readHolder(file: string): Promise<LockHolder | undefined> {
  try {
    return holderSchema.parse(JSON.parse(await readText(file, MAX_LOCK_BYTES)));
  } catch {
    return undefined;
  }
}

/** A file with the content of a lock. It becomes the lock when its name is free. */
interface Attempt {
  readonly file: string;
  readonly content: string;
}

/** @returns false when another lock exists. */
async function tryTake(own: Attempt, file: string): Promise<boolean> {
  return await linkOrCreate(own.file, file, own.content);
}

/**
 * Takes over the lock of a holder that is gone. A process must first get the claim on that holder.
 * Without the claim a slow process could remove the new lock of a faster one.
 *
 * @returns true when the lock is ours now.
 */
async function breakStaleLock(file: string, own: Attempt): Promise<boolean> {
  const holder = await readHolder(file);
  // The lock was released meanwhile, or it cannot be read.
  if (!holder) return await tryTake(own, file);
  if (!(await isGone(holder))) return false;
  const claim = claimOn(file, holder);
  // The owner of the claim may have died too. Its claim is taken over in the same way.
  const isClaimed = (await tryTake(own, claim)) || (await breakStaleLock(claim, own));
  if (!isClaimed) return false;
  try {
    if ((await readHolder(file))?.id === holder.id) await rm(file, { force: true });
    return await tryTake(own, file);
  } finally {
    await removeQuietly(claim);
  }
}
