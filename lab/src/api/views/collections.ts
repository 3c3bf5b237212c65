/** Members of collections that belong to another entity. */
import type { Engine } from '../../state/core.ts';
import type { BackupRow, CheckpointRow, VmRow } from '../../state/rows.ts';
import type { WireRecord } from '../http/wire.ts';
import { backupPath, checkpointPath } from './backups.ts';
import { activeSnapshotView, diskViewAt, snapshotView } from './disks.ts';

/** Snapshots of a VM. The first entry is its present state. */
export function snapshotViews(engine: Engine, vm: VmRow): WireRecord[] {
  return [activeSnapshotView(vm), ...engine.snapshotsOf(vm.id).map(snapshotView)];
}

/** Disks of a backup with the mode of each. A hybrid backup shows none before it is ready. */
export function backupDiskViews(engine: Engine, backup: BackupRow): WireRecord[] {
  if (backup.kind === 'hybrid' && !backup.wasReady) return [];
  return backup.diskIds.flatMap((id) => {
    const disk = engine.disks.get(id);
    if (!disk) return [];
    return [diskViewAt(disk, backupPath(backup), { backup_mode: backup.modes.get(id) })];
  });
}

/** Disks that have a bitmap of a checkpoint. */
export function checkpointDiskViews(engine: Engine, checkpoint: CheckpointRow): WireRecord[] {
  return [...checkpoint.diskIds].flatMap((id) => {
    const disk = engine.disks.get(id);
    return disk ? [diskViewAt(disk, checkpointPath(checkpoint), {})] : [];
  });
}
