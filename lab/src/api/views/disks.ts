/**
 * Disks, attachments, older volumes and snapshots as the API shows them.
 * Source: oVirt contract (fields of disks; a LUN has no size, format, status or storage domain).
 */
import { randomUUID } from 'node:crypto';
import type { Engine } from '../../state/core.ts';
import type { AttachmentRow, DiskRow, SnapshotRow, VmRow, VolumeRow } from '../../state/rows.ts';
import { entity, reference, WireList, type WireRecord } from '../http/wire.ts';

/** The installation has one quota and one profile for all disks. */
const QUOTA_ID: string = randomUUID();
const DISK_PROFILE_ID: string = randomUUID();

const DISK_ACTIONS = ['convert', 'copy', 'export', 'move', 'reduce', 'refreshlun', 'sparsify'];

function lunFields(disk: DiskRow): WireRecord {
  const unit: WireRecord = { id: `lun-${disk.id}`, size: disk.data.sizeBytes, lun_mapping: 0 };
  return { lun_storage: { logical_units: new WireList('logical_unit', [unit]) } };
}

/** qcow2 version of a cow disk. An overlay over a raw volume has version 3. */
function qcowVersionOf(disk: DiskRow): string | undefined {
  return disk.format === 'cow' ? (disk.qcowVersion ?? 'qcow2_v3') : undefined;
}

function imageFields(disk: DiskRow): WireRecord {
  const usedBytes = disk.data.allocatedBytes();
  return {
    image_id: disk.imageId,
    format: disk.format,
    backup: disk.backup,
    backup_mode: disk.backupMode,
    qcow_version: qcowVersionOf(disk),
    sparse: disk.sparse,
    provisioned_size: disk.data.sizeBytes,
    actual_size: usedBytes,
    total_size: usedBytes,
    initial_size: disk.initialSizeBytes,
    status: disk.status,
    disk_profile: reference(DISK_PROFILE_ID, 'diskprofiles'),
    quota: { id: QUOTA_ID },
    storage_domains: new WireList('storage_domain', [reference(disk.domainId, 'storagedomains')]),
  };
}

export function diskView(disk: DiskRow): WireRecord {
  return entity({
    id: disk.id,
    path: `disks/${disk.id}`,
    fields: {
      name: disk.name,
      alias: disk.name,
      description: disk.description,
      storage_type: disk.storageType,
      content_type: disk.contentType,
      shareable: disk.shareable,
      propagate_errors: false,
      wipe_after_delete: disk.wipeAfterDelete,
      ...(disk.storageType === 'lun' ? lunFields(disk) : imageFields(disk)),
    },
    links: ['disksnapshots', 'permissions', 'statistics'],
    actions: DISK_ACTIONS,
  });
}

/** A disk below another entity. `path` is the address of that entity. */
export function diskViewAt(disk: DiskRow, path: string, fields: WireRecord): WireRecord {
  return { ...diskView(disk), ...fields, href: `/ovirt-engine/api/${path}/disks/${disk.id}` };
}

/** Attachments of a VM, each with its whole disk. */
export function attachmentsWithDisks(engine: Engine, vm: VmRow): WireRecord[] {
  return vm.attachments.map((attachment) => {
    const view = attachmentView(engine, vm, attachment);
    const disk = engine.disks.get(attachment.diskId);
    return disk ? { ...view, disk: diskView(disk) } : view;
  });
}

export function attachmentView(engine: Engine, vm: VmRow, attachment: AttachmentRow): WireRecord {
  const diskId = attachment.diskId;
  const index = vm.attachments.indexOf(attachment);
  const device = `/dev/sd${String.fromCodePoint(97 + (Math.max(index, 0) % 26))}`;
  return entity({
    id: diskId,
    path: `vms/${vm.id}/diskattachments/${diskId}`,
    fields: {
      active: attachment.active,
      bootable: attachment.bootable,
      interface: attachment.interface,
      logical_name: vm.status === 'up' && attachment.active ? device : undefined,
      pass_discard: attachment.passDiscard,
      read_only: attachment.readOnly,
      uses_scsi_reservation: false,
      disk: { ...reference(diskId, 'disks'), name: engine.disks.get(diskId)?.name },
      vm: reference(vm.id, 'vms'),
    },
  });
}

/** An older volume of a disk. A transfer names this id as its snapshot. */
export function diskSnapshotView(disk: DiskRow, volume: VolumeRow): WireRecord {
  return entity({
    id: volume.id,
    path: `disks/${disk.id}/disksnapshots/${volume.id}`,
    fields: {
      name: disk.name,
      alias: disk.name,
      image_id: volume.id,
      format: volume.format,
      sparse: disk.sparse,
      provisioned_size: volume.view.sizeBytes,
      actual_size: volume.view.allocatedBytes(),
      total_size: volume.view.allocatedBytes(),
      status: 'ok',
      storage_type: disk.storageType,
      content_type: disk.contentType,
      disk: reference(disk.id, 'disks'),
      snapshot: { id: volume.snapshotId },
      storage_domains: new WireList('storage_domain', [reference(disk.domainId, 'storagedomains')]),
    },
  });
}

export function snapshotView(snapshot: SnapshotRow): WireRecord {
  return entity({
    id: snapshot.id,
    path: `vms/${snapshot.vmId}/snapshots/${snapshot.id}`,
    fields: {
      description: snapshot.description,
      date: snapshot.createdAt,
      persist_memorystate: snapshot.withMemory,
      snapshot_status: snapshot.status,
      snapshot_type: 'regular',
      vm: reference(snapshot.vmId, 'vms'),
    },
    links: ['disks', 'nics', 'cdroms'],
    actions: ['restore'],
  });
}

/** Id of the snapshot entry for the present state of a VM, derived from the VM's id. */
export function activeSnapshotId(vm: VmRow): string {
  const head = (Number.parseInt(vm.id.slice(0, 8), 16) ^ 0x5a5a_5a5a) >>> 0;
  return `${head.toString(16).padStart(8, '0')}${vm.id.slice(8)}`;
}

export function activeSnapshotView(vm: VmRow): WireRecord {
  return entity({
    id: activeSnapshotId(vm),
    path: `vms/${vm.id}/snapshots/${activeSnapshotId(vm)}`,
    fields: {
      description: 'Active VM',
      date: vm.createdAt,
      persist_memorystate: false,
      snapshot_status: 'ok',
      snapshot_type: 'active',
      vm: reference(vm.id, 'vms'),
    },
  });
}
