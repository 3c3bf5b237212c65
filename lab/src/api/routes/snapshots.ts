/**
 * REST calls on snapshots of VMs.
 * Source: oVirt contract: the present state is always in the list, and memory is saved unless the
 * body says otherwise. Nothing can be deleted while a backup is unfinished.
 */
import { randomUUID } from 'node:crypto';
import { type SnapshotBody, snapshotBody } from '../http/bodyTypes.ts';
import { addOverlay, removeSnapshot } from '../../state/disks/content.ts';
import type { Engine } from '../../state/core.ts';
import { activeSnapshotId, activeSnapshotView, snapshotView } from '../views/disks.ts';
import {
  incompleteParameters,
  refusal,
  unknownParent,
  unknownResource,
} from '../../state/refusals.ts';
import { EVENT_CODES } from '../../state/events.ts';
import { snapshotViews } from '../views/collections.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { DiskRow, SnapshotRow, VmRow } from '../../state/rows.ts';
import { SNAPSHOT_CREATE_SECONDS, SNAPSHOT_MERGE_SECONDS } from '../../state/timings.ts';
import { reply, replyDone, replyList, type WireReply } from '../http/wire.ts';

function vmOf(call: EngineCall): VmRow {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownResource();
  return vm;
}

function snapshotOf(call: EngineCall): SnapshotRow {
  const snapshot = call.engine.snapshots.get(call.param('snapshot'));
  if (!snapshot || snapshot.vmId !== call.param('vm')) throw unknownResource();
  return snapshot;
}

/** Disks of a new snapshot: those that the body names, or all image disks that are not shared. */
function chosenDisks(engine: Engine, vm: VmRow, body: SnapshotBody): DiskRow[] {
  const named = body.disk_attachments?.flatMap(({ disk }) => disk?.id ?? []);
  return engine
    .attachedDisks(vm)
    .map(({ disk }) => disk)
    .filter(({ storageType, shareable }) => storageType === 'image' && !shareable)
    .filter(({ id }) => named === undefined || named.includes(id));
}

function refuseSnapshot(text: string): Error {
  return refusal(409, `Cannot create Snapshot. ${text}`);
}

function checkSnapshot(engine: Engine, vm: VmRow, disks: readonly DiskRow[]): void {
  if (engine.unfinishedBackupOf(vm.id)) {
    throw refuseSnapshot('The VM is during a backup operation.');
  }
  if (vm.operation !== undefined)
    throw refuseSnapshot('Related operation is currently in progress.');
  if (disks.some(({ lock, status }) => lock !== undefined || status !== 'ok')) {
    throw refuseSnapshot('The following disks are locked.');
  }
}

function postSnapshot(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = engine.vms.get(call.param('vm'));
  if (!vm) throw unknownParent(call.param('vm'));
  const body = call.body(snapshotBody);
  if (body.description === undefined) {
    throw incompleteParameters('Snapshot', ['description'], 'add');
  }
  const disks = chosenDisks(engine, vm, body);
  checkSnapshot(engine, vm, disks);
  const snapshot: SnapshotRow = {
    id: randomUUID(),
    vmId: vm.id,
    description: body.description,
    status: 'locked',
    createdAt: new Date(),
    withMemory: vm.status === 'up' && (body.persist_memorystate ?? true),
  };
  engine.snapshots.set(snapshot.id, snapshot);
  for (const disk of disks) addOverlay(disk, snapshot.id, disk.data.freeze());
  vm.operation = 'snapshot';
  engine.scheduler.after(SNAPSHOT_CREATE_SECONDS, () => {
    vm.operation = undefined;
    snapshot.status = 'ok';
    tell(call, vm, EVENT_CODES.snapshotCreated, 'Snapshot was created');
  });
  return reply('snapshot', snapshotView(snapshot), 202);
}

function tell(call: EngineCall, vm: VmRow, code: number, text: string): void {
  const { engine, correlationId } = call;
  engine.log.add({ code, description: `${text} (VM ${vm.name}).`, vmId: vm.id, correlationId });
}

function deleteSnapshot(call: EngineCall): WireReply {
  const { engine } = call;
  const vm = vmOf(call);
  const snapshot = snapshotOf(call);
  if (engine.unfinishedBackupOf(vm.id)) {
    throw refusal(409, 'Cannot remove Snapshot. The VM is during a backup operation.');
  }
  if (vm.operation !== undefined || snapshot.status === 'locked') {
    throw refusal(409, 'Cannot remove Snapshot. Related operation is currently in progress.');
  }
  snapshot.status = 'locked';
  vm.operation = 'snapshot';
  engine.scheduler.after(SNAPSHOT_MERGE_SECONDS, () => {
    vm.operation = undefined;
    removeSnapshot(engine, snapshot.id);
    tell(call, vm, EVENT_CODES.snapshotRemoved, 'Snapshot was removed');
  });
  return replyDone();
}

function getSnapshot(call: EngineCall): WireReply {
  const vm = vmOf(call);
  const isActive = call.param('snapshot') === activeSnapshotId(vm);
  return reply('snapshot', isActive ? activeSnapshotView(vm) : snapshotView(snapshotOf(call)));
}

const SNAPSHOTS = 'vms/{vm}/snapshots';

export const snapshotRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: SNAPSHOTS,
    run: (call) => replyList('snapshots', 'snapshot', snapshotViews(call.engine, vmOf(call))),
  },
  { method: 'POST', path: SNAPSHOTS, run: postSnapshot },
  { method: 'GET', path: `${SNAPSHOTS}/{snapshot}`, run: getSnapshot },
  { method: 'DELETE', path: `${SNAPSHOTS}/{snapshot}`, run: deleteSnapshot },
];
