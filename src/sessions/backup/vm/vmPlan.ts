/** Plans a VM session: which disks can be backed up, how each one is read, and why. */
import { UsageError } from '../../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import { formatBytes } from '../../../core/units.ts';
import type { DiskPoint, RestorePoint } from '../../../repository/restorePoint.ts';
import type { DiskHardware, PlannedDisk } from '../plannedDisk.ts';

/** A disk as the engine describes it now. */
export interface EngineDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
  /** The reason why the disk cannot be read; undefined when it can. */
  readonly obstacle: string | undefined;
  readonly isExcluded: boolean;
  /** Format of the active volume. */
  readonly format: string;
  /** Any layer is RAW. Its change map would vanish with the last snapshot. */
  readonly hasRawLayer: boolean;
  /** The disk's setting "incremental backup". */
  readonly isTracked: boolean;
  /** Version 2 of qcow2 cannot hold change maps. */
  readonly isOldQcow: boolean;
  /** Space of its volumes, for estimates. */
  readonly allocatedBytes: number;
  readonly hardware: DiskHardware;
}

/** The checkpoint of the parent point as the engine sees it. */
export interface Base {
  /** Empty when the parent point has none. */
  readonly checkpointId: string;
  readonly state: 'usable' | 'invalid' | 'unknown' | 'none';
  /** Disks that have a change map since this checkpoint. */
  readonly diskIds: ReadonlySet<string>;
}

export interface LeftOutDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly cause: string;
}

export interface VmPlan {
  readonly planned: readonly PlannedDisk[];
  readonly leftOut: readonly LeftOutDisk[];
  /** Set when at least one disk can use it. */
  readonly fromCheckpointId: string | undefined;
  readonly messages: readonly SessionMessage[];
}

/** The reason why a disk is not read incrementally, and its message. */
interface Demotion {
  readonly reason: string;
  readonly message: SessionMessage | undefined;
}

/** Separates readable disks from those that are left out. */
export function selectReadable(
  disks: readonly EngineDisk[],
  vmName: string,
): {
  readonly usable: EngineDisk[];
  readonly leftOut: LeftOutDisk[];
  readonly messages: SessionMessage[];
} {
  const messages: SessionMessage[] = [];
  const leftOut: LeftOutDisk[] = [];
  const usable: EngineDisk[] = [];
  for (const disk of disks) {
    const { diskId, alias, obstacle, isExcluded } = disk;
    if (isExcluded) leftOut.push({ diskId, alias, cause: 'excluded' });
    else if (obstacle === undefined) usable.push(disk);
    else {
      leftOut.push({ diskId, alias, cause: obstacle });
      messages.push(sessionMessage('JOB-601', { alias, id: diskId, vm: vmName, cause: obstacle }));
    }
  }
  return { usable, leftOut, messages };
}

/** True for a disk whose change map survives until the next session. */
export function canTrack(disk: EngineDisk): boolean {
  return disk.format === 'cow' && !disk.hasRawLayer && disk.isTracked && !disk.isOldQcow;
}

function identity(
  disk: EngineDisk,
): Pick<PlannedDisk, 'diskId' | 'alias' | 'sizeBytes' | 'hardware'> {
  const { diskId, alias, sizeBytes, hardware } = disk;
  return { diskId, alias, sizeBytes, hardware };
}

function planFullDisk(disk: EngineDisk, reason: string): PlannedDisk {
  return { ...identity(disk), mode: 'full', content: 'full', reason, parentDisk: undefined };
}

function planParented(
  disk: EngineDisk,
  parentDisk: DiskPoint,
  mode: 'incremental' | 'compare',
  reason: string,
): PlannedDisk {
  return { ...identity(disk), mode, content: 'increment', reason, parentDisk };
}

/** Advice for a disk that was not removed. */
const OTHERWISE = 'Otherwise attach it to the VM again.';

interface PlanContext {
  readonly vmName: string;
  readonly parent: RestorePoint;
  readonly base: Base;
}

/** Reasons of the disk itself come before those of the checkpoint. */
function findDemotion(
  disk: EngineDisk,
  parentDisk: DiskPoint,
  { vmName: vm, parent, base }: PlanContext,
): Demotion | undefined {
  const { alias, diskId: id, sizeBytes } = disk;
  const rp = parent.pointId;
  const checkpoint = base.checkpointId;
  const missing = (cause: string): Demotion => ({
    reason: cause,
    message: sessionMessage('CBT-109', { alias, id, checkpoint, cause, rp }),
  });
  if (disk.format !== 'cow' || disk.hasRawLayer) {
    const reason = disk.format === 'cow' ? 'RAW below a snapshot' : 'stored as RAW';
    const size = formatBytes(sizeBytes);
    return { reason, message: sessionMessage('CBT-101', { alias, id, vm, size, rp }) };
  }
  if (!disk.isTracked) {
    const message = sessionMessage('CBT-102', { alias, id, vm, rp });
    return { reason: 'change tracking is off', message };
  }
  if (parentDisk.sizeBytes !== sizeBytes) {
    const [from, to] = [formatBytes(parentDisk.sizeBytes), formatBytes(sizeBytes)];
    const reason = `resized since restore point ${parent.number}`;
    return { reason, message: sessionMessage('DSK-110', { alias, id, rp, from, to }) };
  }
  if (base.state === 'unknown') return { reason: 'checkpoint lost', message: undefined };
  if (base.state === 'invalid') return { reason: 'checkpoint invalid', message: undefined };
  if (disk.isOldQcow) return missing('its qcow2 version 2 cannot hold change maps');
  if (base.state === 'none') {
    return { reason: `restore point ${parent.number} has no checkpoint`, message: undefined };
  }
  if (!base.diskIds.has(id)) {
    return missing('it was detached, converted or newly tracked since then');
  }
  return undefined;
}

function planAgainst(
  disk: EngineDisk,
  context: PlanContext,
): { readonly planned: PlannedDisk; readonly message: SessionMessage | undefined } {
  const { diskId: id, alias } = disk;
  const { parent } = context;
  const parentDisk = parent.disks.find((known) => known.diskId === id);
  if (!parentDisk) {
    const message = sessionMessage('CBT-106', { alias, id, rp: parent.pointId });
    return { planned: planFullDisk(disk, `new since restore point ${parent.number}`), message };
  }
  const demotion = findDemotion(disk, parentDisk, context);
  if (demotion) {
    const planned = planParented(disk, parentDisk, 'compare', demotion.reason);
    return { planned, message: demotion.message };
  }
  const reason = `changes since restore point ${parent.number}`;
  return { planned: planParented(disk, parentDisk, 'incremental', reason), message: undefined };
}

function baseMessage(parent: RestorePoint, base: Base): SessionMessage | undefined {
  const { checkpointId: checkpoint } = base;
  const [date, rp] = [parent.createdAt, parent.pointId];
  if (base.state === 'unknown') return sessionMessage('CBT-103', { checkpoint, date, rp });
  if (base.state === 'invalid') return sessionMessage('CBT-104', { checkpoint });
  return undefined;
}

/** Plans a session over the disks of a VM. Without a parent every disk is stored whole. */
export function planVm(
  disks: readonly EngineDisk[],
  vmName: string,
  parent: RestorePoint | undefined,
  options: { readonly base: Base; readonly fullReason: string },
): VmPlan {
  const { base, fullReason } = options;
  const { usable, leftOut, messages } = selectReadable(disks, vmName);
  if (!parent) {
    const planned = usable.map((disk) => planFullDisk(disk, fullReason));
    return { planned, leftOut, fromCheckpointId: undefined, messages };
  }
  const lost = baseMessage(parent, base);
  if (lost && usable.length > 0) messages.push(lost);
  const planned = usable.map((disk) => {
    const one = planAgainst(disk, { vmName, parent, base });
    if (one.message) messages.push(one.message);
    return one.planned;
  });
  for (const gone of parent.disks) {
    if (!disks.some((disk) => disk.diskId === gone.diskId)) {
      const { alias, diskId: id } = gone;
      const fields = { alias, id, rp: parent.pointId, otherwise: OTHERWISE };
      messages.push(sessionMessage('DSK-111', fields));
    }
  }
  const usesBase = planned.some((disk) => disk.mode === 'incremental');
  const fromCheckpointId = usesBase ? base.checkpointId : undefined;
  return { planned, leftOut, fromCheckpointId, messages };
}

/** The same plan without the checkpoint: incremental disks are compared instead. */
export function withoutCheckpoint(plan: VmPlan, reason: string): VmPlan {
  const planned = plan.planned.map(
    (disk): PlannedDisk =>
      disk.mode === 'incremental' ? { ...disk, mode: 'compare', reason } : disk,
  );
  return { ...plan, planned, fromCheckpointId: undefined };
}

/**
 * Judges a plan without disks. A VM without readable disks gets a restore point with its
 * configuration only. That point must not stand for disks which the VM still has: retention would
 * count it, and in the end remove the points with their content.
 *
 * @param newest - the newest restore point of the VM.
 * @returns undefined for a plan with disks; the message of a session without disks; or the error
 *   of a session that must not be: `USAGE_INVALID_OPTION` when the options exclude every readable
 *   disk, `USAGE_NOT_FOUND` when disks of `newest` are attached, but cannot be read now
 */
export function judgeEmptyPlan(
  plan: VmPlan,
  disks: readonly EngineDisk[],
  vmName: string,
  newest: RestorePoint | undefined,
): SessionMessage | UsageError | undefined {
  if (plan.planned.length > 0) return undefined;
  if (disks.some((disk) => disk.obstacle === undefined)) {
    return new UsageError(
      'USAGE_INVALID_OPTION',
      `the options exclude every disk of ${vmName} that can be backed up`,
      {
        hint: 'select at least one disk: change --disk, --exclude-disk, or "excludeDisks" of the job',
      },
    );
  }
  const wasStored = (diskId: string): boolean =>
    newest?.disks.some((disk) => disk.diskId === diskId) ?? false;
  if (disks.some((disk) => wasStored(disk.diskId))) return nothingToRead(vmName);
  return sessionMessage('JOB-608', { vm: vmName });
}

/** The error of a session that would store nothing. */
export function nothingToRead(vmName: string): UsageError {
  return new UsageError('USAGE_NOT_FOUND', `${vmName} has no disk that can be backed up`, {
    hint: 'run "ovirt-cbt preflight" to see why each disk is left out',
  });
}
