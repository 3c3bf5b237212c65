/**
 * One lock per VM folder. It names its holder: process, host and time. A lock is taken over only
 * when its holder is provably gone: same host, and either another boot, or no process with this pid
 * and start time.
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { errnoOf, RepositoryError } from '../core/errors.ts';
import { guardRepository, readText, removeQuietly } from './durableFile.ts';

const LOCK_NAME = 'lock';
const MAX_LOCK_BYTES = 64 * 1024;
/**
 * Names of the files that take a lock: `lock.<id>` before it is linked to `lock`, and
 * `lock.break.<id>`, the claim on the lock of a holder that is gone. A claim can be claimed too.
 */
const LOCK_ATTEMPT = /^lock\.(?:[\w-]+\.)*[\w-]+$/;

/** Ids of locks that this process released. Their files may still exist, but no longer count. */
const givenUp = new Set<string>();

/** Identifies one process, even after its pid is used again. */
export interface ProcessIdentity {
  readonly host: string;
  readonly bootId: string;
  readonly pid: number;
  /** Start time of the process, in clock ticks since boot. A reused pid has another one. */
  readonly processStart: string;
}

export interface LockHolder extends ProcessIdentity {
  readonly id: string;
  readonly since: string;
}

export const processSchema: z.ZodType<ProcessIdentity> = z.object({
  host: z.string(),
  bootId: z.string(),
  pid: z.number().int().positive(),
  processStart: z.string(),
});

const holderSchema: z.ZodType<LockHolder> = z.intersection(
  processSchema,
  // The id becomes part of a file name.
  z.object({ id: z.string().regex(/^[\w-]{1,64}$/), since: z.string() }),
);

/** Text of a lock file or of a file in /proc; '' when it cannot be read. */
async function textOf(file: string): Promise<string> {
  try {
    return (await readText(file, MAX_LOCK_BYTES)).trim();
  } catch {
    return '';
  }
}

/** Start time of a process; '' when there is no such process, or no /proc. */
async function processStartOf(pid: number): Promise<string> {
  const stat = await textOf(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

export async function describeProcess(): Promise<ProcessIdentity> {
  return {
    host: hostname(),
    bootId: await textOf('/proc/sys/kernel/random/boot_id'),
    pid: process.pid,
    processStart: await processStartOf(process.pid),
  };
}

async function describeSelf(): Promise<LockHolder> {
  const since = new Date().toISOString();
  return { id: randomUUID(), since, ...(await describeProcess()) };
}

/**
 * True only when the process has certainly ended: same host, and another boot or no such process.
 */
export async function isProvablyGone(holder: ProcessIdentity): Promise<boolean> {
  const self = await describeProcess();
  if (holder.host !== self.host) return false;
  if (holder.bootId && self.bootId && holder.bootId !== self.bootId) return true;
  if (!isAlive(holder.pid)) return true;
  const start = await processStartOf(holder.pid);
  return start !== '' && holder.processStart !== '' && start !== holder.processStart;
}

function parseHolder(text: string): LockHolder | undefined {
  try {
    return holderSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function lockedError(file: string, holder: LockHolder | undefined): RepositoryError {
  const who = holder
    ? `pid ${holder.pid} on host ${holder.host} since ${holder.since}`
    : 'an unknown holder';
  return new RepositoryError('REPOSITORY_LOCKED', `${path.dirname(file)} is locked by ${who}`, {
    hint: holder
      ? 'wait until that session has ended; the lock of a dead process on this host is taken over automatically'
      : `the lock file ${file} cannot be read; remove it if no session is running`,
    details: { pid: holder?.pid, host: holder?.host, since: holder?.since },
  });
}

export class ChainLock {
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
    const own = `${file}.${self.id}`;
    const lock = new ChainLock(file, self);
    return await guardRepository(`lock ${folder}`, async () => {
      try {
        await writeFile(own, JSON.stringify(self), { mode: 0o600, flag: 'wx', flush: true });
        const isTaken = (await tryLink(own, file)) || (await breakStaleLock(file, own));
        if (!isTaken) throw lockedError(file, await readHolder(file));
        await removeLeftAttempts(folder, self.id);
        return lock;
      } catch (error) {
        // The error may come after the link was made, so the lock may exist.
        await lock.release();
        throw error;
      } finally {
        lock.#left = (await isDone(rm(own, { force: true }))) ? undefined : own;
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
    if (holder?.id !== this.#holder.id) throw lockedError(this.#file, holder);
  }

  /**
   * Releases the lock. Never throws, because the result of the session must not change any more. If
   * the file cannot be removed, the next session takes the lock over, also in this process.
   */
  async release(): Promise<void> {
    const { id } = this.#holder;
    givenUp.add(id);
    if (this.#left) await removeQuietly(this.#left);
    const holder = await readHolder(this.#file);
    if (!holder) return;
    const isRemoved = holder.id !== id || (await isDone(rm(this.#file, { force: true })));
    if (isRemoved) givenUp.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
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
  return parseHolder(await textOf(file));
}

/** The lock appears with its whole content, or `link` fails because a lock exists. */
async function tryLink(own: string, file: string): Promise<boolean> {
  try {
    await link(own, file);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Takes over the lock of a holder that is gone. A process must first get the claim on that holder.
 * Without the claim a slow process could remove the new lock of a faster one.
 *
 * @returns true when the lock is ours now.
 */
async function breakStaleLock(file: string, own: string): Promise<boolean> {
  const holder = await readHolder(file);
  // The lock was released meanwhile, or it cannot be read.
  if (!holder) return await tryLink(own, file);
  if (!(await isGone(holder))) return false;
  const claim = `${file}.break.${holder.id}`;
  // The owner of the claim may have died too. Its claim is taken over in the same way.
  const isClaimed = (await tryLink(own, claim)) || (await breakStaleLock(claim, own));
  if (!isClaimed) return false;
  try {
    if ((await readHolder(file))?.id === holder.id) await rm(file, { force: true });
    return await tryLink(own, file);
  } finally {
    await removeQuietly(claim);
  }
}
