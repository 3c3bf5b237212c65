/**
 * Content behind the ticket of a transfer: a frozen view, an older volume, or a disk that is
 * written.
 * Source: oVirt contract (dirty extents only for incremental disks of a backup; a thin block volume
 * does not grow during an upload).
 */
import type { TicketTarget } from '../../dataPlane.ts';
import type { Engine } from '../core.ts';
import type { DiskRow, TransferRow } from '../rows.ts';
import { downloadTarget } from '../../disks/frozenView.ts';

export interface TransferTarget {
  readonly target: TicketTarget;
  readonly isDirtyServed: boolean;
}

function noSpace(): Error {
  return Object.assign(new Error('no space left on the volume'), { code: 'ENOSPC' });
}

/** Size in bytes of a thin volume on block storage; undefined where volumes grow. */
function fixedVolumeBytes(engine: Engine, disk: DiskRow): number | undefined {
  const isBlock = engine.domainOf(disk)?.type !== 'nfs';
  const isThin = disk.format === 'cow' && disk.sparse;
  return isBlock && isThin && disk.initialSizeBytes > 0 ? disk.initialSizeBytes : undefined;
}

/** Records that the storage is full, so that the engine pauses the upload. */
function watchSpace(transfer: TransferRow, work: () => void): void {
  try {
    work();
  } catch (error) {
    transfer.ranFull = true;
    throw error;
  }
}

function uploadTarget(engine: Engine, transfer: TransferRow, disk: DiskRow): TicketTarget {
  const target = disk.data.uploadTarget();
  const volumeBytes = fixedVolumeBytes(engine, disk);
  return {
    diskId: target.diskId,
    sizeBytes: target.sizeBytes,
    read: (offsetBytes, lengthBytes) => target.read(offsetBytes, lengthBytes),
    extents: (context) => target.extents(context),
    write: (offsetBytes, bytes) =>
      watchSpace(transfer, () => {
        target.write?.(offsetBytes, bytes);
        const isBeyond = volumeBytes !== undefined && disk.data.allocatedBytes() > volumeBytes;
        if (isBeyond) throw noSpace();
      }),
    zero: (offsetBytes, lengthBytes) => target.zero?.(offsetBytes, lengthBytes),
    image: target.image,
  };
}

function backupTarget(engine: Engine, transfer: TransferRow): TransferTarget | undefined {
  const backup = engine.backups.get(transfer.backupId ?? '');
  const view = backup?.views.get(transfer.diskId);
  const disk = engine.disks.get(transfer.diskId);
  if (!backup || !view || !disk) return undefined;
  const names = backup.dirtyNames.get(disk.id);
  if (names && !disk.data.canServe(names)) return undefined;
  return {
    target: downloadTarget(disk.id, view, names),
    isDirtyServed: names !== undefined,
  };
}

function volumeTarget(transfer: TransferRow, disk: DiskRow): TransferTarget | undefined {
  const volume = disk.volumes.find(({ id }) => id === transfer.volumeId);
  return volume && { target: downloadTarget(disk.id, volume.view), isDirtyServed: false };
}

/**
 * @returns undefined when the host cannot serve it: a bitmap is broken or missing, or the content
 *   is gone
 */
export function targetOf(engine: Engine, transfer: TransferRow): TransferTarget | undefined {
  const disk = engine.disks.get(transfer.diskId);
  if (!disk) return undefined;
  if (transfer.backupId !== undefined) return backupTarget(engine, transfer);
  if (transfer.volumeId !== undefined) return volumeTarget(transfer, disk);
  if (transfer.direction === 'upload') {
    return { target: uploadTarget(engine, transfer, disk), isDirtyServed: false };
  }
  return { target: downloadTarget(disk.id, disk.data.freeze()), isDirtyServed: false };
}
