/**
 * The parent of a session: the newest restore point, checked before anything relies on it. Every
 * container of its chain must open, and the fingerprint index of each disk must be right.
 */
import { BackupError, RepositoryError } from '../../../core/errors.ts';
import { isSystemFailure } from '../../../core/systemErrors.ts';
import type { BlockCodecs } from '../../../compute/blockCodecs.ts';
import type { ParentDisk } from '../../../flow/fingerprintMap.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import type { RestorePoint } from '../../../repository/restorePoint.ts';
import { RestorePointView } from '../../../repository/restorePointView.ts';
import { damagedPlaces } from './damagedPlaces.ts';
import type { StoreFolder } from '../../../store/store.ts';

export interface CheckedParent {
  readonly point: RestorePoint;
  /** By disk id: every disk of the point. */
  readonly disks: ReadonlyMap<string, ParentDisk>;
}

/**
 * Opens the chain of `point` and loads its fingerprints and its known damage.
 *
 * @throws a {@link BackupError} that names the damage
 */
export async function openParent(
  folder: StoreFolder,
  metadata: ChainMetadata,
  point: RestorePoint,
  codecs: BlockCodecs,
): Promise<CheckedParent> {
  await using view = await RestorePointView.open(folder, metadata.points, point);
  const damage = await damagedPlaces(folder, view);
  const disks = new Map<string, ParentDisk>();
  for (const disk of point.disks) {
    const { diskId, sizeBytes } = disk;
    const fingerprints = await view.newest.fingerprints(disk, codecs);
    disks.set(diskId, { sizeBytes, fingerprints, damaged: damage.get(diskId) });
  }
  return { point, disks };
}

/**
 * Like {@link openParent}, but returns damage instead of throwing it. Damage is wrong bytes, or a
 * missing file.
 *
 * @throws {@link RepositoryError} `REPOSITORY_IO` when the system cannot read a file of the chain.
 *   That says nothing about its bytes, and a new full of everything would not help.
 */
export async function tryOpenParent(
  folder: StoreFolder,
  metadata: ChainMetadata,
  point: RestorePoint,
  codecs: BlockCodecs,
): Promise<CheckedParent | BackupError> {
  try {
    return await openParent(folder, metadata, point, codecs);
  } catch (error) {
    if (isSystemFailure(error)) throw unreadable(point, error);
    if (error instanceof BackupError) return error;
    throw error;
  }
}

function unreadable({ pointId }: RestorePoint, cause: RepositoryError): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_IO',
    `parent restore point ${pointId} cannot be read: ${cause.message}`,
    {
      cause,
      hint: `${cause.hint}; if the file stays unreadable, --mode full starts a new chain without it`,
      details: cause.details,
    },
  );
}
