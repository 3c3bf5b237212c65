/**
 * REST calls on disks: list, read, create, convert, delete, older volumes.
 * Source: oVirt contract: a new disk is `locked` until its storage task has ended.
 */
import { randomUUID } from 'node:crypto';
import type { DiskBody } from '../../state/bodies.ts';
import { convertBody, diskBody } from '../http/bodyTypes.ts';
import { forgetBitmaps } from '../../state/disks/content.ts';
import type { Engine } from '../../state/core.ts';
import { type DiskShape, isAllowed, newDiskOf } from '../../state/disks/rules.ts';
import { createDisk, deleteDisk } from '../../state/disks/store.ts';
import { diskSnapshotView, diskView } from '../views/disks.ts';
import { incompleteParameters, refusal, unknownResource } from '../../state/refusals.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { DiskRow } from '../../state/rows.ts';
import { searchRows } from '../http/search.ts';
import {
  DISK_CONVERT_SECONDS,
  DISK_CREATE_SECONDS,
  DISK_REMOVE_SECONDS,
} from '../../state/timings.ts';
import { reply, replyDone, replyList, type WireReply } from '../http/wire.ts';

const HANG_POLL_SECONDS = 1;

function diskOf(call: EngineCall): DiskRow {
  const disk = call.engine.disks.get(call.param('disk'));
  if (!disk) throw unknownResource();
  return disk;
}

function unlockLater(engine: Engine, disk: DiskRow, seconds: number): void {
  engine.scheduler.after(seconds, () => {
    if (engine.behaviour.diskCreateHangs) return unlockLater(engine, disk, HANG_POLL_SECONDS);
    disk.status = 'ok';
  });
}

/** Creates the disk that a client asked for. It is locked at first. @throws EngineFault */
export function addDisk(engine: Engine, body: DiskBody): DiskRow {
  const disk = createDisk(engine, newDiskOf(engine, body));
  unlockLater(engine, disk, DISK_CREATE_SECONDS);
  return disk;
}

function refuseWhileBusy(disk: DiskRow, what: string): void {
  if (disk.lock === undefined && disk.status !== 'locked') return;
  throw refusal(409, `Cannot ${what} Virtual Disk. Disk is locked: ${disk.name}.`);
}

function removeLater(engine: Engine, disk: DiskRow): void {
  disk.status = 'locked';
  disk.lock = { kind: 'operation', ownerId: randomUUID() };
  engine.scheduler.after(DISK_REMOVE_SECONDS, () => deleteDisk(engine, disk));
}

/** Deletes a disk after a short delay. @throws EngineFault */
function removeDisk(engine: Engine, disk: DiskRow): void {
  refuseWhileBusy(disk, 'remove');
  const vm = engine.vmOfDisk(disk.id);
  const isPlugged = vm && vm.status !== 'down' && engine.attachmentOf(vm, disk.id)?.active;
  if (isPlugged) {
    throw refusal(
      409,
      `Cannot remove Virtual Disk. The disk is plugged to a running VM: ${vm.name}.`,
    );
  }
  removeLater(engine, disk);
}

function checkConversion(engine: Engine, disk: DiskRow, shape: DiskShape): void {
  refuseWhileBusy(disk, 'convert');
  if (disk.volumes.length > 0) {
    throw refusal(409, 'Cannot convert disk. The disk has snapshots.');
  }
  const vm = engine.vmOfDisk(disk.id);
  if (vm && vm.status !== 'down') {
    throw refusal(409, `Cannot convert disk. The disk is attached to a running VM: ${vm.name}.`);
  }
  if (!isAllowed(shape, engine.domainOf(disk)?.type !== 'nfs')) {
    throw refusal(
      409,
      'Cannot convert disk. Disk configuration is incompatible with the storage domain type.',
    );
  }
}

function convertDisk(call: EngineCall): WireReply {
  const { engine } = call;
  const disk = diskOf(call);
  const { disk: wish } = call.body(convertBody);
  if (wish?.format === undefined && wish?.sparse === undefined) {
    throw incompleteParameters('Action', ['disk.format|sparse'], 'convert');
  }
  const shape: DiskShape = {
    format: wish.format ?? disk.format,
    sparse: wish.sparse ?? (wish.format === 'cow' || disk.sparse),
    backup: wish.backup ?? (wish.format === 'raw' ? 'none' : disk.backup),
  };
  checkConversion(engine, disk, shape);
  disk.status = 'locked';
  disk.lock = { kind: 'operation', ownerId: randomUUID() };
  engine.scheduler.after(DISK_CONVERT_SECONDS, () => {
    Object.assign(disk, shape, { status: 'ok', lock: undefined, imageId: randomUUID() });
    disk.qcowVersion = shape.format === 'cow' ? 'qcow2_v3' : undefined;
    forgetBitmaps(engine, disk);
  });
  return replyDone();
}

function getDisks(call: EngineCall): WireReply {
  const { engine } = call;
  const rows = searchRows(call, engine.disks.values(), (disk) => ({
    id: disk.id,
    name: disk.name,
    alias: disk.name,
    status: disk.status,
    description: disk.description,
    storage: engine.domainOf(disk)?.name,
    vm_names: engine.vmOfDisk(disk.id)?.name,
  }));
  return replyList('disks', 'disk', rows.map(diskView));
}

function getDiskSnapshots(call: EngineCall): WireReply {
  const disk = diskOf(call);
  const views = disk.volumes.map((volume) => diskSnapshotView(disk, volume));
  return replyList('disk_snapshots', 'disk_snapshot', views);
}

export const diskRoutes: readonly Route[] = [
  { method: 'GET', path: 'disks', run: getDisks },
  {
    method: 'POST',
    path: 'disks',
    run: (call) => reply('disk', diskView(addDisk(call.engine, call.body(diskBody))), 202),
  },
  {
    method: 'GET',
    path: 'disks/{disk}',
    run: (call) => reply('disk', diskView(diskOf(call))),
  },
  {
    method: 'DELETE',
    path: 'disks/{disk}',
    run: (call) => {
      removeDisk(call.engine, diskOf(call));
      return replyDone();
    },
  },
  { method: 'POST', path: 'disks/{disk}/convert', run: convertDisk },
  { method: 'GET', path: 'disks/{disk}/disksnapshots', run: getDiskSnapshots },
];
