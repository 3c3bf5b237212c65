/**
 * The chain of checkpoints of a VM. Invariant: when a checkpoint is removed, an older one keeps its
 * changes. The disk moves them to the next older bitmap.
 * Source: oVirt contract (checkpoints; the child of a removed one gets its parent).
 */
import type { Engine } from '../core.ts';
import type { CheckpointRow, VmRow } from '../rows.ts';

export interface NewCheckpoint {
  readonly id: string;
  readonly vmId: string;
  readonly description: string;
  readonly diskIds: readonly string[];
}

/** Adds the newest checkpoint. Bitmaps with its name must exist already. */
export function appendCheckpoint(engine: Engine, checkpoint: NewCheckpoint): void {
  engine.checkpoints.set(checkpoint.id, {
    id: checkpoint.id,
    vmId: checkpoint.vmId,
    parentId: engine.checkpointChain(checkpoint.vmId).at(-1)?.id,
    state: 'created',
    createdAt: new Date(),
    description: checkpoint.description,
    diskIds: new Set(checkpoint.diskIds),
  });
}

/** Removes a checkpoint from anywhere in the chain. */
export function removeCheckpoint(engine: Engine, checkpoint: CheckpointRow): void {
  for (const diskId of checkpoint.diskIds) {
    engine.disks.get(diskId)?.data.removeBitmap(checkpoint.id);
  }
  const chain = engine.checkpointChain(checkpoint.vmId);
  const child = chain[chain.indexOf(checkpoint) + 1];
  if (child) child.parentId = checkpoint.parentId;
  engine.checkpoints.delete(checkpoint.id);
}

/** Removes all checkpoints of a VM and their bitmaps. */
export function removeAllCheckpoints(engine: Engine, vm: VmRow): void {
  for (const checkpoint of engine.checkpointChain(vm.id)) {
    for (const diskId of checkpoint.diskIds) engine.disks.get(diskId)?.data.dropBitmaps();
    engine.checkpoints.delete(checkpoint.id);
  }
}

/** Removes checkpoints without any disk. The engine does so when a disk is detached. */
export function removeEmptyCheckpoints(engine: Engine, vm: VmRow): void {
  for (const checkpoint of engine.checkpointChain(vm.id)) {
    if (checkpoint.diskIds.size === 0) removeCheckpoint(engine, checkpoint);
  }
}

/**
 * Bitmaps of a disk from checkpoint `fromId` on, oldest first. Their union is what changed since
 * then.
 */
export function bitmapsSince(
  engine: Engine,
  vmId: string,
  fromId: string,
  diskId: string,
): readonly string[] {
  const chain = engine.checkpointChain(vmId);
  const start = chain.findIndex(({ id }) => id === fromId);
  // The engine accepts a checkpoint of another VM. Then only the bitmap of that name counts.
  if (start < 0) return [fromId];
  return chain.slice(start).flatMap(({ id, diskIds }) => (diskIds.has(diskId) ? [id] : []));
}
