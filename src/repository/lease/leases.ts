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
import { z } from 'zod';
import { BackupError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { StoreFolder } from '../../store/store.ts';
import { readTextFile, removeFileQuietly } from '../../store/textFiles.ts';
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
export async function activeLeases(folder: StoreFolder, nowMs: number): Promise<Lease[]> {
  const { active } = await judgeLeases(folder, () => Promise.resolve(nowMs));
  return active;
}

/**
 * Leases that count. Deletes those that have ended. The caller must hold the lock: the time is that
 * of the file server when the lock was taken. It may be hours old, and then leases count longer.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`
 */
export async function sweepLeases(folder: StoreFolder): Promise<Lease[]> {
  const { active, ended } = await judgeLeases(folder, () => folder.lockedAtMs());
  for (const fileName of ended) await removeFileQuietly(folder, fileName);
  return active;
}

interface Judged {
  readonly active: Lease[];
  readonly ended: string[];
}

async function judgeLeases(folder: StoreFolder, clock: () => Promise<number>): Promise<Judged> {
  const judged: Judged = { active: [], ended: [] };
  const names = (await folder.fileNames()).filter((name) => LEASE_NAME.test(name));
  if (names.length === 0) return judged;
  const nowMs = await clock();
  // Facts before content: a lease that is renewed in between counts as older than it is.
  for (const [fileName, { modifiedAtMs }] of await folder.facts(names)) {
    const lease = await readLease(folder, fileName);
    // The server has ended meanwhile.
    if (!lease) continue;
    if (await hasEnded(lease, nowMs - modifiedAtMs)) judged.ended.push(fileName);
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

/**
 * A file that is not a lease, or that this user may not read, protects everything for a while.
 *
 * @returns undefined when the file is gone.
 */
async function readLease(folder: StoreFolder, fileName: string): Promise<Lease | undefined> {
  const file = folder.pathOf(fileName);
  try {
    const text = await readTextFile(folder, fileName, MAX_LEASE_BYTES);
    if (text === undefined) return undefined;
    return { file, content: contentSchema.parse(JSON.parse(text)), reason: '' };
  } catch (error) {
    return { file, content: undefined, reason: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof BackupError)) return 'its content is not that of a lease';
  return String(error.details['errno'] ?? error.code);
}
