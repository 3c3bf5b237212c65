/**
 * REST calls on backups and checkpoints.
 * Source: oVirt contract: answers of finalize by phase, and when a 404 has a body. A hybrid backup
 * shows its disks from `ready` on.
 */
import { startBackup } from '../../state/backups/start.ts';
import { abortBackup, stopBackup } from '../../state/backups/machine.ts';
import { follows } from '../http/follow.ts';
import { backupView, checkpointView } from '../views/backups.ts';
import { actionBody, backupBody } from '../http/bodyTypes.ts';
import { removeCheckpoint } from '../../state/backups/checkpoints.ts';
import { type Engine, isTransferOver } from '../../state/core.ts';
import {
  executionFailure,
  forbidden,
  incompleteParameters,
  refusal,
  unknownParent,
  unknownResource,
} from '../../state/refusals.ts';
import { EVENT_CODES } from '../../state/events.ts';
import { backupDiskViews, checkpointDiskViews } from '../views/collections.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { BackupRow, CheckpointRow, VmRow } from '../../state/rows.ts';
import { CHECKPOINT_REMOVE_SECONDS } from '../../state/timings.ts';
import { reply, replyDone, replyList, WireList, type WireReply } from '../http/wire.ts';

function vmOf(call: EngineCall): VmRow {
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownResource();
  return vm;
}

function backupOf(call: EngineCall): BackupRow {
  const backup = call.engine.backups.get(call.param('backup'));
  if (!backup || backup.vmId !== call.param('vm')) throw unknownResource();
  return backup;
}

function checkpointOf(call: EngineCall): CheckpointRow {
  const checkpoint = call.engine.checkpoints.get(call.param('checkpoint'));
  if (!checkpoint || checkpoint.vmId !== call.param('vm')) throw unknownResource();
  return checkpoint;
}

function postBackup(call: EngineCall): WireReply {
  const body = call.body(backupBody);
  const disks = body.disks ?? [];
  if (disks.length === 0 || disks.some(({ id }) => id === undefined)) {
    throw incompleteParameters('Backup', ['disks.id'], 'add');
  }
  const vm = call.engine.vms.get(call.param('vm'));
  if (!vm) throw unknownParent(call.param('vm'));
  const backup = startBackup(call.engine, {
    vm,
    body,
    wantsLegacy: call.flag('legacy', false),
    requiresConsistency: call.flag('require_consistency', false),
    isForeign: false,
    correlationId: call.correlationId,
  });
  return reply('backup', backupView(backup), 201);
}

function getBackups(call: EngineCall): WireReply {
  const vm = vmOf(call);
  const own = [...call.engine.backups.values()].filter(({ vmId }) => vmId === vm.id);
  return replyList('backups', 'backup', own.map(backupView));
}

function hasOpenTransfer(engine: Engine, backup: BackupRow): boolean {
  return [...engine.transfers.values()].some(
    (transfer) => transfer.backupId === backup.id && !isTransferOver(transfer),
  );
}

function refuseStop(text: string): Error {
  return refusal(400, `Cannot stop VM backup. ${text}`);
}

function finalizeBackup(call: EngineCall): WireReply {
  call.body(actionBody);
  const { engine } = call;
  const backup = backupOf(call);
  if (engine.behaviour.forbidsBackup) throw forbidden();
  const { phase } = backup;
  if (phase === 'finalizing' || phase === 'succeeded' || phase === 'failed') {
    const name = phase.toUpperCase();
    throw refuseStop(`The VM backup is already in '${name}' phase, no need to stop it.`);
  }
  if (backup.isStopped) {
    throw refuseStop('The VM backup is already stopped, no need to stop it.');
  }
  if (hasOpenTransfer(engine, backup)) {
    throw refusal(409, 'Cannot stop VM backup. There is an active image transfer for VM backup.');
  }
  if (backup.kind !== 'hybrid' && !backup.wasReady) {
    abortBackup(engine, backup);
    throw refuseStop('The VM backup is not ready yet, a premature backup stop was initiated.');
  }
  stopBackup(engine, backup);
  return replyDone();
}

function getCheckpoints(call: EngineCall): WireReply {
  const { engine } = call;
  const chain = engine.checkpointChain(vmOf(call).id);
  const views = follows(call, 'disks')
    ? chain.map((one) => {
        const disks = new WireList('disk', checkpointDiskViews(engine, one));
        return { ...checkpointView(one), disks };
      })
    : chain.map(checkpointView);
  return replyList('checkpoints', 'checkpoint', views);
}

function refuseRemoval(text: string): Error {
  return refusal(409, `Cannot delete VM checkpoint. ${text}`);
}

function checkRemoval(engine: Engine, vm: VmRow, checkpoint: CheckpointRow): void {
  if (engine.unfinishedBackupOf(vm.id)) {
    throw refuseRemoval('The VM is during a backup operation.');
  }
  if (vm.operation === 'checkpoint') {
    throw refuseRemoval('The VM is during a checkpoint removal operation.');
  }
  if (vm.operation !== undefined)
    throw refuseRemoval('Related operation is currently in progress.');
  const isLocked = [...checkpoint.diskIds].some((id) => {
    const disk = engine.disks.get(id);
    return disk?.lock !== undefined || disk?.status === 'locked';
  });
  if (isLocked) throw refuseRemoval('The following disks are locked.');
}

function deleteCheckpoint(call: EngineCall): WireReply {
  const { engine, correlationId } = call;
  const checkpoint = checkpointOf(call);
  const vm = vmOf(call);
  checkRemoval(engine, vm, checkpoint);
  const tell = (code: number, text: string): void => {
    const description = `${text} (VM ${vm.name}, checkpoint ${checkpoint.id}).`;
    engine.log.add({ code, description, vmId: vm.id, correlationId });
  };
  if (engine.behaviour.checkpointRemoveFails) {
    checkpoint.state = 'invalid';
    tell(EVENT_CODES.checkpointDeleteFailed, 'Checkpoint could not be deleted');
    throw executionFailure();
  }
  vm.operation = 'checkpoint';
  engine.scheduler.after(CHECKPOINT_REMOVE_SECONDS, () => {
    vm.operation = undefined;
    removeCheckpoint(engine, checkpoint);
    tell(EVENT_CODES.checkpointDeleted, 'Checkpoint was deleted');
  });
  return replyDone();
}

const BACKUPS = 'vms/{vm}/backups';
const CHECKPOINTS = 'vms/{vm}/checkpoints';

export const backupRoutes: readonly Route[] = [
  { method: 'POST', path: BACKUPS, run: postBackup },
  { method: 'GET', path: BACKUPS, run: getBackups },
  {
    method: 'GET',
    path: `${BACKUPS}/{backup}`,
    run: (call) => reply('backup', backupView(backupOf(call))),
  },
  {
    method: 'GET',
    path: `${BACKUPS}/{backup}/disks`,
    run: (call) => replyList('disks', 'disk', backupDiskViews(call.engine, backupOf(call))),
  },
  { method: 'POST', path: `${BACKUPS}/{backup}/finalize`, run: finalizeBackup },
  { method: 'GET', path: CHECKPOINTS, run: getCheckpoints },
  {
    method: 'GET',
    path: `${CHECKPOINTS}/{checkpoint}/disks`,
    run: (call) => replyList('disks', 'disk', checkpointDiskViews(call.engine, checkpointOf(call))),
  },
  { method: 'DELETE', path: `${CHECKPOINTS}/{checkpoint}`, run: deleteCheckpoint },
];
