/**
 * A lease says that a server reads a restore point: prune, merge and synthesize leave its files
 * alone. It is a small file in the folder of the VM, `lease.<id>.json`, that its server renews.
 *
 * No lock is needed, because each side writes before it reads:
 *
 * - A server writes its lease, and then reads the .vbm. It serves only files that this .vbm names
 *   for its point.
 * - A session that deletes first writes a .vbm that no longer names the files, and then reads the
 *   leases. It deletes no file that a lease names.
 *
 * Either the server read the older .vbm: then its lease was there before the session read leases.
 * Or it read the newer one, and does not serve these files. One look at the leases is enough for
 * all files that a .vbm gave up: a server that starts later has read that .vbm.
 *
 * Leases lie in the folder of the .vbm itself. A client of a network file system asks its server
 * for a folder again after it changed the folder. So both sides see what the other one wrote.
 */
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { BackupError, errnoOf } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { lockedAtMs } from '../chainLock.ts';
import { guardRead, readText, removeQuietly } from '../../store/folder/durableFile.ts';
import {
  factSchema,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../../store/processIdentity.ts';
import { fileNameSchema, type RestorePoint } from '../restorePoint.ts';

/** A server renews its lease once in this time. */
export const RENEW_EVERY_MS = 60_000;
/** A lease whose process cannot be seen has ended when it was not renewed for this long. */
const LEASE_MS = 15 * 60_000;
/** The files of a chain of 10 000 points have about 1 MB of names. */
const MAX_LEASE_BYTES = 16 * 1024 * 1024;
const LEASE_NAME = /^lease\..+\.json$/;

export interface LeaseContent {
  /** The point that is served. */
  readonly pointId: string;
  /** Containers that the server reads: the point and the points that it builds on. */
  readonly files: readonly string[];
  /** ISO 8601, UTC. */
  readonly since: string;
  readonly process: ProcessIdentity;
}

export interface Lease {
  readonly file: string;
  /** Undefined for a file that cannot be read. It may protect any container. */
  readonly content: LeaseContent | undefined;
  /** Why the file cannot be read; empty when it can. */
  readonly reason: string;
}

const contentSchema: z.ZodType<LeaseContent> = z.object({
  pointId: factSchema(100),
  files: z.array(fileNameSchema).min(1),
  since: factSchema(64),
  process: processSchema,
});

export function leaseName(id: string): string {
  return `lease.${id}.json`;
}

/** True when a container must stay, because a server reads it or may read it. */
export function isLeased({ content }: Lease, fileName: string): boolean {
  return !content || content.files.includes(fileName);
}

/** Points whose containers must stay as they are. */
export function leasedPoints(
  points: readonly RestorePoint[],
  leases: readonly Lease[],
): RestorePoint[] {
  return points.filter(({ fileName }) => leases.some((lease) => isLeased(lease, fileName)));
}

/** True when the point itself is served, or may be. Not for points that it builds on. */
export function isServed({ pointId, fileName }: RestorePoint, lease: Lease): boolean {
  const { content } = lease;
  return !content || (content.pointId === pointId && content.files.includes(fileName));
}

/** The process that holds a lease, as messages name it. */
export function holderText({ since, process }: LeaseContent): string {
  return `pid ${process.pid} on host ${process.host} since ${since}`;
}

/** The message about a lease because of which points are kept. */
export function keptMessage({ file, content, reason }: Lease): SessionMessage {
  if (!content) return sessionMessage('REPO-517', { file, reason });
  return sessionMessage('REPO-515', { rp: content.pointId, who: holderText(content), file });
}

/**
 * Leases that count, without changing anything.
 *
 * @param nowMs - time of the file server. Clocks of hosts differ, so the own clock is only good
 *   enough for what is shown.
 * @throws {@link RepositoryError} `REPOSITORY_IO`
 */
export async function activeLeases(folder: string, nowMs: number): Promise<Lease[]> {
  const { active } = await judgeLeases(await leaseFiles(folder), () => Promise.resolve(nowMs));
  return active;
}

/**
 * Leases that count. Deletes those that have ended. The caller must hold the lock: the time is that
 * of the file server when the lock was taken. It may be hours old, and then leases count longer.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`
 */
export async function sweepLeases(folder: string): Promise<Lease[]> {
  const files = await leaseFiles(folder);
  const { active, ended } = await judgeLeases(files, () => lockedAtMs(folder));
  for (const file of ended) await removeQuietly(file);
  return active;
}

async function leaseFiles(folder: string): Promise<string[]> {
  const names = await guardRead(`read ${folder}`, () => readdir(folder));
  return names.filter((name) => LEASE_NAME.test(name)).map((name) => path.join(folder, name));
}

interface Judged {
  readonly active: Lease[];
  readonly ended: string[];
}

async function judgeLeases(
  files: readonly string[],
  clock: () => Promise<number>,
): Promise<Judged> {
  const judged: Judged = { active: [], ended: [] };
  if (files.length === 0) return judged;
  const nowMs = await clock();
  for (const file of files) {
    const renewedAtMs = await renewalOf(file);
    // The server has ended meanwhile.
    if (renewedAtMs === undefined) continue;
    const lease = await readLease(file);
    if (await hasEnded(lease, nowMs - renewedAtMs)) judged.ended.push(file);
    else judged.active.push(lease);
  }
  return judged;
}

/** A process that runs may have slept with its machine, so its lease has no age. */
async function hasEnded({ content }: Lease, ageMs: number): Promise<boolean> {
  const state = content ? await stateHere(content.process) : 'unknown';
  if (state === 'gone') return true;
  return state !== 'alive' && ageMs > LEASE_MS;
}

async function renewalOf(file: string): Promise<number | undefined> {
  return await guardRead(`read ${file}`, async () => {
    try {
      return (await stat(file)).mtimeMs;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  });
}

/** A file that is not a lease, or that this user may not read, protects everything for a while. */
async function readLease(file: string): Promise<Lease> {
  try {
    const text = await readText(file, MAX_LEASE_BYTES);
    return { file, content: contentSchema.parse(JSON.parse(text)), reason: '' };
  } catch (error) {
    return { file, content: undefined, reason: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof BackupError) return error.code;
  return errnoOf(error) ?? 'its content is not that of a lease';
}
