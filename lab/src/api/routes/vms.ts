/**
 * REST calls on virtual machines: list, read, create (from fields or an OVF), delete. Source: oVirt
 * contract.
 */
import { randomUUID } from 'node:crypto';
import { GIB } from '../../units.ts';
import { type VmBody, vmBody } from '../http/bodyTypes.ts';
import { removeSnapshot } from '../../state/disks/content.ts';
import type { Engine } from '../../state/core.ts';
import { deleteDisk } from '../../state/disks/store.ts';
import {
  checkName,
  incompleteParameters,
  refusal,
  unknownParent,
  unknownResource,
} from '../../state/refusals.ts';
import { type OvfContent, parseOvf } from '../views/ovf.ts';
import { importNics } from '../../state/nics.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { ClusterRow, VmRow } from '../../state/rows.ts';
import { searchRows } from '../http/search.ts';
import { attachmentsWithDisks } from '../views/disks.ts';
import { follows } from '../http/follow.ts';
import { vmView } from '../views/vms.ts';
import {
  reply,
  replyDone,
  replyList,
  WireList,
  type WireRecord,
  type WireReply,
} from '../http/wire.ts';

const DEFAULT_MEMORY_BYTES = GIB;

function vmOf(call: EngineCall): VmRow {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownResource();
  return vm;
}

/** A VM, with its disks when the call follows them. */
function viewOf(call: EngineCall, vm: VmRow): WireRecord {
  const { engine } = call;
  const view = vmView(engine, vm, call.wantsAllContent);
  if (!follows(call, 'disk_attachments.disk')) return view;
  const attachments = attachmentsWithDisks(engine, vm);
  return { ...view, disk_attachments: new WireList('disk_attachment', attachments) };
}

function getVms(call: EngineCall): WireReply {
  const { engine } = call;
  const rows = searchRows(call, engine.vms.values(), (vm) => ({
    id: vm.id,
    name: vm.name,
    status: vm.status,
    description: vm.description,
    tag: vm.tags,
    cluster: engine.clusters.find(({ id }) => id === vm.clusterId)?.name,
  }));
  const views = rows.map((vm) => viewOf(call, vm));
  return replyList('vms', 'vm', views);
}

function getVm(call: EngineCall): WireReply {
  return reply('vm', viewOf(call, vmOf(call)));
}

function clusterOf(engine: Engine, body: VmBody): ClusterRow {
  const { cluster } = body;
  if (cluster?.id === undefined && cluster?.name === undefined) {
    throw incompleteParameters('Vm', ['cluster.id|name'], 'add');
  }
  const found = engine.clusters.find(({ id, name }) => id === cluster.id || name === cluster.name);
  if (!found) throw unknownParent(cluster.id ?? cluster.name ?? '');
  return found;
}

function createRow(call: EngineCall, body: VmBody, name: string, ovf?: OvfContent): VmRow {
  const { engine } = call;
  const isNewEntity = body.initialization?.regenerate_ids === true;
  const keepsId = ovf?.vmId !== undefined && !isNewEntity;
  const version = body.custom_compatibility_version;
  return {
    id: (keepsId ? ovf.vmId : undefined) ?? randomUUID(),
    name,
    description: body.description ?? '',
    status: 'down',
    customCompatibility: version && [version.major, version.minor],
    clusterId: clusterOf(engine, body).id,
    hostId: engine.nextHost().id,
    origin: 'ovirt',
    previewsSnapshot: false,
    tags: [],
    memoryBytes: body.memory ?? ovf?.memoryBytes ?? DEFAULT_MEMORY_BYTES,
    sockets: body.cpu?.topology?.sockets ?? ovf?.sockets ?? 1,
    cores: body.cpu?.topology?.cores ?? ovf?.cores ?? 1,
    osType: body.os?.type ?? ovf?.osType ?? 'other',
    biosType: body.bios?.type ?? 'q35_sea_bios',
    createdAt: new Date(),
    attachments: [],
    nics: importNics(engine, ovf?.nics ?? [], isNewEntity),
    operation: undefined,
  };
}

function readOvf(body: VmBody): OvfContent | undefined {
  const configuration = body.initialization?.configuration;
  if (!configuration) return undefined;
  if (configuration.type === undefined || configuration.data === undefined) {
    throw incompleteParameters('Vm', ['initialization.configuration.type|data'], 'add');
  }
  const ovf = parseOvf(configuration.data);
  if (!ovf) throw refusal(400, 'Cannot import VM. The OVF configuration could not be parsed.');
  return ovf;
}

function postVm(call: EngineCall): WireReply {
  const { engine } = call;
  const body = call.body(vmBody);
  const ovf = readOvf(body);
  const name = body.name ?? ovf?.name;
  if (name === undefined) throw incompleteParameters('Vm', ['name'], 'add');
  const hasTemplate = body.template?.id !== undefined || body.template?.name !== undefined;
  if (!ovf && !hasTemplate) throw incompleteParameters('Vm', ['template.id|name'], 'add');
  checkName(name, 'add VM');
  const vm = createRow(call, body, name, ovf);
  if ([...engine.vms.values()].some((other) => other.name === name)) {
    throw refusal(
      409,
      'Cannot add VM. The VM name is already in use, please choose a unique name.',
    );
  }
  if (engine.vms.has(vm.id)) {
    throw refusal(409, 'Cannot import VM. VM id already exists. Please remove the VM first.');
  }
  // A real engine attaches the floating disks that the OVF names.
  vm.attachments = (ovf?.attachments ?? []).filter(
    ({ diskId }) => engine.disks.has(diskId) && !engine.vmOfDisk(diskId),
  );
  engine.vms.set(vm.id, vm);
  return reply('vm', vmView(engine, vm, false), 201);
}

function deleteVm(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = vmOf(call);
  if (engine.unfinishedBackupOf(vm.id)) {
    throw refusal(409, 'Cannot remove VM. The VM is during a backup operation.');
  }
  if (vm.status !== 'down') throw refusal(409, 'Cannot remove VM. VM is running.');
  const attached = engine.attachedDisks(vm);
  if (attached.some(({ disk }) => disk.lock !== undefined || disk.status === 'locked')) {
    throw refusal(409, 'Cannot remove VM. The following disks are locked.');
  }
  const keepsDisks = call.flag('detach_only', false);
  for (const { disk } of attached) {
    if (!keepsDisks && !disk.shareable) deleteDisk(engine, disk);
    else disk.data.dropBitmaps();
  }
  forgetVm(engine, vm);
  return replyDone();
}

function forgetVm(engine: Engine, vm: VmRow): void {
  for (const { id } of engine.checkpointChain(vm.id)) engine.checkpoints.delete(id);
  for (const { id } of engine.snapshotsOf(vm.id)) removeSnapshot(engine, id);
  for (const { id, vmId } of engine.backups.values()) if (vmId === vm.id) engine.backups.delete(id);
  engine.vms.delete(vm.id);
}

export const vmRoutes: readonly Route[] = [
  { method: 'GET', path: 'vms', run: getVms },
  { method: 'POST', path: 'vms', run: postVm },
  {
    method: 'GET',
    path: 'vms/{vm}',
    run: getVm,
  },
  { method: 'DELETE', path: 'vms/{vm}', run: deleteVm },
];
