/**
 * The parent of a session: the newest restore point, opened and checked before anything relies on it. Every
 * container of its chain must open, and the fingerprint index of each disk that is compared must hold.
 */
import { BackupError } from '../core/errors.ts';
import type { BlockVerbs } from '../pipeline/blockVerbs.ts';
import type { ParentDisk } from '../pipeline/fingerprintMap.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import { RestorePointView } from '../repository/restorePointView.ts';
import { damagedPlaces } from './healing.ts';

export interface CheckedParent {
  readonly point: RestorePoint;
  /** By disk id: every disk of the point. */
  readonly disks: ReadonlyMap<string, ParentDisk>;
}

/**
 * Opens the chain of `point`, loads its fingerprints, and looks up which of its blocks are known to be damaged.
 *
 * @throws a {@link BackupError} that says what does not verify
 */
export async function openParent(
  folder: string,
  metadata: ChainMetadata,
  point: RestorePoint,
  verbs: BlockVerbs,
): Promise<CheckedParent> {
  await using view = await RestorePointView.open(folder, metadata.points, point);
  const damage = await damagedPlaces(folder, view);
  const disks = new Map<string, ParentDisk>();
  for (const disk of point.disks) {
    const { diskId, sizeBytes } = disk;
    const fingerprints = await view.newest.fingerprints(disk, verbs);
    disks.set(diskId, { sizeBytes, fingerprints, damaged: damage.get(diskId) });
  }
  return { point, disks };
}

/** As {@link openParent}, but returns the damage instead of throwing it. */
export async function tryOpenParent(
  folder: string,
  metadata: ChainMetadata,
  point: RestorePoint,
  verbs: BlockVerbs,
): Promise<CheckedParent | BackupError> {
  try {
    return await openParent(folder, metadata, point, verbs);
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
}
