/**
 * Merges a range of restore points into one container for the last of them, in the same folder.
 * Damage fails the merge; nothing in the repository is changed then.
 */
import { RepositoryError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { replacePoints } from '../../repository/retention/obsoleteFiles.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { MergeRange } from '../../repository/retention/prunePlan.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { StoreLock } from '../../store/store.ts';
import type { SessionProgress } from '../shared/progress.ts';
import { PointWriter } from '../shared/pointWriter.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { whileHeld } from '../../store/lockLease.ts';
import { copyRange, lastOf, mostBytesOf } from './rangeCopy.ts';

export interface MergeContext {
  readonly folder: VmFolder;
  readonly lock: StoreLock;
  readonly codecs: BlockCodecs;
  readonly session: SessionLog;
  readonly workers: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: SessionProgress;
}

export interface MergeOptions {
  /**
   * Points whose containers are deleted after the new one is in place: the range, or only its last
   * point.
   */
  readonly removed: readonly RestorePoint[];
  /** Chain of the merged point. */
  readonly chainId: string;
}

export interface Merged {
  readonly metadata: ChainMetadata;
  readonly point: RestorePoint;
}

/** @throws {@link RepositoryError} `REPOSITORY_FULL` */
async function requireSpace(folder: VmFolder, needBytes: number): Promise<void> {
  const freeBytes = await folder.place.freeBytes();
  if (freeBytes === undefined || freeBytes >= needBytes) return;
  const [need, free] = [formatBytes(needBytes), formatBytes(freeBytes)];
  throw new RepositoryError(
    'REPOSITORY_FULL',
    `${folder.folder}: a merge needs room for its new container before it deletes the old ones: about ${need} are needed, ${free} are free`,
    {
      hint: 'free space, or keep fewer points: whole chains that go are deleted before anything is merged',
      details: { needBytes, freeBytes },
    },
  );
}

/**
 * Merges a range of points of `metadata` into one container for its last point. The new container
 * replaces those of `removed`. Points that build on the last point stay valid.
 *
 * @throws as {@link copyRange}; the points are not changed then
 */
export async function mergePoints(
  metadata: ChainMetadata,
  range: MergeRange,
  { removed, chainId }: MergeOptions,
  context: MergeContext,
): Promise<Merged> {
  const { folder, lock, session, signal } = context;
  const { pointId, createdAt, blockSizeBytes } = lastOf(range);
  const { parent } = range;
  const type = parent ? 'increment' : 'full';
  const fileName = await folder.unusedContainerName(type, new Date(createdAt));
  session.log.info({ pointId, points: range.points.length, fileName }, 'merge started');
  const mostBytes = mostBytesOf(range);
  await using target = await PointWriter.create(folder, fileName, blockSizeBytes, mostBytes);
  const from = { place: folder.place, vm: metadata.vm, range };
  const facts = { chainId, fileName, parent };
  const checkSize = (fileBytes: number): Promise<void> => requireSpace(folder, fileBytes);
  const added = await whileHeld(lock, signal, (both) =>
    copyRange(from, target, facts, { ...context, signal: both, phase: 'merging', checkSize }),
  );
  signal.throwIfAborted();
  const replaced = await replacePoints(folder, metadata, lock, { added, removed });
  for (const message of replaced.messages) session.note(message);
  const { point } = added;
  session.log.info({ pointId, fileBytes: point.fileBytes }, 'merge committed');
  return { metadata: replaced.metadata, point };
}
