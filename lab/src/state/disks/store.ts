/**
 * Creates, attaches, detaches and deletes disks. Invariant: a deleted disk is attached nowhere, in
 * no checkpoint, and its storage is free again.
 */
import { randomUUID } from 'node:crypto';
import type { DiskContent } from '../../dataPlane.ts';
import { forgetBitmaps } from './content.ts';
import type { Engine } from '../core.ts';
import type { AttachmentRow, DiskRow, StorageDomainRow, VmRow } from '../rows.ts';
import { LabDiskState } from '../../disks/labDisk.ts';
import type { LabDiskFormat } from '../../types.ts';

export interface NewDisk {
  readonly id?: string | undefined;
  readonly name: string;
  readonly description?: string | undefined;
  readonly sizeBytes: number;
  readonly format: LabDiskFormat;
  readonly sparse?: boolean | undefined;
  readonly backup?: 'none' | 'incremental' | undefined;
  readonly qcowVersion?: 'qcow2_v2' | 'qcow2_v3' | undefined;
  readonly status?: 'ok' | 'locked' | undefined;
  readonly storageType?: 'image' | 'lun' | undefined;
  readonly contentType?: string | undefined;
  readonly shareable?: boolean | undefined;
  readonly wipeAfterDelete?: boolean | undefined;
  readonly initialSizeBytes?: number | undefined;
  readonly hidesHoles?: boolean | undefined;
  readonly domain: StorageDomainRow;
}

function createData(engine: Engine, disk: NewDisk, id: string): DiskContent {
  const { name, sizeBytes, format } = disk;
  const sparse = disk.sparse ?? format === 'cow';
  if (engine.backend) return engine.backend.createContent({ id, name, sizeBytes, format, sparse });
  return new LabDiskState({
    id,
    name: disk.name,
    sizeBytes: disk.sizeBytes,
    // Always cow: snapshots and conversions change whether a disk may have bitmaps. The engine
    // decides that, see canKeepBitmaps.
    format: 'cow',
    hidesHoles: disk.hidesHoles,
    storage: disk.domain.storage,
  });
}

export function createDisk(engine: Engine, disk: NewDisk): DiskRow {
  const id = disk.id ?? randomUUID();
  const isCow = disk.format === 'cow';
  const row: DiskRow = {
    id,
    name: disk.name,
    description: disk.description ?? '',
    format: disk.format,
    sparse: disk.sparse ?? isCow,
    backup: disk.backup ?? (isCow ? 'incremental' : 'none'),
    qcowVersion: isCow ? (disk.qcowVersion ?? 'qcow2_v3') : undefined,
    status: disk.status ?? 'ok',
    storageType: disk.storageType ?? 'image',
    contentType: disk.contentType ?? 'data',
    shareable: disk.shareable ?? false,
    wipeAfterDelete: disk.wipeAfterDelete ?? false,
    domainId: disk.domain.id,
    initialSizeBytes: disk.initialSizeBytes ?? 0,
    imageId: randomUUID(),
    backupMode: undefined,
    lock: undefined,
    volumes: [],
    data: createData(engine, disk, id),
  };
  engine.disks.set(id, row);
  return row;
}

export function attachDisk(vm: VmRow, attachment: AttachmentRow): void {
  vm.attachments = [...vm.attachments, attachment];
}

/** Detaches a disk from its VM. Its bitmaps and its place in checkpoints are lost. */
export function detachDisk(engine: Engine, vm: VmRow, disk: DiskRow): void {
  vm.attachments = vm.attachments.filter(({ diskId }) => diskId !== disk.id);
  forgetBitmaps(engine, disk);
}

export function deleteDisk(engine: Engine, disk: DiskRow): void {
  for (const vm of engine.vms.values()) {
    if (engine.attachmentOf(vm, disk.id)) detachDisk(engine, vm, disk);
  }
  forgetBitmaps(engine, disk);
  disk.data.releaseStorage();
  engine.disks.delete(disk.id);
}
