/**
 * Start of a backup: its kind, its row, and failures after the checks but within the request.
 * Source: oVirt contract (kinds of backups, per-disk mode, failed snapshot or redefine).
 */
import { randomUUID } from 'node:crypto';
import { checkBackupStart } from './checks.ts';
import { backupEvent, beginBackup, endBackup } from './machine.ts';
import type { BackupBody } from '../bodies.ts';
import { bitmapsSince, removeAllCheckpoints } from './checkpoints.ts';
import { canKeepBitmaps } from '../disks/content.ts';
import type { Engine } from '../core.ts';
import { executionFailure } from '../refusals.ts';
import { EVENT_CODES } from '../events.ts';
import type { BackupKind, BackupRow, CheckpointRow, DiskRow, VmRow } from '../rows.ts';

export interface BackupWish {
  readonly vm: VmRow;
  readonly body: BackupBody;
  readonly wantsLegacy: boolean;
  readonly requiresConsistency: boolean;
  readonly isForeign: boolean;
  readonly correlationId: string;
}

/** Hybrid from compatibility 4.7 on. Below that the state of the VM decides. */
function kindOf(engine: Engine, wish: BackupWish): BackupKind {
  const [major, minor] = engine.compatibilityOf(wish.vm);
  const isHybrid = (major > 4 || minor >= 7) && !wish.wantsLegacy;
  if (isHybrid) return 'hybrid';
  return wish.vm.status === 'up' ? 'live' : 'cold';
}

/** A legacy backup silently leaves out LUNs and shared disks. */
function eligible(kind: BackupKind, disks: readonly DiskRow[]): readonly DiskRow[] {
  if (kind === 'hybrid') return disks;
  return disks.filter((disk) => disk.storageType === 'image' && !disk.shareable);
}

function modeOf(base: CheckpointRow | undefined, disk: DiskRow): 'full' | 'incremental' {
  return base?.diskIds.has(disk.id) ? 'incremental' : 'full';
}

/** Undefined for a legacy backup of raw disks only: no disk could have a bitmap. */
function newCheckpointId(kind: BackupKind, disks: readonly DiskRow[]): string | undefined {
  return kind === 'hybrid' || disks.some(canKeepBitmaps) ? randomUUID() : undefined;
}

interface BackupPlan {
  readonly wish: BackupWish;
  readonly kind: BackupKind;
  readonly disks: readonly DiskRow[];
  readonly fromCheckpoint: CheckpointRow | undefined;
}

function createRow(engine: Engine, { wish, kind, disks, fromCheckpoint }: BackupPlan): BackupRow {
  const { vm, body, correlationId } = wish;
  return {
    id: body.id ?? randomUUID(),
    vmId: vm.id,
    kind,
    description: body.description ?? '',
    phase: 'initializing',
    createdAt: new Date(),
    modifiedAt: new Date(),
    fromCheckpointId: body.from_checkpoint_id,
    toCheckpointId: newCheckpointId(kind, disks),
    hostId: kind === 'live' ? engine.hostOf(vm)?.id : undefined,
    snapshotId: kind === 'hybrid' ? randomUUID() : undefined,
    requiresConsistency: wish.requiresConsistency,
    isForeign: wish.isForeign,
    wasReady: false,
    isStopped: false,
    isAborting: false,
    diskIds: disks.map(({ id }) => id),
    modes: new Map(disks.map((disk) => [disk.id, modeOf(fromCheckpoint, disk)])),
    views: new Map(),
    dirtyNames: new Map(),
    correlationId,
    timer: undefined,
  };
}

/** A snapshot needs unlocked image disks that are not shared. */
function failsSnapshot({ kind, disks }: BackupPlan): boolean {
  return (
    kind === 'hybrid' &&
    disks.some((disk) => disk.storageType !== 'image' || disk.shareable || disk.status === 'locked')
  );
}

/** Only a live backup checks its bitmaps: the host redefines the checkpoints and reads them. */
function failsRedefine(engine: Engine, plan: BackupPlan): boolean {
  const { kind, disks, fromCheckpoint, wish } = plan;
  if (!fromCheckpoint) return false;
  if (engine.behaviour.redefineFails) return true;
  if (kind !== 'live') return false;
  const bases = disks.filter(({ id }) => fromCheckpoint.diskIds.has(id));
  return !bases.every((disk) =>
    disk.data.canServe(bitmapsSince(engine, wish.vm.id, fromCheckpoint.id, disk.id)),
  );
}

function failInCall(engine: Engine, backup: BackupRow): never {
  backup.snapshotId = undefined;
  endBackup(engine, backup, 'failed');
  throw executionFailure();
}

/** Starts a backup. @throws EngineFault */
export function startBackup(engine: Engine, wish: BackupWish): BackupRow {
  const kind = kindOf(engine, wish);
  const diskIds = (wish.body.disks ?? []).flatMap(({ id }) => id ?? []);
  const disks = diskIds.flatMap((id) => engine.disks.get(id) ?? []);
  // The engine searches the checkpoints of all VMs.
  const fromCheckpoint = engine.checkpoints.get(wish.body.from_checkpoint_id ?? '');
  const { vm, body } = wish;
  checkBackupStart({ engine, vm, kind, body, diskIds, disks, fromCheckpoint });
  const plan: BackupPlan = { wish, kind, disks: eligible(kind, disks), fromCheckpoint };
  const backup = createRow(engine, plan);
  engine.backups.set(backup.id, backup);
  engine.backupHistory.push(backup);
  if (failsSnapshot(plan)) failInCall(engine, backup);
  if (failsRedefine(engine, plan)) {
    removeAllCheckpoints(engine, vm);
    backupEvent(engine, backup, EVENT_CODES.fullBackupNeeded);
    failInCall(engine, backup);
  }
  beginBackup(engine, backup);
  return backup;
}
