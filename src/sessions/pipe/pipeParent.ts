/** A restore point that a pipe compares its disks with. */
import { UsageError } from '../../core/errors.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import type { ParentDisk } from '../../flow/fingerprintMap.ts';
import { type OpenPoint, sourceOf } from '../../points/openPoint.ts';
import { type CheckedParent, openParent } from '../backup/parent/parentPoint.ts';
import { findDisk } from '../shared/selectPoint.ts';

export interface PipeParent {
  readonly checked: CheckedParent;
  readonly blockSizeBytes: number;
  /** The disk with this id or alias. @throws {@link UsageError} `USAGE_NOT_FOUND` */
  disk(name: string): { readonly diskId: string; readonly parent: ParentDisk | undefined };
}

/**
 * Loads the fingerprints of a point. Every container of its chain must open.
 *
 * @param wantedBytes - block size that the caller asked for; it must be that of the point.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for another block size; errors of the chain
 */
export async function pipeParent(
  point: OpenPoint,
  wantedBytes: number | undefined,
): Promise<PipeParent> {
  const { folder, metadata, point: record } = sourceOf(point);
  const { blockSizeBytes } = record;
  if (wantedBytes !== undefined && wantedBytes !== blockSizeBytes) {
    throw new UsageError(
      'USAGE_INVALID_OPTION',
      `blockSizeBytes ${wantedBytes}: the parent point has blocks of ${blockSizeBytes} B`,
      { hint: 'leave blockSizeBytes out' },
    );
  }
  const checked = await openParent(folder, metadata, record, await createBlockCodecs());
  return {
    checked,
    blockSizeBytes,
    disk: (name) => {
      const { diskId } = findDisk(record.disks, name, `restore point ${point.id}`);
      return { diskId, parent: checked.disks.get(diskId) };
    },
  };
}
