/** What the lock of a folder in a bucket says: its holder, and whether the lock still counts. */
import { z } from 'zod';
import { RepositoryError } from '../../core/errors.ts';
import { leaseHint, MAX_LEASE_MS } from '../lockLease.ts';
import {
  factSchema,
  isProvablyGone,
  type ProcessIdentity,
  processSchema,
  stateHere,
} from '../processIdentity.ts';
import type { Bucket, ObjectFacts } from './requests/bucket.ts';

const MAX_LOCK_BYTES = 64 * 1024;

/** Ids of locks that this process gave up and could not remove. Their objects do not count. */
export const givenUp: Set<string> = new Set();

export interface LockHolder extends ProcessIdentity {
  readonly id: string;
  /** Time by the clock of the holder, for messages. */
  readonly since: string;
  readonly leaseMs: number;
  /** Larger than that of the holder before. Locks of older versions lack it. */
  readonly token?: number | undefined;
  /** Time by the clock of the server. A lock that was never renewed lacks it. */
  readonly takenAtMs?: number | undefined;
  /** Makes the content, and with it the ETag, another one each time. */
  readonly renewals?: number | undefined;
}

const holderSchema: z.ZodType<LockHolder> = z.intersection(
  processSchema,
  z.object({
    // The id becomes part of a key.
    id: z.string().regex(/^[\w-]{1,64}$/),
    since: factSchema(64),
    leaseMs: z.number().int().positive().max(MAX_LEASE_MS),
    token: z.number().int().nonnegative().optional(),
    takenAtMs: z.number().optional(),
    renewals: z.number().int().optional(),
  }),
);

export interface FoundLock {
  readonly facts: ObjectFacts;
  /** Undefined when the object is not readable as a lock. */
  readonly holder: LockHolder | undefined;
}

export async function readLock(bucket: Bucket, key: string): Promise<FoundLock | undefined> {
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

export function contentOf(holder: LockHolder): Buffer {
  return Buffer.from(JSON.stringify(holder));
}

/** Time for which a lock was not renewed, by the clock of the server. */
export function ageMs(bucket: Bucket, { facts }: FoundLock): number {
  return bucket.connection.serverNowMs() - facts.modifiedAtMs;
}

export async function isStale(bucket: Bucket, found: FoundLock): Promise<boolean> {
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

/** The error for a lock that another session holds. */
export async function lockedError(bucket: Bucket, key: string): Promise<RepositoryError> {
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
  return leaseHint(holder, holder.leaseMs - ageMs(bucket, found));
}
