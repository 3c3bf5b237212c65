/**
 * The state machines of backups (hybrid, live, cold). Only timers and actions move phases, never
 * reads.
 * Invariants: views are frozen and new bitmaps begin in one step. Every end of a backup releases
 * its locks. A failed backup leaves no checkpoint.
 * Source: oVirt contract (phases and semantics).
 */
import { appendCheckpoint, bitmapsSince, removeCheckpoint } from './checkpoints.ts';
import { addOverlay, canKeepBitmaps, removeSnapshot } from '../disks/content.ts';
import { type Engine, isBackupOver } from '../core.ts';
import { EVENT_CODES } from '../events.ts';
import type { BackupPhase, BackupRow, DiskRow } from '../rows.ts';
import {
  BACKUP_ABORT_SECONDS,
  BACKUP_FINALIZE_SECONDS,
  BACKUP_FREEZE_SECONDS,
  BACKUP_INITIALIZING_SECONDS,
  BACKUP_READY_SECONDS,
  HYBRID_STOP_LAG_SECONDS,
  RETENTION_FAILURE_SECONDS,
  RETENTION_SUCCESS_SECONDS,
  SNAPSHOT_MERGE_SECONDS,
} from '../timings.ts';

/** Description of the snapshot that a hybrid backup makes. */
export const AUTO_SNAPSHOT_DESCRIPTION = 'Auto-generated for Backup VM';

const HANG_POLL_SECONDS = 1;

const TEXTS: Readonly<Record<number, string>> = {
  [EVENT_CODES.freezeFailed]: 'The guest file systems could not be frozen',
  [EVENT_CODES.backupStarted]: 'Backup has started',
  [EVENT_CODES.fullBackupNeeded]:
    'Incremental backup failed: all checkpoints were removed, a full backup is needed',
  [EVENT_CODES.backupFailed]: 'Backup has failed',
  [EVENT_CODES.backupSucceeded]: 'Backup has completed',
  [EVENT_CODES.backupFinalized]: 'Backup has been finalized',
  [EVENT_CODES.backupStopped]: 'Stop of the backup was accepted',
  [EVENT_CODES.scratchCreating]: 'Creation of scratch disks has started',
  [EVENT_CODES.scratchCreated]: 'Scratch disks were created',
  [EVENT_CODES.snapshotLeftOver]: 'Backup has completed, but its snapshot may be left over',
};

export function backupEvent(engine: Engine, backup: BackupRow, code: number): void {
  const { vmId, correlationId, id } = backup;
  const vmName = engine.vms.get(vmId)?.name ?? vmId;
  const description = `${TEXTS[code] ?? 'Backup event'} (VM ${vmName}, backup ${id}).`;
  engine.log.add({ code, description, vmId, correlationId });
}

function setPhase(backup: BackupRow, phase: BackupPhase): void {
  backup.phase = phase;
  backup.modifiedAt = new Date();
}

function schedule(engine: Engine, backup: BackupRow, seconds: number, next: () => void): void {
  backup.timer?.cancel();
  backup.timer = engine.scheduler.after(seconds, next);
}

function disksOf(engine: Engine, backup: BackupRow): DiskRow[] {
  return backup.diskIds.flatMap((id) => engine.disks.get(id) ?? []);
}

/**
 * Hybrid: locks all eligible disks of the VM inside the engine. Legacy: locks its own disks and
 * shows them as `locked`.
 */
function lockDisks(engine: Engine, backup: BackupRow): void {
  const vm = engine.vms.get(backup.vmId);
  const lock = { kind: 'backup', ownerId: backup.id } as const;
  if (backup.kind !== 'hybrid') {
    for (const disk of disksOf(engine, backup)) Object.assign(disk, { lock, status: 'locked' });
    return;
  }
  for (const { disk } of vm ? engine.attachedDisks(vm) : []) {
    if (disk.storageType === 'image' && !disk.shareable) disk.lock ??= lock;
  }
}

function unlockDisks(engine: Engine, backup: BackupRow): void {
  for (const disk of engine.disks.values()) {
    if (disk.lock?.ownerId !== backup.id) continue;
    disk.lock = undefined;
    if (backup.kind !== 'hybrid' && disk.status === 'locked') disk.status = 'ok';
  }
}

/** Bitmaps that an incremental read of a disk needs; empty for a full read. */
function basesOf(engine: Engine, backup: BackupRow, disk: DiskRow): readonly string[] {
  const { fromCheckpointId: fromId, vmId } = backup;
  const isFull = fromId === undefined || backup.modes.get(disk.id) !== 'incremental';
  return isFull ? [] : bitmapsSince(engine, vmId, fromId, disk.id);
}

function freezeDisk(engine: Engine, backup: BackupRow, disk: DiskRow): void {
  const { snapshotId, toCheckpointId: newName } = backup;
  const bases = basesOf(engine, backup, disk);
  const wasBroken = !disk.data.canServe(bases);
  const bitmap = canKeepBitmaps(disk) ? newName : undefined;
  const view = disk.data.freeze({ bases, bitmap });
  backup.views.set(disk.id, view);
  if (bases.length > 0) backup.dirtyNames.set(disk.id, bases);
  // A new bitmap over broken ones is broken too. A full backup has no base, so its bitmap is good.
  if (bitmap !== undefined && wasBroken) disk.data.breakBitmaps();
  if (snapshotId !== undefined) addOverlay(disk, snapshotId, view);
}

/** The frozen moment: freezes the views and begins the new bitmaps of all disks, in one step. */
function freeze(engine: Engine, backup: BackupRow): void {
  // A fault may have moved the backup back to an earlier phase.
  if (backup.views.size > 0) return;
  const disks = disksOf(engine, backup);
  const tracked = disks.filter(canKeepBitmaps).map(({ id }) => id);
  for (const disk of disks) freezeDisk(engine, backup, disk);
  const { toCheckpointId: id, vmId, description } = backup;
  if (id !== undefined) appendCheckpoint(engine, { id, vmId, description, diskIds: tracked });
}

/**
 * True when the backup must fail because the guest cannot be frozen. A VM that is off has nothing
 * to freeze.
 */
function failsConsistency(engine: Engine, backup: BackupRow): boolean {
  const isUp = engine.vms.get(backup.vmId)?.status === 'up';
  if (!engine.behaviour.freezeFails || !isUp) return false;
  backupEvent(engine, backup, EVENT_CODES.freezeFailed);
  return backup.kind === 'live' && backup.requiresConsistency;
}

function becomeReady(engine: Engine, backup: BackupRow): void {
  const snapshot = engine.snapshots.get(backup.snapshotId ?? '');
  if (snapshot) snapshot.status = 'ok';
  backup.wasReady = true;
  setPhase(backup, 'ready');
  if (backup.isStopped) finalizeLater(engine, backup);
}

/** A hanging backup goes on when the switch is turned off. A stop ends it as `failed`. */
function hang(engine: Engine, backup: BackupRow): void {
  if (backup.isStopped) {
    schedule(engine, backup, BACKUP_ABORT_SECONDS, () => abortBackup(engine, backup));
    return;
  }
  schedule(engine, backup, HANG_POLL_SECONDS, () => reachFrozenMoment(engine, backup));
}

function reachFrozenMoment(engine: Engine, backup: BackupRow): void {
  if (engine.behaviour.backupHangs) return hang(engine, backup);
  const isFailing = engine.behaviour.backupFails || failsConsistency(engine, backup);
  if (isFailing) return abortBackup(engine, backup);
  freeze(engine, backup);
  if (backup.kind === 'cold') return becomeReady(engine, backup);
  schedule(engine, backup, BACKUP_READY_SECONDS, () => becomeReady(engine, backup));
}

function enterStarting(engine: Engine, backup: BackupRow): void {
  setPhase(backup, 'starting');
  if (backup.kind === 'live') backupEvent(engine, backup, EVENT_CODES.scratchCreated);
  schedule(engine, backup, BACKUP_FREEZE_SECONDS, () => reachFrozenMoment(engine, backup));
}

function createAutoSnapshot(engine: Engine, backup: BackupRow, snapshotId: string): void {
  engine.snapshots.set(snapshotId, {
    id: snapshotId,
    vmId: backup.vmId,
    description: AUTO_SNAPSHOT_DESCRIPTION,
    status: 'locked',
    createdAt: new Date(),
    withMemory: false,
  });
}

/**
 * Starts a new backup. A hybrid one makes its snapshot within the request and is `starting` at
 * once.
 */
export function beginBackup(engine: Engine, backup: BackupRow): void {
  lockDisks(engine, backup);
  for (const disk of disksOf(engine, backup)) disk.backupMode = backup.modes.get(disk.id);
  backupEvent(engine, backup, EVENT_CODES.backupStarted);
  if (backup.snapshotId !== undefined) {
    createAutoSnapshot(engine, backup, backup.snapshotId);
    enterStarting(engine, backup);
    return;
  }
  const isLive = backup.kind === 'live';
  if (isLive) backupEvent(engine, backup, EVENT_CODES.scratchCreating);
  schedule(engine, backup, BACKUP_INITIALIZING_SECONDS, () => {
    if (isLive) enterStarting(engine, backup);
    else reachFrozenMoment(engine, backup);
  });
}

/** A hybrid backup stays `ready` until the engine polls its command again. */
function finalizeLater(engine: Engine, backup: BackupRow): void {
  schedule(engine, backup, HYBRID_STOP_LAG_SECONDS, () => finalizeNow(engine, backup));
}

function finalizeNow(engine: Engine, backup: BackupRow): void {
  backupEvent(engine, backup, EVENT_CODES.backupFinalized);
  tearDown(engine, backup);
}

/** Removes the snapshot or the scratch disks, then ends the backup. */
function tearDown(engine: Engine, backup: BackupRow): void {
  setPhase(backup, 'finalizing');
  const isHybrid = backup.kind === 'hybrid';
  const seconds = isHybrid ? SNAPSHOT_MERGE_SECONDS : BACKUP_FINALIZE_SECONDS;
  schedule(engine, backup, seconds, () => {
    endBackup(engine, backup, backup.isAborting ? 'failed' : 'succeeded');
  });
}

/** Ends a backup as `failed`. A legacy one is `finalizing` first. */
export function abortBackup(engine: Engine, backup: BackupRow): void {
  backup.isAborting = true;
  if (backup.kind === 'hybrid') endBackup(engine, backup, 'failed');
  else tearDown(engine, backup);
}

function dropAutoSnapshot(engine: Engine, backup: BackupRow, phase: BackupPhase): void {
  const { snapshotId } = backup;
  if (snapshotId === undefined) return;
  if (engine.behaviour.mergeFails && phase === 'succeeded') {
    return backupEvent(engine, backup, EVENT_CODES.snapshotLeftOver);
  }
  removeSnapshot(engine, snapshotId);
}

/** Releases the views. A snapshot that was left over still needs them. */
function releaseViews(engine: Engine, backup: BackupRow): void {
  if (engine.snapshots.has(backup.snapshotId ?? '')) return;
  for (const view of backup.views.values()) view.release?.();
}

/** Last step: unlocks everything. The row stays visible for a while. */
export function endBackup(engine: Engine, backup: BackupRow, phase: 'succeeded' | 'failed'): void {
  backup.timer?.cancel();
  const hasSucceeded = phase === 'succeeded';
  const checkpoint = engine.checkpoints.get(backup.toCheckpointId ?? '');
  if (!hasSucceeded && checkpoint) removeCheckpoint(engine, checkpoint);
  dropAutoSnapshot(engine, backup, phase);
  releaseViews(engine, backup);
  unlockDisks(engine, backup);
  setPhase(backup, phase);
  backupEvent(
    engine,
    backup,
    hasSucceeded ? EVENT_CODES.backupSucceeded : EVENT_CODES.backupFailed,
  );
  if (engine.behaviour.forgetsFinished) {
    engine.backups.delete(backup.id);
    return;
  }
  const seconds = hasSucceeded ? RETENTION_SUCCESS_SECONDS : RETENTION_FAILURE_SECONDS;
  schedule(engine, backup, seconds, () => engine.backups.delete(backup.id));
}

/** Accepts a stop. A hybrid backup that is not ready acts on it later. */
export function stopBackup(engine: Engine, backup: BackupRow): void {
  backup.isStopped = true;
  if (backup.kind !== 'hybrid') return finalizeNow(engine, backup);
  backupEvent(engine, backup, EVENT_CODES.backupStopped);
  if (backup.phase === 'ready') finalizeLater(engine, backup);
}

/** Moves a backup to the phase that a fault names. An unknown name is only shown. */
export function forceBackupPhase(engine: Engine, backup: BackupRow, phase: string): void {
  if (isBackupOver(backup)) return setPhase(backup, phase as BackupPhase);
  if (phase === 'succeeded' || phase === 'failed') return endBackup(engine, backup, phase);
  if (phase === 'finalizing') return tearDown(engine, backup);
  if (phase === 'starting') return enterStarting(engine, backup);
  if (phase !== 'ready') return setPhase(backup, phase as BackupPhase);
  freeze(engine, backup);
  becomeReady(engine, backup);
}
