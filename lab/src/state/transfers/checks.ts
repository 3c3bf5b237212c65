/**
 * Checks of the request for an image transfer: its disk, its view, and reasons to refuse it.
 * Source: oVirt contract (faults on the creation of a transfer; direction defaults to upload,
 * format to that of the disk). Unlike a real engine, the lab cannot transfer in the format cow.
 */
import type { TransferBody } from '../bodies.ts';
import type { Engine } from '../core.ts';
import { incompleteParameters, refusal } from '../refusals.ts';
import type { BackupRow, DiskRow, VolumeRow } from '../rows.ts';
import type { LabDiskFormat } from '../../types.ts';

export interface TransferSource {
  readonly disk: DiskRow;
  /** Set when the transfer reads the volume of a snapshot. */
  readonly volume: VolumeRow | undefined;
  readonly backup: BackupRow | undefined;
  readonly direction: 'upload' | 'download';
  readonly format: LabDiskFormat;
}

function refuse(status: number, text: string): Error {
  return refusal(status, `Cannot transfer Virtual Disk: ${text}`);
}

function diskOfVolume(engine: Engine, id: string): Pick<TransferSource, 'disk' | 'volume'> {
  for (const disk of engine.disks.values()) {
    const volume = disk.volumes.find((candidate) => candidate.id === id);
    if (volume) return { disk, volume };
  }
  throw refuse(400, 'The specified disk snapshot does not exist.');
}

function imageOf(engine: Engine, body: TransferBody): Pick<TransferSource, 'disk' | 'volume'> {
  const diskId = body.disk?.id ?? body.image?.id;
  if (diskId === undefined && body.snapshot?.id !== undefined) {
    return diskOfVolume(engine, body.snapshot.id);
  }
  if (diskId === undefined) {
    throw incompleteParameters('ImageTransfer', ['disk.id|snapshot.id|image.id'], 'add');
  }
  const disk = engine.disks.get(diskId);
  if (!disk) throw refuse(400, 'The specified disk does not exist.');
  return { disk, volume: undefined };
}

function backupOf(engine: Engine, body: TransferBody): BackupRow | undefined {
  if (body.backup?.id === undefined) return undefined;
  const backup = engine.backups.get(body.backup.id);
  if (!backup) throw refuse(400, 'The specified VM backup does not exist.');
  return backup;
}

/** @throws EngineFault 400 when the body names something that does not exist */
export function transferSource(engine: Engine, body: TransferBody): TransferSource {
  const image = imageOf(engine, body);
  return {
    ...image,
    backup: backupOf(engine, body),
    direction: body.direction ?? 'upload',
    format: body.format ?? image.disk.format,
  };
}

function checkPlugged(engine: Engine, { disk, backup, volume }: TransferSource): void {
  if (backup || volume) return;
  const users = [...engine.vms.values()].filter(
    (vm) => vm.status !== 'down' && engine.attachmentOf(vm, disk.id)?.active,
  );
  if (users.length === 0) return;
  const names = users.map(({ name }) => name).join(', ');
  throw refuse(409, `Disk ${disk.name} is plugged to non-Down VMs: ${names}.`);
}

function checkLocks(engine: Engine, { disk, backup, volume }: TransferSource): void {
  if (engine.unfinishedTransferOfDisk(disk.id)) {
    throw refuse(409, `Disk ${disk.name} is being transferred.`);
  }
  if (volume) return;
  const isOwnLock = backup !== undefined && disk.lock?.ownerId === backup.id;
  const isLocked = disk.lock !== undefined || disk.status === 'locked';
  if (isLocked && !isOwnLock) throw refuse(409, `Disk is locked: ${disk.name}.`);
}

function checkBackup(engine: Engine, { backup, disk, format }: TransferSource): void {
  if (!backup) return;
  if (backup.phase !== 'ready' || backup.isStopped) {
    const phase = backup.isStopped ? 'FINALIZING' : backup.phase.toUpperCase();
    throw refuse(409, `The VM backup is not in READY phase, backup phase is ${phase}.`);
  }
  if (format === 'cow') {
    throw refuse(400, 'The specified format is not applicable for VM backup.');
  }
  if (!backup.views.has(disk.id)) throw refuse(400, 'The disk is not part of the VM backup.');
  if (backup.snapshotId !== undefined && !engine.snapshots.has(backup.snapshotId)) {
    throw refuse(400, "VM's Snapshot does not exist.");
  }
}

/** @throws EngineFault */
export function checkTransfer(engine: Engine, source: TransferSource): void {
  const { disk } = source;
  if (disk.status === 'illegal') throw refuse(500, `Disk ${disk.name} is illegal.`);
  if (disk.storageType !== 'image') throw refuse(400, 'The disk storage type is not supported.');
  checkPlugged(engine, source);
  checkLocks(engine, source);
  checkBackup(engine, source);
  // The lab has no qcow2 files.
  if (source.format === 'cow') throw refuse(400, 'The lab transfers guest data only: format raw.');
}
