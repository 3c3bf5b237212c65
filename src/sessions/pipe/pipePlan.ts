/** Plans how the disks of a VM are read when no restore point is known, only a checkpoint. Pure. */
import { EngineError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { PlannedDisk } from '../backup/plannedDisk.ts';
import { type Base, type EngineDisk, selectReadable, type VmPlan } from '../backup/vm/vmPlan.ts';

export interface SinceOptions {
  readonly base: Base;
  /** Sizes of the disks at the checkpoint, by disk id. Missing ones are not known. */
  readonly sizesBytes: ReadonlyMap<string, number>;
  /** Refuses a lost checkpoint instead of reading whole disks. */
  readonly strict: boolean;
}

interface WholeCause {
  readonly reason: string;
  /** The checkpoint was usable once, and is not now. */
  readonly isLost: boolean;
}

function kept(reason: string): WholeCause {
  return { reason, isLost: false };
}

function lost(reason: string): WholeCause {
  return { reason, isLost: true };
}

/** Why a disk is read whole; undefined when its changes are enough. */
function causeOfWhole(disk: EngineDisk, options: SinceOptions): WholeCause | undefined {
  const { base, sizesBytes } = options;
  const knownBytes = sizesBytes.get(disk.diskId);
  if (base.state === 'none') return kept('no checkpoint given');
  if (disk.format !== 'cow') return kept('stored as RAW');
  if (disk.hasRawLayer) return kept('RAW below a snapshot');
  if (!disk.isTracked) return kept('change tracking is off');
  if (knownBytes !== undefined && knownBytes !== disk.sizeBytes) {
    return kept('resized since the checkpoint');
  }
  if (base.state === 'unknown') return lost('the engine does not know the checkpoint');
  if (base.state === 'invalid') return lost('the engine marks the checkpoint as invalid');
  if (disk.isOldQcow) return kept('its qcow2 version 2 cannot hold change maps');
  if (!base.diskIds.has(disk.diskId)) return lost('the checkpoint does not hold it');
  return undefined;
}

/** @throws {@link EngineError} `ENGINE_CHANGE_MAP_LOST` with `strict` and a lost checkpoint */
export function planSince(
  disks: readonly EngineDisk[],
  vmName: string,
  options: SinceOptions,
): VmPlan {
  const { checkpointId } = options.base;
  const { usable, leftOut, messages } = selectReadable(disks, vmName);
  const planned = usable.map((disk): PlannedDisk => {
    const { diskId, alias, sizeBytes, hardware } = disk;
    const identity = { diskId, alias, sizeBytes, hardware, parentDisk: undefined };
    const cause = causeOfWhole(disk, options);
    if (!cause) {
      const reason = `changes since checkpoint ${checkpointId}`;
      return { ...identity, mode: 'incremental', content: 'increment', reason };
    }
    if (cause.isLost && options.strict) throw lostCheckpoint(checkpointId, alias, cause.reason);
    if (checkpointId) messages.push(wholeMessage(identity, checkpointId, cause.reason));
    return { ...identity, mode: 'full', content: 'full', reason: cause.reason };
  });
  const usesBase = planned.some((disk) => disk.mode === 'incremental');
  return { planned, leftOut, fromCheckpointId: usesBase ? checkpointId : undefined, messages };
}

export function wholeMessage(
  disk: { readonly alias: string; readonly diskId: string },
  checkpoint: string,
  cause: string,
): SessionMessage {
  return sessionMessage('CBT-113', { alias: disk.alias, id: disk.diskId, checkpoint, cause });
}

export function lostCheckpoint(checkpointId: string, alias: string, cause: string): EngineError {
  return new EngineError(
    'ENGINE_CHANGE_MAP_LOST',
    `disk ${alias} cannot be read from checkpoint ${checkpointId}: ${cause}`,
    { hint: 'leave strict out to read the disk whole, or leave since out to start again' },
  );
}
