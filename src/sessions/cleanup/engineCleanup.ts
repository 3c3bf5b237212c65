/**
 * Cleans up after a stopped backup session on an engine, from its journal: first transfers, then
 * the backup. At last it checks that the backup's snapshot is gone.
 */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { endBackup, findBackup } from '../../ovirt/lifecycle/backupPhases.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../ovirt/engine/engineErrors.ts';
import { pollUntil } from '../../ovirt/poll.ts';
import { endTransfer } from '../../ovirt/lifecycle/transferEnd.ts';
import type { JournalEntry } from '../../repository/journal.ts';
import { cancelDownloads } from './downloads.ts';

/** Description of the snapshot that a hybrid backup makes. @see ovirt-engine StorageConstants */
const BACKUP_SNAPSHOT = 'Auto-generated for Backup VM';

export interface CleanupContext {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly note: (message: SessionMessage) => void;
  readonly signal: AbortSignal;
}

/** Steps of a journal that are still open. */
export interface OpenSteps {
  readonly transferIds: readonly string[];
  readonly backupIds: readonly string[];
  /** Descriptions of backups that were requested and whose id never arrived. */
  readonly descriptions: readonly string[];
  readonly snapshotIds: readonly string[];
  /** Transfers of the VM's disks that belong to others. */
  readonly otherTransferIds: readonly string[];
}

/** Finds the open steps of a journal. Pure. */
export function openSteps(entries: readonly JournalEntry[]): OpenSteps {
  const transfers = new Set<string>();
  const backups = new Set<string>();
  const snapshots = new Set<string>();
  const others = new Set<string>();
  const asked: string[] = [];
  for (const entry of entries) {
    if (entry.step === 'backup-starting') {
      asked.push(entry.description);
      for (const transferId of entry.otherTransferIds ?? []) others.add(transferId);
    }
    if (entry.step === 'backup' || entry.step === 'backup-refused') asked.pop();
    if (entry.step === 'backup') backups.add(entry.backupId);
    if (entry.step === 'backup-ready' && entry.snapshotId) snapshots.add(entry.snapshotId);
    if (entry.step === 'snapshot-left') snapshots.add(entry.snapshotId);
    if (entry.step === 'snapshot-gone') snapshots.delete(entry.snapshotId);
    if (entry.step === 'transfer') transfers.add(entry.transferId);
    if (entry.step === 'transfer-done') transfers.delete(entry.transferId);
    // The engine ends no backup with an open transfer, so no transfer can be open now.
    if (entry.step === 'backup-done' && backups.delete(entry.backupId)) transfers.clear();
  }
  return {
    transferIds: [...transfers],
    backupIds: [...backups],
    descriptions: asked,
    snapshotIds: [...snapshots],
    otherTransferIds: [...others],
  };
}

/** True when a journal names nothing that may still exist on the engine. */
export function isSettled(entries: readonly JournalEntry[]): boolean {
  const { transferIds, backupIds, descriptions, snapshotIds } = openSteps(entries);
  return [transferIds, backupIds, descriptions, snapshotIds].every((ids) => ids.length === 0);
}

export interface CleanedUp {
  /** Things that were still open, in words. */
  readonly found: readonly string[];
  /** Ids of snapshots of ended backups that still exist. */
  readonly leftSnapshotIds: readonly string[];
}

/** Ends everything that the journal of a backup session left open. */
export async function endOpenSteps(
  context: CleanupContext,
  entries: readonly JournalEntry[],
): Promise<CleanedUp> {
  const { engine, vm, signal } = context;
  const open = openSteps(entries);
  const found: string[] = [];
  for (const transferId of open.transferIds) {
    const before = await engine.transfer(transferId, signal);
    const last = await endTransfer(engine, transferId, 'cancel', signal);
    if (before && before.phase !== last) found.push(`transfer ${transferId} of ${vm.name}`);
  }
  const backupIds = [...open.backupIds];
  for (const description of open.descriptions) {
    const backup = await findBackup(engine, vm.id, description);
    if (backup) backupIds.push(backup.id);
  }
  const snapshotIds = new Set(open.snapshotIds);
  for (const backupId of backupIds) {
    const { wasOpen, snapshotId } = await endOwnBackup(context, backupId, open.otherTransferIds);
    if (wasOpen) found.push(`backup ${backupId} of ${vm.name}`);
    if (wasOpen && snapshotId) snapshotIds.add(snapshotId);
  }
  const leftSnapshotIds: string[] = [];
  // Only after a backup that was just ended the engine may need time to remove its snapshot.
  const waitMs = found.length > 0 ? engine.timings.snapshotGoneMs : 0;
  for (const snapshotId of snapshotIds) {
    const isGone = await checkSnapshot(context, snapshotId, waitMs);
    if (!isGone) leftSnapshotIds.push(snapshotId);
  }
  return { found, leftSnapshotIds };
}

/**
 * Ends a backup of ours.
 *
 * @param otherTransferIds - transfers of the VM's disks that belong to others. They are not
 *   touched.
 * @returns whether the backup was still open, and its snapshot.
 */
export async function endOwnBackup(
  context: CleanupContext,
  backupId: string,
  otherTransferIds: readonly string[] = [],
): Promise<{ readonly wasOpen: boolean; readonly snapshotId?: string | undefined }> {
  const { engine, vm, note, signal } = context;
  const before = await engine.backup(vm.id, backupId, signal);
  if (!before) return { wasOpen: false };
  const attachments = await engine.attachments(vm.id);
  const diskIds = new Set(attachments.map((one) => one.id));
  const spared = new Set(otherTransferIds);
  const onOpenTransfer = (): Promise<void> => cancelDownloads(engine, diskIds, spared, signal);
  const options = { engine, vmId: vm.id, vmName: vm.name, note, onOpenTransfer };
  const end = await endBackup(options, backupId, signal);
  return { wasOpen: before.phase !== end, snapshotId: before.snapshotId };
}

/**
 * Checks that the snapshot of an ended backup is gone. Notes SNP-201 when it is not: the engine
 * reports success even when the merge of the snapshot failed.
 *
 * @param waitMs - longest time to wait for the snapshot to go.
 * @returns true when it is gone.
 */
export async function checkSnapshot(
  context: CleanupContext,
  snapshotId: string,
  waitMs: number = context.engine.timings.snapshotGoneMs,
): Promise<boolean> {
  const { engine, vm, note, signal } = context;
  const { timings } = engine;
  const startedAtMs = performance.now();
  const isGone = await pollUntil(
    async () => {
      if (!(await engine.snapshot(vm.id, snapshotId))) return true;
      return performance.now() - startedAtMs >= waitMs ? false : undefined;
    },
    { timings, deadlineMs: Infinity, what: 'removal of the snapshot', signal },
  );
  if (!isGone) note(sessionMessage('SNP-201', { snapshot: snapshotId, vm: vm.name }));
  return isGone;
}

/**
 * Deletes a snapshot that a backup of ours left. It must have the id from the journal and the
 * engine's own description. Nothing else is deleted.
 *
 * @returns true when it is gone.
 */
export async function removeBackupSnapshot(
  context: CleanupContext,
  snapshotId: string,
): Promise<boolean> {
  const { engine, vm, signal } = context;
  const { timings } = engine;
  const snapshot = await engine.snapshot(vm.id, snapshotId);
  if (!snapshot) return true;
  if (snapshot.description !== BACKUP_SNAPSHOT) return false;
  try {
    await engine.deleteSnapshot(vm.id, snapshotId);
  } catch (error) {
    if (faultKind(error) !== 'not-found') throw error;
  }
  return await pollUntil(
    async () => ((await engine.snapshot(vm.id, snapshotId)) ? undefined : true),
    { timings, deadlineMs: timings.backupDoneMs, what: 'merge of the snapshot', signal },
  );
}
