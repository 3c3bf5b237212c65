/** A frozen VM: its engine backup, and the disks whose change maps were opened. */
import { backupDescription } from '../cleanup/ownership.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { DiskTransfer } from '../../ovirt/lifecycle/transfer.ts';
import type { Journal } from '../../repository/journal.ts';
import { type EndContext, noteFreeze } from '../backup/vm/backupEnd.ts';
import { fetchExtents, type MappedDisk } from '../backup/vm/diskExtents.ts';
import { EngineBackup } from '../backup/vm/engineBackup.ts';
import { offeredMode, openTransfer } from '../backup/vm/vmDisks.ts';
import type { VmPlan } from '../backup/vm/vmPlan.ts';
import type { PlannedDisk } from '../backup/plannedDisk.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { lostCheckpoint, wholeMessage } from './pipePlan.ts';

export interface FreezeOptions {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly session: SessionLog;
  readonly sessionId: string;
  readonly journal: Journal;
  /** Names the owner in the description of the backup. */
  readonly ownerId: string;
  readonly connections: number;
  readonly requireConsistency: boolean;
  /** Refuses an incremental disk that the engine offers in full only. */
  readonly strict: boolean;
  readonly signal: AbortSignal;
  readonly onStatus: (text: string) => void;
}

/** A disk whose transfer is open. */
export interface OpenedTransfer extends MappedDisk {
  readonly transfer: DiskTransfer;
}

export interface FrozenVm {
  readonly backup: EngineBackup;
  /** How each disk is read; final. */
  readonly disks: readonly PlannedDisk[];
  /** By disk id. Incremental disks are opened first, so that a broken change map is told early. */
  readonly opened: ReadonlyMap<string, OpenedTransfer>;
}

/**
 * Freezes the VM and opens the change maps.
 *
 * @throws {@link ChangeMapBroken}; errors of the engine. Nothing is left on the engine then, or the
 *   journal lists it.
 */
export async function freezeVm(
  plan: VmPlan,
  number: number,
  options: FreezeOptions,
): Promise<FrozenVm> {
  const { ownerId, sessionId, requireConsistency } = options;
  const start = {
    diskIds: plan.planned.map((disk) => disk.diskId),
    fromCheckpointId: plan.fromCheckpointId,
    description: `${backupDescription(ownerId, sessionId)} ${number}`,
    requireConsistency,
  };
  const backup = await EngineBackup.start(start, options);
  try {
    await noteFreeze(endContext(options));
    const opened = new Map<string, OpenedTransfer>();
    const disks: PlannedDisk[] = [];
    for (const wanted of plan.planned) {
      const disk = offeredMode(wanted, backup);
      if (disk.mode === 'incremental') {
        const mapped = await openMapped(disk, backup, options);
        opened.set(disk.diskId, mapped);
        disks.push(mapped.planned);
      } else disks.push(withoutParentFull(disk));
    }
    tellDemoted(plan, disks, options);
    return { backup, disks, opened };
  } catch (error) {
    await backup.abandon();
    throw error;
  }
}

/** Opens the frozen view of a disk and asks for its extents. */
export async function openMapped(
  disk: PlannedDisk,
  backup: EngineBackup,
  { engine, session, signal }: FreezeOptions,
): Promise<OpenedTransfer> {
  const transfer = await openTransfer(disk, { backup, session });
  const { blockRetryMs } = engine.timings;
  const mapped = await fetchExtents(disk, transfer, { session, blockRetryMs, signal });
  return { transfer, planned: withoutParentFull(mapped.planned), extents: mapped.extents };
}

export function endContext(options: FreezeOptions): EndContext {
  const { engine, vm, session, journal, signal } = options;
  return { engine, vm, session, journal, signal };
}

/** A disk that cannot be read by its changes is compared. Without a parent it is read in full. */
function withoutParentFull(disk: PlannedDisk): PlannedDisk {
  if (disk.mode !== 'compare' || disk.parentDisk) return disk;
  return { ...disk, mode: 'full', content: 'full' };
}

/** Tells, or refuses, each disk that the engine offers in full only. */
function tellDemoted(
  { planned, fromCheckpointId = '' }: VmPlan,
  disks: readonly PlannedDisk[],
  { strict, session }: FreezeOptions,
): void {
  for (const [k, wanted] of planned.entries()) {
    const disk = disks[k];
    if (wanted.mode !== 'incremental' || !disk || disk.mode === 'incremental') continue;
    if (strict) throw lostCheckpoint(fromCheckpointId, disk.alias, disk.reason);
    session.note(wholeMessage(disk, fromCheckpointId, disk.reason));
  }
}
