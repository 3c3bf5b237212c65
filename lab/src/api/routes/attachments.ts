/**
 * REST calls on the disks of a VM. Source: oVirt contract: an attached disk stays inactive unless
 * the body says otherwise.
 */
import { type AttachmentBody, attachmentBody, plugBody } from '../http/bodyTypes.ts';
import { addDisk } from './disks.ts';
import { attachDisk } from '../../state/disks/store.ts';
import { attachmentsWithDisks, attachmentView } from '../views/disks.ts';
import { follows } from '../http/follow.ts';
import {
  incompleteParameters,
  refusal,
  unknownParent,
  unknownResource,
} from '../../state/refusals.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { AttachmentRow, DiskRow, VmRow } from '../../state/rows.ts';
import { reply, replyList, type WireReply } from '../http/wire.ts';

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

function getAttachments(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = vmOf(call);
  const views = follows(call, 'disk')
    ? attachmentsWithDisks(engine, vm)
    : vm.attachments.map((attachment) => attachmentView(engine, vm, attachment));
  return replyList('disk_attachments', 'disk_attachment', views);
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

/** The disk that the body names, or a new one. */
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

/** Plugs a disk in, or unplugs it. */
function putAttachment(call: EngineCall): WireReply {
  const attachment = attachmentOf(call);
  attachment.active = call.body(plugBody).active;
  return reply('disk_attachment', attachmentView(call.engine, vmOf(call), attachment));
}

const ATTACHMENTS = 'vms/{vm}/diskattachments';

export const attachmentRoutes: readonly Route[] = [
  { method: 'GET', path: ATTACHMENTS, run: getAttachments },
  { method: 'POST', path: ATTACHMENTS, run: postAttachment },
  { method: 'PUT', path: `${ATTACHMENTS}/{disk}`, run: putAttachment },
];
