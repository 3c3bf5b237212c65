/** Pure: the disk that a restore asks the engine for, in a combination that its storage allows. */
import { roundUp } from '../../core/units.ts';
import type { CreateDisk } from '../../ovirt/engine/engineRequests.ts';
import type { StorageDomain } from '../../ovirt/engine/entities.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';

/** `same`: as the disk was stored when it was backed up. */
export type TargetFormat = 'same' | 'cow' | 'raw';

const CLUSTER_BYTES = 65_536;
/** Reference counts in a cluster. */
const COUNTS_PER_BLOCK = CLUSTER_BYTES / 2;
/** One table of 8192 entries maps this much. */
const TABLE_REACH_BYTES = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
const BLOCK_STORAGE = new Set(['iscsi', 'fcp']);

export function isBlockStorage(domain: StorageDomain): boolean {
  return BLOCK_STORAGE.has(domain.storageType);
}

/**
 * Upper bound of the space that a qcow2 image needs for `dataBytes` of guest data: clusters, mapping tables,
 * header, and reference counts of 16 bits, for which it counts as full, as qemu does. On block storage a thin disk
 * does not grow during an upload.
 *
 * @see qemu docs/interop/qcow2.txt; `qemu-img measure` answers the same question
 */
export function qcow2SizeBytes(virtualSizeBytes: number, dataBytes: number): number {
  const tables = Math.ceil(virtualSizeBytes / TABLE_REACH_BYTES);
  const firstTable = roundUp(tables * 8, CLUSTER_BYTES);
  const mapBytes = CLUSTER_BYTES + firstTable + tables * CLUSTER_BYTES;
  const clusters = (roundUp(virtualSizeBytes, CLUSTER_BYTES) + mapBytes) / CLUSTER_BYTES;
  // One block more counts the blocks themselves.
  const countBlocks = Math.ceil(clusters / COUNTS_PER_BLOCK) + 1;
  const countBytes = countBlocks * CLUSTER_BYTES + roundUp(countBlocks * 8, CLUSTER_BYTES);
  return roundUp(dataBytes, CLUSTER_BYTES) + mapBytes + countBytes;
}

/**
 * Plans a disk. qcow2 is thin and tracked, RAW is thin on file storage and preallocated on block storage, where
 * nothing else is allowed.
 *
 * @see ovirt-engine AddDiskCommand: allowed combinations of format, sparse and backup
 */
export function planTargetDisk(
  disk: DiskPoint,
  dataBytes: number,
  domain: StorageDomain,
  options: { readonly format: TargetFormat; readonly name: string; readonly description: string },
): CreateDisk {
  const format = options.format === 'same' ? (disk.format ?? 'cow') : options.format;
  const isBlock = isBlockStorage(domain);
  const needsInitial = format === 'cow' && isBlock;
  return {
    name: options.name,
    description: options.description,
    format,
    sparse: format === 'cow' || !isBlock,
    incremental: format === 'cow',
    virtualSizeBytes: disk.sizeBytes,
    initialSizeBytes: needsInitial ? qcow2SizeBytes(disk.sizeBytes, dataBytes) : undefined,
    storageDomainId: domain.id,
  };
}
