/**
 * Plans the disk that a restore asks the engine for. Format and allocation fit the storage domain.
 */
import { roundUp } from '../../core/units.ts';
import type { CreateDisk } from '../../ovirt/engine/engineRequests.ts';
import type { StorageDomain } from '../../ovirt/engine/entities.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';

/** `same`: as the disk was stored when it was backed up. */
export type TargetFormat = 'same' | 'cow' | 'raw';

const CLUSTER_BYTES = 65_536;
/** Reference counts of 16 bits in a cluster. */
const COUNTS_PER_BLOCK = CLUSTER_BYTES / 2;
/** Bytes of disk that one table of 8192 entries maps. */
const TABLE_REACH_BYTES = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
const BLOCK_STORAGE = new Set(['iscsi', 'fcp']);

export function isBlockStorage(domain: StorageDomain): boolean {
  return BLOCK_STORAGE.has(domain.storageType);
}

/**
 * Upper bound of the bytes of a qcow2 image with `dataBytes` of guest data: clusters, mapping
 * tables, header and reference counts. The reference counts are those of a full image, as qemu
 * computes them. A thin disk on block storage is made with this size: it does not grow during an
 * upload.
 *
 * @see qemu docs/interop/qcow2.txt; `qemu-img measure` answers the same question
 */
export function qcow2SizeBytes(virtualSizeBytes: number, dataBytes: number): number {
  const tables = Math.ceil(virtualSizeBytes / TABLE_REACH_BYTES);
  const firstTable = roundUp(tables * 8, CLUSTER_BYTES);
  const mapBytes = CLUSTER_BYTES + firstTable + tables * CLUSTER_BYTES;
  const clusters = (roundUp(virtualSizeBytes, CLUSTER_BYTES) + mapBytes) / CLUSTER_BYTES;
  // One more, because the clusters of reference counts are counted as well.
  const countBlocks = Math.ceil(clusters / COUNTS_PER_BLOCK) + 1;
  const countBytes = countBlocks * CLUSTER_BYTES + roundUp(countBlocks * 8, CLUSTER_BYTES);
  return roundUp(dataBytes, CLUSTER_BYTES) + mapBytes + countBytes;
}

/**
 * Plans a disk. qcow2 is thin, with incremental backup enabled. RAW is thin on file storage and
 * preallocated on block storage, where the engine allows nothing else.
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
