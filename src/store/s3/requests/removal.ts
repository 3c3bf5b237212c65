/**
 * Deletes objects. In a bucket that keeps old versions, all versions of an object are deleted, so
 * nothing is left to pay for. Only deleting the newest one would show an older one again.
 */
import type { ObjectIdentifier } from '@aws-sdk/client-s3';
import { type Bucket, requireList } from './bucket.ts';
import { isLocked, isLockRefusal, isMissing, nameOf, statusOf } from './failures.ts';

/** Most objects of one request. */
const MAX_OBJECTS = 1000;

/** Reasons by key, for objects that still exist. `LOCKED` stands for object lock. */
type Failures = Map<string, string>;

export interface Target {
  readonly key: string;
  readonly versionId?: string | undefined;
}

/** Deletes objects. Those that do not exist count as deleted. */
export async function removeObjects(bucket: Bucket, keys: readonly string[]): Promise<Failures> {
  const [newest, older] = await targetsOf(bucket, keys);
  const failures = await removeTargets(bucket, older);
  // With an older version still there, the newest one hides it.
  const free = newest.filter(({ key }) => !failures.has(key));
  for (const [key, reason] of await removeTargets(bucket, free)) failures.set(key, reason);
  for (const key of keys) {
    if (!failures.has(key)) bucket.versions.forget(key);
  }
  return failures;
}

/** Newest versions, and versions below them. */
async function targetsOf(
  bucket: Bucket,
  keys: readonly string[],
): Promise<[newest: Target[], older: Target[]]> {
  const newest: Target[] = [];
  const older: Target[] = [];
  for (const key of keys) {
    const known = bucket.versions.completeOf(key);
    // Versions that only this process wrote are never locked, so their order does not matter.
    if (known) newest.push(...known.map((versionId) => ({ key, versionId })));
    else if (!bucket.versions.isVersioned) newest.push({ key });
    else {
      const versions = await versionsOf(bucket, key);
      newest.push(...versions.slice(0, 1));
      older.push(...versions.slice(1));
    }
  }
  return [newest, older];
}

/**
 * Versions of an object, the newest first; none when it is deleted. Without the right to list
 * versions it is the object itself: then the server only hides it.
 */
async function versionsOf(bucket: Bucket, key: string): Promise<Target[]> {
  const listed = await listVersions(bucket, key);
  if (!listed) return [{ key }];
  return listed.isDeleted ? [] : [...listed.versions, ...listed.marks];
}

/**
 * Deletes what a deleted object left. Some servers count it as there when a write has a condition.
 *
 * @returns false when the object is not deleted, or its versions cannot be listed.
 */
export async function removeRemains(bucket: Bucket, key: string): Promise<boolean> {
  const listed = await listVersions(bucket, key);
  if (!listed?.isDeleted) return false;
  const { size } = await removeTargets(bucket, listed.versions);
  // Without its marks an older version would be there again.
  return size === 0 && (await removeTargets(bucket, listed.marks)).size === 0;
}

interface Versions {
  /** The newest first. */
  readonly versions: Target[];
  /** Delete markers. */
  readonly marks: Target[];
  readonly isDeleted: boolean;
}

/** Undefined without the right to list versions. */
async function listVersions(bucket: Bucket, key: string): Promise<Versions | undefined> {
  const { connection, name } = bucket;
  const [versions, marks]: [Target[], Target[]] = [[], []];
  let isDeleted = false;
  let marker: { KeyMarker?: string; VersionIdMarker?: string } | undefined = {};
  while (marker) {
    const from: { KeyMarker?: string; VersionIdMarker?: string } = marker;
    const page = await connection.send(
      `list versions of ${bucket.urlOf(key)}`,
      async (client) => {
        const answer = await client.send(
          new connection.sdk.ListObjectVersionsCommand({ Bucket: name, Prefix: key, ...from }),
        );
        requireList(answer, answer.NextKeyMarker !== undefined);
        return answer;
      },
      (error) => (statusOf(error) === 403 ? { result: undefined } : undefined),
    );
    if (!page) return undefined;
    for (const { Key, VersionId: versionId } of page.Versions ?? []) {
      if (Key === key) versions.push({ key, versionId });
    }
    for (const { Key, VersionId: versionId, IsLatest: isLatest } of page.DeleteMarkers ?? []) {
      if (Key !== key) continue;
      marks.push({ key, versionId });
      isDeleted ||= isLatest === true;
    }
    const { NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
    // Versions of one key come together, and longer keys come after them.
    const hasNext = page.IsTruncated === true && KeyMarker === key && VersionIdMarker;
    marker = hasNext ? { KeyMarker, VersionIdMarker } : undefined;
  }
  return { versions, marks, isDeleted };
}

/**
 * Deletes single versions of objects, or markers.
 *
 * @returns reasons by key, for those that still exist.
 */
export async function removeVersions(
  bucket: Bucket,
  targets: readonly Target[],
): Promise<ReadonlyMap<string, string>> {
  return await removeTargets(bucket, targets);
}

async function removeTargets(bucket: Bucket, targets: readonly Target[]): Promise<Failures> {
  const failures: Failures = new Map();
  const [only] = targets;
  if (only && targets.length === 1) {
    const reason = await removeOne(bucket, only);
    if (reason !== undefined) failures.set(only.key, reason);
    return failures;
  }
  for (let from = 0; from < targets.length; from += MAX_OBJECTS) {
    await removeMany(bucket, targets.slice(from, from + MAX_OBJECTS), failures);
  }
  return failures;
}

async function removeOne(bucket: Bucket, target: Target): Promise<string | undefined> {
  const { connection, name } = bucket;
  return await connection.send<string | undefined>(
    `delete ${bucket.urlOf(target.key)}`,
    async (client) => {
      await client.send(
        new connection.sdk.DeleteObjectCommand({
          Bucket: name,
          Key: target.key,
          ...(target.versionId === undefined ? {} : { VersionId: target.versionId }),
        }),
      );
      return undefined;
    },
    (error) => {
      if (isMissing(error)) return { result: undefined };
      if (isLocked(error)) return { result: 'LOCKED' };
      return statusOf(error) === 403 ? { result: nameOf(error) } : undefined;
    },
  );
}

async function removeMany(
  bucket: Bucket,
  targets: readonly Target[],
  failures: Failures,
): Promise<void> {
  const { connection, name } = bucket;
  const objects: ObjectIdentifier[] = targets.map(({ key, versionId }) => ({
    Key: key,
    ...(versionId === undefined ? {} : { VersionId: versionId }),
  }));
  const { Errors: errors = [] } = await connection.send(
    `delete ${targets.length} objects below ${bucket.urlOf('')}`,
    async (client) =>
      client.send(
        new connection.sdk.DeleteObjectsCommand({
          Bucket: name,
          Delete: { Objects: objects, Quiet: true },
        }),
      ),
  );
  for (const { Key = '', Code = 'unknown error', Message = '' } of errors) {
    const code = /^\w{1,64}$/.test(Code) ? Code : 'unknown error';
    if (!/^NoSuch(?:Key|Version)$/.test(code)) {
      failures.set(Key, isLockRefusal(code, Message) ? 'LOCKED' : code);
    }
  }
}
