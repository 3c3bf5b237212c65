/**
 * Brings files back that somebody deleted or replaced in a bucket that keeps old versions. A lock
 * keeps the version of a file, but not its name: whoever may write can hide it.
 */
import type { FailedRemoval, Undeleted } from '../store.ts';
import type { Bucket } from './requests/bucket.ts';
import { removeVersions, type Target } from './requests/removal.ts';

/** A version of an object, or a marker that hides the versions before it. */
export interface ObjectVersion {
  readonly key: string;
  readonly versionId: string;
  readonly isMarker: boolean;
  readonly isLatest: boolean;
}

/** Containers are written once, so their first version is the true one. */
const CONTAINER_KEY = /\.(vbk|vib)$/;
/** Files that are replaced in normal work. Only markers are taken from them. */
const REPLACED_KEY = /(\.vbm|\/ovirt-cbt\.(json|keys\.json|key\.[^/]+\.age))$/;

/**
 * Versions and markers that hide files of a repository. Pure.
 *
 * @param versions - of one key the newest first, as S3 lists them. Their times do not count: some
 *   servers give the time at which a version was replaced.
 */
export function hidingVersions(versions: readonly ObjectVersion[]): Target[] {
  const byKey = new Map<string, ObjectVersion[]>();
  for (const version of versions) {
    byKey.set(version.key, [...(byKey.get(version.key) ?? []), version]);
  }
  return [...byKey.values()].flatMap(hidingOne);
}

function hidingOne(versions: readonly ObjectVersion[]): readonly Target[] {
  const [{ key } = { key: '' }] = versions;
  const contents = versions.filter(({ isMarker }) => !isMarker);
  const first = contents.at(-1);
  if (!first) return [];
  if (CONTAINER_KEY.test(key)) {
    return first.isLatest ? [] : versions.filter((version) => version !== first);
  }
  const isHidden = versions.some(({ isMarker, isLatest }) => isMarker && isLatest);
  return isHidden && REPLACED_KEY.test(`/${key}`)
    ? versions.filter(({ isMarker }) => isMarker)
    : [];
}

async function versionsBelow(bucket: Bucket, prefix: string): Promise<ObjectVersion[]> {
  const { connection, name } = bucket;
  const found: ObjectVersion[] = [];
  let from: { KeyMarker?: string; VersionIdMarker?: string } | undefined = {};
  while (from) {
    const start: { KeyMarker?: string; VersionIdMarker?: string } = from;
    const page = await connection.send(`list versions of ${bucket.urlOf(prefix)}`, async (client) =>
      client.send(
        new connection.sdk.ListObjectVersionsCommand({ Bucket: name, Prefix: prefix, ...start }),
      ),
    );
    const markers = (page.DeleteMarkers ?? []).map((one) => ({ ...one, isMarker: true }));
    const contents = (page.Versions ?? []).map((one) => ({ ...one, isMarker: false }));
    for (const { Key = '', VersionId, IsLatest, isMarker } of [...contents, ...markers]) {
      if (VersionId === undefined) continue;
      found.push({ key: Key, versionId: VersionId, isMarker, isLatest: IsLatest === true });
    }
    const { NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page;
    from =
      page.IsTruncated === true && KeyMarker !== undefined
        ? { KeyMarker, ...(VersionIdMarker === undefined ? {} : { VersionIdMarker }) }
        : undefined;
  }
  return found;
}

/** @param prefix - of all keys of the repository, with `/` at its end unless it is empty. */
export async function undelete(bucket: Bucket, prefix: string): Promise<Undeleted> {
  const targets = hidingVersions(await versionsBelow(bucket, prefix));
  const failures = await removeVersions(bucket, targets);
  const keys = [...new Set(targets.map(({ key }) => key))];
  const failed: FailedRemoval[] = [...failures].map(([key, reason]) => ({
    fileName: key.slice(prefix.length),
    reason,
  }));
  const back = keys.filter((key) => !failures.has(key)).map((key) => key.slice(prefix.length));
  return { files: back, failed };
}
