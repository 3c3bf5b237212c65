/**
 * Things that clients left behind on an engine, one line each. Those of foreign backups do not
 * count.
 */
import { AUTO_SNAPSHOT_DESCRIPTION } from '../state/backups/machine.ts';
import { type Engine, isBackupOver, isTransferOver } from '../state/core.ts';
import type { BackupRow } from '../state/rows.ts';

function unfinished(engine: Engine): BackupRow[] {
  return [...engine.backups.values()].filter((backup) => !isBackupOver(backup));
}

function vmNameOf(engine: Engine, vmId: string): string {
  return engine.vms.get(vmId)?.name ?? vmId;
}

function backupLines(engine: Engine): string[] {
  return unfinished(engine)
    .filter(({ isForeign }) => !isForeign)
    .map(({ id, vmId, phase }) => `backup ${id} of VM ${vmNameOf(engine, vmId)} is ${phase}`);
}

function transferLines(engine: Engine): string[] {
  return [...engine.transfers.values()]
    .filter((transfer) => !isTransferOver(transfer))
    .map(({ id, diskId, phase }) => `image transfer ${id} of disk ${diskId} is ${phase}`);
}

function diskLines(engine: Engine, foreignIds: ReadonlySet<string>): string[] {
  return [...engine.disks.values()].flatMap(({ id, name, status, lock, storageType }) => {
    const isFree = status === 'ok' && lock === undefined;
    if (isFree || storageType !== 'image' || foreignIds.has(lock?.ownerId ?? '')) return [];
    const state = status === 'ok' ? `locked by ${lock?.kind ?? 'nobody'}` : status;
    return [`disk ${name} (${id}) is ${state}`];
  });
}

function snapshotLines(engine: Engine, foreign: readonly BackupRow[]): string[] {
  const foreignIds = new Set(foreign.map(({ snapshotId }) => snapshotId));
  return [...engine.snapshots.values()]
    .filter(({ description }) => description === AUTO_SNAPSHOT_DESCRIPTION)
    .filter(({ id }) => !foreignIds.has(id))
    .map(({ id, vmId }) => `automatic snapshot ${id} of VM ${vmNameOf(engine, vmId)} is left`);
}

/** @param ticketIds - tickets that imageio holds */
export function leftoversOf(engine: Engine, ticketIds: readonly string[]): readonly string[] {
  const foreign = unfinished(engine).filter(({ isForeign }) => isForeign);
  return [
    ...backupLines(engine),
    ...transferLines(engine),
    ...ticketIds.map((id) => `ticket ${id} exists`),
    ...diskLines(engine, new Set(foreign.map(({ id }) => id))),
    ...snapshotLines(engine, foreign),
  ];
}
