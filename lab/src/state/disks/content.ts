/**
 * Changes to the content of disks: volumes of snapshots and bitmaps.
 * Source: oVirt contract: an overlay is always cow. The merge of a snapshot keeps the lower volume.
 * A raw base therefore ends as a raw disk without bitmaps.
 */
import { randomUUID } from 'node:crypto';
import type { FrozenView } from '../../dataPlane.ts';
import type { Engine } from '../core.ts';
import type { DiskRow } from '../rows.ts';

/** True for qcow2 images of version 3. A raw base below the active volume is not checked. */
export function canKeepBitmaps(disk: DiskRow): boolean {
  return disk.storageType === 'image' && disk.format === 'cow' && disk.qcowVersion !== 'qcow2_v2';
}

/** Puts an overlay over a disk. The volume that was active belongs to the snapshot from now on. */
export function addOverlay(disk: DiskRow, snapshotId: string, view: FrozenView): void {
  disk.volumes.push({ id: disk.imageId, snapshotId, format: disk.format, view });
  disk.imageId = randomUUID();
  disk.format = 'cow';
}

/** Drops all bitmaps of a disk and takes it out of all checkpoints. */
export function forgetBitmaps(engine: Engine, disk: DiskRow): void {
  disk.data.dropBitmaps();
  for (const checkpoint of engine.checkpoints.values()) checkpoint.diskIds.delete(disk.id);
}

/** After a merge into a raw volume. */
function becomeRaw(engine: Engine, disk: DiskRow): void {
  disk.format = 'raw';
  disk.qcowVersion = undefined;
  disk.backup = 'none';
  forgetBitmaps(engine, disk);
}

/** Removes the volume of a snapshot from a disk. The next newer volume is merged into it. */
function mergeOverlay(engine: Engine, disk: DiskRow, snapshotId: string): void {
  const index = disk.volumes.findIndex((volume) => volume.snapshotId === snapshotId);
  const lower = disk.volumes[index];
  if (!lower) return;
  const upper = disk.volumes[index + 1];
  disk.volumes.splice(index, 1);
  if (upper) {
    disk.volumes[index] = { ...upper, id: lower.id, format: lower.format };
    return;
  }
  disk.imageId = lower.id;
  if (lower.format === 'raw') becomeRaw(engine, disk);
}

/** Removes a snapshot and its volumes from all disks. */
export function removeSnapshot(engine: Engine, snapshotId: string): void {
  for (const disk of engine.disks.values()) mergeOverlay(engine, disk, snapshotId);
  engine.snapshots.delete(snapshotId);
}
