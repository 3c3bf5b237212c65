/**
 * Replaces and removes points. A stop at any moment leaves a good copy of every point that stays.
 * The .vbm alone decides which files count. It names a file as obsolete *before* the file could
 * become a stray one:
 *
 * 1. .vbm: the new container is obsolete (only if there is a new one)
 * 2. locks of points on which it builds are made as long as its own; it gets its name
 * 3. .vbm: the points are swapped, the old containers are obsolete
 * 4. the old containers are deleted, children before their parents
 * 5. .vbm: nothing is obsolete
 *
 * The next holder of the lock deletes the obsolete files: after steps 1 and 2 the new container,
 * later the old ones.
 *
 * Files that a server reads are not deleted. They stay obsolete. Leases are read after the .vbm was
 * written: lease/leases.ts says why that is enough.
 */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { FailedRemoval, StoreLock } from '../../store/store.ts';
import { holderText, isLeased, keptMessage, type Lease, sweepLeases } from '../lease/leases.ts';
import type { ChainMetadata } from '../pointXml.ts';
import type { RestorePoint } from '../restorePoint.ts';
import type { VmFolder } from '../vmFolder.ts';
import { coverChain, extendLocks, withLockReasons } from '../pointLocks.ts';

export interface Replacement {
  /** A committed container without its name. It replaces the point with the same id. */
  readonly added?:
    | {
        readonly point: RestorePoint;
        readonly publish: () => Promise<void>;
        /** For an error after that: the container may have come too late. */
        readonly takeBack: (error: unknown) => Promise<void>;
      }
    | undefined;
  /**
   * Points whose containers are deleted, children before their parents. Includes the replaced
   * point.
   */
  readonly removed: readonly RestorePoint[];
}

export interface Cleared {
  readonly metadata: ChainMetadata;
  /** Obsolete files that stay, because a server reads them. */
  readonly leasedFiles: readonly string[];
  readonly messages: readonly SessionMessage[];
}

interface Deletion {
  readonly deleted: readonly string[];
  readonly leasedFiles: readonly string[];
  readonly failed: readonly FailedRemoval[];
  readonly messages: readonly SessionMessage[];
}

function failedMessage({ fileName: file, reason }: FailedRemoval): SessionMessage {
  return sessionMessage('REPO-512', { file, reason });
}

function leftMessages(leases: readonly Lease[], files: readonly string[]): SessionMessage[] {
  return leases.flatMap((lease) => {
    const left = files.filter((file) => isLeased(lease, file));
    if (left.length === 0) return [];
    const { content } = lease;
    if (!content) return [keptMessage(lease)];
    const fields = { n: left.length, who: holderText(content), rp: content.pointId };
    return [sessionMessage('REPO-516', fields)];
  });
}

/** @param fileNames - files that the .vbm on disk calls obsolete. */
async function deleteFiles(folder: VmFolder, fileNames: readonly string[]): Promise<Deletion> {
  const leases = await sweepLeases(folder.place);
  const leasedFiles = fileNames.filter((file) => leases.some((lease) => isLeased(lease, file)));
  const wanted = fileNames.filter((name) => !leasedFiles.includes(name));
  // A deleted file that came back after a power cut would be taken for a lost point, because the
  // .vbm no longer names it. So the deletion must last when `remove` returns.
  const failed = await withLockReasons(folder.place, await folder.place.remove(wanted));
  const left = new Set(failed.map(({ fileName }) => fileName));
  const deleted = wanted.filter((name) => !left.has(name));
  return { deleted, leasedFiles, failed, messages: leftMessages(leases, leasedFiles) };
}

/** Writes the .vbm without the names of deleted files. */
async function forget(
  folder: VmFolder,
  metadata: ChainMetadata,
  gone: readonly string[],
): Promise<ChainMetadata> {
  const left = (metadata.obsoleteFiles ?? []).filter((file) => !gone.includes(file));
  const { obsoleteFiles: _before, ...rest } = metadata;
  const updated = left.length > 0 ? { ...rest, obsoleteFiles: left } : rest;
  if (gone.length > 0) await folder.writeMetadata(updated);
  return updated;
}

/**
 * Replaces points as described above. The caller must hold the lock. A file that cannot be deleted
 * stays obsolete and gives message REPO-512; one that a server reads stays obsolete too.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`, `REPOSITORY_LOCKED`
 */
export async function replacePoints(
  folder: VmFolder,
  metadata: ChainMetadata,
  lock: StoreLock,
  { added, removed }: Replacement,
): Promise<Cleared> {
  const known = metadata.obsoleteFiles ?? [];
  const goneIds = new Set(removed.map((point) => point.pointId));
  const points = metadata.points.flatMap((point) => {
    if (added?.point.pointId === point.pointId) return [added.point];
    return goneIds.has(point.pointId) ? [] : [point];
  });
  const files = removed.map((point) => point.fileName);
  const listed = { ...metadata, points, obsoleteFiles: [...known, ...files] };
  const swapped = added ? coverChain(listed, added.point) : listed;
  if (added) {
    await lock.assertHeld();
    await folder.writeMetadata({ ...metadata, obsoleteFiles: [...known, added.point.fileName] });
    await extendLocks(folder.place, metadata, swapped);
    await added.publish();
  }
  try {
    await lock.assertHeld();
    await folder.writeMetadata(swapped);
  } catch (error) {
    await added?.takeBack(error);
    throw error;
  }
  const { deleted, leasedFiles, failed, messages } = await deleteFiles(folder, files);
  return {
    metadata: await forget(folder, swapped, deleted),
    leasedFiles,
    messages: [...messages, ...failed.map(failedMessage)],
  };
}

/**
 * Deletes the obsolete files of a stopped prune. The caller must hold the lock. Deletes nothing
 * while a container of the chain is missing: the .vbm may then be an old copy, and the files that
 * it calls obsolete may be the only copies.
 */
export async function clearObsolete(folder: VmFolder, metadata: ChainMetadata): Promise<Cleared> {
  const { obsoleteFiles = [], points } = metadata;
  if (obsoleteFiles.length === 0) return { metadata, leasedFiles: [], messages: [] };
  const present = new Set(await folder.containerNames());
  const missing = points.find((point) => !present.has(point.fileName));
  if (missing) {
    const reason = `${missing.fileName} is missing`;
    const messages = obsoleteFiles
      .filter((file) => present.has(file))
      .map((file) => sessionMessage('REPO-512', { file, reason }));
    return { metadata, leasedFiles: [], messages };
  }
  const listed = new Set(points.map((point) => point.fileName));
  const { deleted, leasedFiles, failed, messages } = await deleteFiles(
    folder,
    obsoleteFiles.filter((file) => !listed.has(file)),
  );
  const removed = deleted
    .filter((file) => present.has(file))
    .map((file) => sessionMessage('REPO-511', { file }));
  // The session that gave a locked file up has said so.
  const others = failed.filter(({ reason }) => reason !== 'LOCKED');
  const gone = [...deleted, ...obsoleteFiles.filter((file) => listed.has(file))];
  return {
    metadata: await forget(folder, metadata, gone),
    leasedFiles,
    messages: [...removed, ...messages, ...others.map(failedMessage)],
  };
}
