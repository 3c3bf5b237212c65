/**
 * REST calls on image transfers.
 * Source: oVirt contract: faults of the creation in their order. Actions answer 200 even for an
 * unknown id or an impossible transition. Resume of a transfer that is not paused is the exception.
 */
import { randomUUID } from 'node:crypto';
import type { TransferBody } from '../../state/bodies.ts';
import { actionBody, transferBody } from '../http/bodyTypes.ts';
import { transferView } from '../views/backups.ts';
import type { Engine } from '../../state/core.ts';
import { forbidden, refusal, unknownResource } from '../../state/refusals.ts';
import { EVENT_CODES } from '../../state/events.ts';
import type { EngineCall, Route } from '../http/router.ts';
import type { TransferRow } from '../../state/rows.ts';
import { TRANSFER_INACTIVITY_SECONDS, TRANSFER_POLL_MIN_SECONDS } from '../../state/timings.ts';
import {
  checkTransfer,
  type TransferSource,
  transferSource,
} from '../../state/transfers/checks.ts';
import { transferEvent } from '../../state/transfers/events.ts';
import {
  beginTransfer,
  cancelTransfer,
  finalizeTransfer,
  isEnding,
  isPaused,
} from '../../state/transfers/machine.ts';
import { reply, replyDone, replyList, type WireReply } from '../http/wire.ts';

function hostIdOf(engine: Engine, body: TransferBody, source: TransferSource): string {
  const ownHost = source.backup?.hostId;
  const wish = engine.hosts.find(({ id }) => id === body.host?.id);
  return ownHost ?? wish?.id ?? engine.hosts[0]?.id ?? '';
}

function createRow(call: EngineCall, body: TransferBody, source: TransferSource): TransferRow {
  const { engine, correlationId } = call;
  const { disk, backup, volume } = source;
  const view = backup?.views.get(disk.id) ?? volume?.view ?? disk.data;
  return {
    id: randomUUID(),
    diskId: disk.id,
    backupId: backup?.id,
    volumeId: volume?.id,
    direction: source.direction,
    format: source.format,
    phase: 'initializing',
    hostId: hostIdOf(engine, body, source),
    inactivitySeconds: body.inactivity_timeout ?? TRANSFER_INACTIVITY_SECONDS,
    policy: body.timeout_policy ?? 'legacy',
    shallow: body.shallow ?? false,
    sizeBytes: view.sizeBytes,
    ticketId: undefined,
    isActive: false,
    transferredBytes: 0,
    idlePolls: 0,
    donePolls: 0,
    pollSeconds: TRANSFER_POLL_MIN_SECONDS,
    ranFull: false,
    correlationId,
    timer: undefined,
  };
}

/** Locks the disk, unless the transfer reads a frozen view or an older volume. */
function lockDisk(transfer: TransferRow, { disk }: TransferSource): void {
  if (transfer.backupId !== undefined || transfer.volumeId !== undefined) return;
  disk.lock = { kind: 'transfer', ownerId: transfer.id };
  disk.status = 'locked';
}

function postTransfer(call: EngineCall): WireReply {
  const { engine } = call;
  const body = call.body(transferBody);
  const source = transferSource(engine, body);
  checkTransfer(engine, source);
  const transfer = createRow(call, body, source);
  lockDisk(transfer, source);
  engine.transfers.set(transfer.id, transfer);
  transferEvent(engine, transfer, EVENT_CODES.transferInitiated);
  beginTransfer(engine, transfer);
  return reply('image_transfer', transferView(engine, transfer), 201);
}

function getTransfer(call: EngineCall): WireReply {
  const transfer = call.engine.transfers.get(call.param('transfer'));
  if (!transfer) throw unknownResource();
  return reply('image_transfer', transferView(call.engine, transfer));
}

function finalize(engine: Engine, transfer: TransferRow): void {
  const canFinalize = transfer.phase === 'transferring' || isPaused(transfer.phase);
  if (canFinalize) finalizeTransfer(engine, transfer);
}

function cancel(engine: Engine, transfer: TransferRow): void {
  if (!isEnding(transfer.phase)) cancelTransfer(engine, transfer);
}

function resume(engine: Engine, transfer: TransferRow): void {
  if (!isPaused(transfer.phase)) {
    throw refusal(409, 'Cannot resume the image transfer. The transfer is not paused.');
  }
  transferEvent(engine, transfer, EVENT_CODES.transferResumed);
  transfer.phase = 'resuming';
  beginTransfer(engine, transfer);
}

function actionRoute(name: string, act: (engine: Engine, transfer: TransferRow) => void): Route {
  return {
    method: 'POST',
    path: `imagetransfers/{transfer}/${name}`,
    run: (call) => {
      call.body(actionBody);
      if (call.engine.behaviour.forbidsTransferActions) throw forbidden();
      const transfer = call.engine.transfers.get(call.param('transfer'));
      if (transfer) act(call.engine, transfer);
      return replyDone();
    },
  };
}

export const transferRoutes: readonly Route[] = [
  { method: 'POST', path: 'imagetransfers', run: postTransfer },
  {
    method: 'GET',
    path: 'imagetransfers',
    run: ({ engine }) =>
      replyList(
        'image_transfers',
        'image_transfer',
        [...engine.transfers.values()].map((transfer) => transferView(engine, transfer)),
      ),
  },
  { method: 'GET', path: 'imagetransfers/{transfer}', run: getTransfer },
  actionRoute('resume', resume),
  actionRoute('cancel', cancel),
  actionRoute('finalize', finalize),
];
