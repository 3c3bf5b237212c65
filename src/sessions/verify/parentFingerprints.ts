/** Fingerprints of a parent point, to check the increment that builds on it. */
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { BackupError } from '../../core/errors.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { PointReader } from '../../repository/pointReader.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { StoreFolder } from '../../store/store.ts';

export type FingerprintsById = ReadonlyMap<string, FingerprintMap>;

/**
 * Fingerprints of a parent point, by disk id, for the check of its increment. Disks whose index
 * cannot be read are left out.
 */
export async function readAllFingerprints(
  folder: StoreFolder,
  point: RestorePoint,
  codecs: BlockCodecs,
): Promise<FingerprintsById> {
  const opened = await PointReader.open(folder, point).catch(ignoreDamage);
  if (!opened) return new Map();
  try {
    return await fingerprintsOf(opened, codecs);
  } finally {
    await opened.close();
  }
}

/** As {@link readAllFingerprints}, for a container that is open. */
export async function fingerprintsOf(
  opened: PointReader,
  codecs: BlockCodecs,
): Promise<FingerprintsById> {
  const fingerprints = new Map<string, FingerprintMap>();
  for (const disk of opened.point.disks) {
    const known = await opened.fingerprints(disk, codecs).catch(ignoreDamage);
    if (known) fingerprints.set(disk.diskId, known);
  }
  return fingerprints;
}

/** Ignores damage: the check of the parent's own container reports it. */
function ignoreDamage(error: unknown): undefined {
  if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
}
