/** Which links of which entity can be followed, and what they lead to. */
import type { Engine } from '../../state/core.ts';
import { backupPath, backupView, checkpointPath, checkpointView } from './backups.ts';
import {
  activeSnapshotView,
  attachmentView,
  diskView,
  diskViewAt,
  nicView,
  snapshotView,
} from './disks.ts';
import type { BackupRow, CheckpointRow, DiskRow, VmRow } from '../../state/rows.ts';
import { clusterView, hostView } from './system.ts';
import { type WireEntity, WireList, type WireValue } from '../http/wire.ts';

export type FollowLink = (engine: Engine, row: never) => WireValue;

/** Attachments of a VM in their order. */
export function attachmentViews(engine: Engine, vm: VmRow): WireEntity[] {
  return vm.attachments.map((attachment) => attachmentView(engine, vm, attachment));
}

/** Snapshots of a VM; the present state is always one of them. */
export function snapshotViews(engine: Engine, vm: VmRow): WireEntity[] {
  return [activeSnapshotView(vm), ...engine.snapshotsOf(vm.id).map(snapshotView)];
}

/** Disks of a backup with the mode of each; a hybrid one shows none before it is ready. */
export function backupDiskViews(engine: Engine, backup: BackupRow): WireEntity[] {
  if (backup.kind === 'hybrid' && !backup.wasReady) return [];
  return backup.diskIds.flatMap((id) => {
    const disk = engine.disks.get(id);
    if (!disk) return [];
    return diskViewAt(disk, backupPath(backup), { backup_mode: backup.modes.get(id) });
  });
}

/** Disks that have a bitmap of a checkpoint. */
export function checkpointDiskViews(engine: Engine, checkpoint: CheckpointRow): WireEntity[] {
  return [...checkpoint.diskIds].flatMap((id) => {
    const disk = engine.disks.get(id);
    return disk ? [diskViewAt(disk, checkpointPath(checkpoint), {})] : [];
  });
}

function backupViewsOf(engine: Engine, vm: VmRow): WireEntity[] {
  return [...engine.backups.values()].filter(({ vmId }) => vmId === vm.id).map(backupView);
}

const VM_LINKS = {
  disk_attachments: (engine: Engine, vm: VmRow) =>
    new WireList('disk_attachment', attachmentViews(engine, vm)),
  nics: (_: Engine, vm: VmRow) =>
    new WireList(
      'nic',
      vm.nics.map((nic) => nicView(vm, nic)),
    ),
  snapshots: (engine: Engine, vm: VmRow) => new WireList('snapshot', snapshotViews(engine, vm)),
  checkpoints: (engine: Engine, vm: VmRow) =>
    new WireList('checkpoint', engine.checkpointChain(vm.id).map(checkpointView)),
  backups: (engine: Engine, vm: VmRow) => new WireList('backup', backupViewsOf(engine, vm)),
  cluster: (engine: Engine, vm: VmRow) => {
    const cluster = engine.clusters.find(({ id }) => id === vm.clusterId);
    return cluster && clusterView(cluster);
  },
  host: (engine: Engine, vm: VmRow) => {
    const host = vm.status === 'up' ? engine.hostOf(vm) : undefined;
    return host && hostView(engine, host);
  },
};

const ATTACHMENT_LINKS = {
  disk: (engine: Engine, { id }: DiskRow) => {
    const disk = engine.disks.get(id);
    return disk && diskView(disk);
  },
};

/** By type of entity and name of field. Each function is called with the rows of its own type only. */
export const FOLLOW_LINKS: Readonly<Record<string, Readonly<Record<string, FollowLink>>>> = {
  vm: VM_LINKS,
  disk_attachment: ATTACHMENT_LINKS,
  backup: {
    disks: (engine: Engine, backup: BackupRow) =>
      new WireList('disk', backupDiskViews(engine, backup)),
  },
  checkpoint: {
    disks: (engine: Engine, checkpoint: CheckpointRow) =>
      new WireList('disk', checkpointDiskViews(engine, checkpoint)),
  },
};
