/**
 * REST calls on the disks and network cards of a VM.
 * Source: oVirt contract: attaching leaves a disk inactive unless told otherwise; detaching destroys its
 * bitmaps and its membership in checkpoints.
 */
import { randomUUID } from 'node:crypto';
import { type AttachmentBody, attachmentBody, nicBody } from '../http/bodyTypes.ts';
import { removeEmptyCheckpoints } from '../../state/backups/checkpoints.ts';
import { addDisk, removeDisk, updateDisk } from './disks.ts';
import { attachDisk, detachDisk } from '../../state/disks/store.ts';
import { attachmentView, nicView } from '../views/disks.ts';
import {
  incompleteParameters,
  refusal,
  unknownParent,
  unknownResource,
} from '../../state/refusals.ts';
import { expandReply } from '../views/follow.ts';
import { attachmentViews } from '../views/links.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { AttachmentRow, DiskRow, NicRow, VmRow } from '../../state/rows.ts';
import { VNIC_PROFILE } from '../views/system.ts';
import { reply, replyDone, replyList, type WireReply } from '../http/wire.ts';

function vmOf(call: EngineCall): VmRow {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownResource();
  return vm;
}

function attachmentOf(call: EngineCall): AttachmentRow {
  const attachment = call.engine.attachmentOf(vmOf(call), call.param('disk'));
  if (!attachment) throw unknownResource();
  return attachment;
}

function checkFree(call: EngineCall, disk: DiskRow): void {
  const user = call.engine.vmOfDisk(disk.id);
  if (user && !disk.shareable) {
    throw refusal(409, `Cannot attach Virtual Disk. The disk is already attached to ${user.name}.`);
  }
  if (disk.status === 'locked' || disk.lock) {
    throw refusal(409, `Cannot attach Virtual Disk. Disk is locked: ${disk.name}.`);
  }
}

/** An existing disk when the body names one that exists, else a new one. */
function diskFor(call: EngineCall, body: AttachmentBody): { disk: DiskRow; isNew: boolean } {
  const wish = body.disk ?? {};
  const known = call.engine.disks.get(wish.id ?? '');
  if (known) {
    checkFree(call, known);
    return { disk: known, isNew: false };
  }
  if (wish.id !== undefined && wish.provisioned_size === undefined) throw unknownParent(wish.id);
  return { disk: addDisk(call.engine, wish), isNew: true };
}

function postAttachment(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = engine.vms.get(call.param('vm'));
  if (!vm) throw unknownParent(call.param('vm'));
  const body = call.body(attachmentBody);
  if (body.bootable === undefined || body.interface === undefined) {
    throw incompleteParameters('DiskAttachment', ['bootable', 'interface'], 'add');
  }
  if (engine.unfinishedBackupOf(vm.id)) {
    throw refusal(409, 'Cannot attach Virtual Disk. The VM is during a backup operation.');
  }
  const { disk, isNew } = diskFor(call, body);
  const attachment: AttachmentRow = {
    diskId: disk.id,
    active: body.active ?? isNew,
    bootable: body.bootable,
    readOnly: body.read_only ?? false,
    passDiscard: body.pass_discard ?? false,
    interface: body.interface,
  };
  attachDisk(vm, attachment);
  return reply('disk_attachment', attachmentView(engine, vm, attachment), isNew ? 202 : 201);
}

function putAttachment(call: EngineCall): WireReply {
  const { engine } = call;
  const attachment = attachmentOf(call);
  const body = call.body(attachmentBody);
  const disk = engine.disks.get(attachment.diskId);
  if (disk && body.disk) updateDisk(disk, body.disk);
  attachment.active = body.active ?? attachment.active;
  attachment.bootable = body.bootable ?? attachment.bootable;
  attachment.interface = body.interface ?? attachment.interface;
  attachment.readOnly = body.read_only ?? attachment.readOnly;
  attachment.passDiscard = body.pass_discard ?? attachment.passDiscard;
  return expandReply(
    call,
    reply('disk_attachment', attachmentView(engine, vmOf(call), attachment)),
  );
}

function deleteAttachment(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = vmOf(call);
  const attachment = attachmentOf(call);
  const disk = engine.disks.get(attachment.diskId);
  if (engine.unfinishedBackupOf(vm.id) || disk?.lock || disk?.status === 'locked') {
    throw refusal(409, 'Cannot detach Virtual Disk. Disk is locked.');
  }
  const onlyDetaches = call.flag('detach_only', true);
  if (!disk) return replyDone();
  if (!onlyDetaches) {
    removeDisk(engine, disk);
    return replyDone();
  }
  detachDisk(engine, vm, disk);
  removeEmptyCheckpoints(engine, vm);
  return replyDone();
}

function postNic(call: EngineCall): WireReply {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownParent(call.param('vm'));
  const body = call.body(nicBody);
  if (body.name === undefined) throw incompleteParameters('Nic', ['name'], 'add');
  const profile = body.vnic_profile?.id;
  if (profile !== undefined && profile !== VNIC_PROFILE.id) throw unknownParent(profile);
  const nic: NicRow = {
    id: randomUUID(),
    name: body.name,
    interface: body.interface ?? 'virtio',
    mac: body.mac?.address ?? nextMac(call),
    profileId: VNIC_PROFILE.id,
  };
  vm.nics = [...vm.nics, nic];
  return reply('nic', nicView(vm, nic), 201);
}

function nextMac(call: EngineCall): string {
  const count = [...call.engine.vms.values()].reduce((sum, vm) => sum + vm.nics.length, 0);
  return `56:6f:00:00:00:${(count % 256).toString(16).padStart(2, '0')}`;
}

const ATTACHMENTS = 'vms/{vm}/diskattachments';

export const attachmentRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: ATTACHMENTS,
    run: (call) => {
      const views = attachmentViews(call.engine, vmOf(call));
      return expandReply(call, replyList('disk_attachments', 'disk_attachment', views));
    },
  },
  { method: 'POST', path: ATTACHMENTS, run: postAttachment },
  {
    method: 'GET',
    path: `${ATTACHMENTS}/{disk}`,
    run: (call) => {
      const view = attachmentView(call.engine, vmOf(call), attachmentOf(call));
      return expandReply(call, reply('disk_attachment', view));
    },
  },
  { method: 'PUT', path: `${ATTACHMENTS}/{disk}`, run: putAttachment },
  { method: 'DELETE', path: `${ATTACHMENTS}/{disk}`, run: deleteAttachment },
  {
    method: 'GET',
    path: 'vms/{vm}/nics',
    run: (call) => {
      const vm = vmOf(call);
      return replyList(
        'nics',
        'nic',
        vm.nics.map((nic) => nicView(vm, nic)),
      );
    },
  },
  { method: 'POST', path: 'vms/{vm}/nics', run: postNic },
];
