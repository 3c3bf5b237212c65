/**
 * What the engine does to the content of disks: volumes of snapshots, bitmaps, and which of both survive.
 * Source: oVirt contract: an overlay is always cow; the merge of a snapshot keeps the lower volume, so a raw
 * base ends as a raw disk without bitmaps.
 */
import { randomUUID } from 'node:crypto';
import type { FrozenView } from '../../dataPlane.ts';
import type { Engine } from '../core.ts';
import type { DiskRow } from '../rows.ts';

/** Only qcow2 of the newer version can keep bitmaps; a raw base below is not noticed here. */
export function canKeepBitmaps(disk: DiskRow): boolean {
  return disk.storageType === 'image' && disk.format === 'cow' && disk.qcowVersion !== 'qcow2_v2';
}

/** Puts an overlay over a disk: what was its active volume is the snapshot's from now on. */
export function addOverlay(disk: DiskRow, snapshotId: string, view: FrozenView): void {
  disk.volumes.push({ id: disk.imageId, snapshotId, format: disk.format, view });
  disk.imageId = randomUUID();
  disk.format = 'cow';
}

/** Takes a disk out of all checkpoints, with its bitmaps. */
export function forgetBitmaps(engine: Engine, disk: DiskRow): void {
  disk.data.dropBitmaps();
  for (const checkpoint of engine.checkpoints.values()) checkpoint.diskIds.delete(disk.id);
}

/** The active volume was merged into a raw one. */
function becomeRaw(engine: Engine, disk: DiskRow): void {
  disk.format = 'raw';
  disk.qcowVersion = undefined;
  disk.backup = 'none';
  forgetBitmaps(engine, disk);
}

/** Removes the volume of a snapshot: the next one is merged into it. */
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

/** Drops a snapshot with its volumes in all disks. */
export function removeSnapshot(engine: Engine, snapshotId: string): void {
  for (const disk of engine.disks.values()) mergeOverlay(engine, disk, snapshotId);
  engine.snapshots.delete(snapshotId);
}
