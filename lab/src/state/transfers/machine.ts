/**
 * The state machine of image transfers: tickets, polls, inactivity, tear-down. Only timers and
 * actions move phases.
 * Invariants: a finished transfer has no ticket and no lock. An upload that fails deletes its disk.
 * Source: oVirt contract (phases, policies and events of image transfers).
 */
import { randomUUID } from 'node:crypto';
import type { TicketStatus } from '../../dataPlane.ts';
import { forgetBitmaps } from '../disks/content.ts';
import { type Engine, isTransferOver } from '../core.ts';
import { deleteDisk } from '../disks/store.ts';
import { EVENT_CODES } from '../events.ts';
import type { TransferPhase, TransferRow } from '../rows.ts';
import {
  RETENTION_FAILURE_SECONDS,
  RETENTION_SUCCESS_SECONDS,
  TRANSFER_POLL_MAX_SECONDS,
  TRANSFER_POLL_MIN_SECONDS,
  TRANSFER_READY_SECONDS,
  TRANSFER_TEARDOWN_SECONDS,
} from '../timings.ts';
import { transferEvent } from './events.ts';
import { targetOf } from './target.ts';

/** The engine ends a transfer by itself only after this many polls with the same result. */
const POLLS_TO_AGREE = 2;

function schedule(engine: Engine, transfer: TransferRow, seconds: number, next: () => void): void {
  transfer.timer?.cancel();
  transfer.timer = engine.scheduler.after(seconds, next);
}

/** True for a transfer that is ending or has ended. */
export function isEnding(phase: TransferPhase): boolean {
  return /^(finalizing|finished|cancelled)/.test(phase);
}

export function isPaused(phase: TransferPhase): boolean {
  return phase === 'paused_user' || phase === 'paused_system';
}

function isOpening(phase: TransferPhase): boolean {
  return phase === 'initializing' || phase === 'resuming';
}

/** Asks for a ticket for a new or resumed transfer, after a delay. */
export function beginTransfer(engine: Engine, transfer: TransferRow): void {
  schedule(engine, transfer, TRANSFER_READY_SECONDS, () => openTicket(engine, transfer));
}

function openTicket(engine: Engine, transfer: TransferRow): void {
  if (engine.behaviour.transferHangs) return beginTransfer(engine, transfer);
  const target = targetOf(engine, transfer);
  if (!target) return failToOpen(engine, transfer);
  const ticketId = randomUUID();
  engine.recordSecret(ticketId);
  const added = engine.plane.addTicket({
    id: ticketId,
    transferId: transfer.id,
    target: target.target,
    mode: transfer.direction === 'upload' ? 'write' : 'read',
    dirty: target.isDirtyServed,
    inactivityTimeoutMs: engine.scheduler.realMs(transfer.inactivitySeconds),
  });
  added.then(
    () => useTicket(engine, transfer, ticketId),
    () => failToOpen(engine, transfer),
  );
}

function failToOpen(engine: Engine, transfer: TransferRow): void {
  if (!isOpening(transfer.phase)) return;
  transferEvent(engine, transfer, EVENT_CODES.ticketCreateFailed);
  failTransfer(engine, transfer);
}

function useTicket(engine: Engine, transfer: TransferRow, ticketId: string): void {
  // The transfer was cancelled while the ticket was made.
  if (!isOpening(transfer.phase)) return removeTicket(engine, ticketId, () => undefined);
  transfer.ticketId = ticketId;
  Object.assign(transfer, { idlePolls: 0, donePolls: 0, ranFull: false });
  transfer.phase = 'transferring';
  transfer.pollSeconds = TRANSFER_POLL_MIN_SECONDS;
  schedulePoll(engine, transfer);
}

function schedulePoll(engine: Engine, transfer: TransferRow): void {
  schedule(engine, transfer, transfer.pollSeconds, () => poll(engine, transfer));
  transfer.pollSeconds = Math.min(transfer.pollSeconds * 2, TRANSFER_POLL_MAX_SECONDS);
}

/** Asks for the status of the ticket. Repeated while the transfer is open. */
function poll(engine: Engine, transfer: TransferRow): void {
  const { ticketId } = transfer;
  if (ticketId === undefined || isEnding(transfer.phase) || isPaused(transfer.phase)) return;
  engine.plane.ticketStatus(ticketId).then(
    (status) => {
      if (transfer.ticketId === ticketId) judge(engine, transfer, ticketId, status);
    },
    // imageio may answer again later.
    () => schedulePoll(engine, transfer),
  );
}

function judge(
  engine: Engine,
  transfer: TransferRow,
  ticketId: string,
  status: TicketStatus | undefined,
): void {
  if (isEnding(transfer.phase) || isPaused(transfer.phase)) return;
  // A fault may have set another phase. The next poll corrects it.
  transfer.phase = 'transferring';
  if (!status) return loseTicket(engine, transfer);
  engine.plane.extendTicket(ticketId);
  transfer.isActive = status.active;
  transfer.transferredBytes = status.transferredBytes;
  if (transfer.ranFull) return pauseTransfer(engine, transfer, 'paused_system');
  const limitMs = engine.scheduler.realMs(transfer.inactivitySeconds);
  const isIdle = limitMs > 0 && !status.active && status.idleMs > limitMs;
  transfer.idlePolls = isIdle ? transfer.idlePolls + 1 : 0;
  if (transfer.idlePolls >= POLLS_TO_AGREE) return timeOut(engine, transfer);
  const isDone =
    transfer.direction === 'download' &&
    !status.active &&
    status.transferredBytes >= transfer.sizeBytes;
  transfer.donePolls = isDone ? transfer.donePolls + 1 : 0;
  if (transfer.donePolls >= POLLS_TO_AGREE) return finalizeTransfer(engine, transfer);
  schedulePoll(engine, transfer);
}

function loseTicket(engine: Engine, transfer: TransferRow): void {
  transferEvent(engine, transfer, EVENT_CODES.ticketMissing);
  transfer.ticketId = undefined;
  if (transfer.direction === 'download') return failTransfer(engine, transfer);
  pauseTransfer(engine, transfer, 'paused_system');
}

function timeOut(engine: Engine, transfer: TransferRow): void {
  const { policy, direction } = transfer;
  if (policy === 'cancel') {
    transferEvent(engine, transfer, EVENT_CODES.transferCancelledByPolicy);
    return failTransfer(engine, transfer);
  }
  if (policy === 'legacy' && direction === 'download') {
    transferEvent(engine, transfer, EVENT_CODES.downloadCancelledOnTimeout);
    return failTransfer(engine, transfer);
  }
  const isLegacy = policy === 'legacy';
  transferEvent(
    engine,
    transfer,
    isLegacy ? EVENT_CODES.uploadPausedOnTimeout : EVENT_CODES.transferPausedByPolicy,
  );
  pauseTransfer(engine, transfer, 'paused_system');
}

/** Removes a ticket. Tries again while operations on it are in progress. */
function removeTicket(engine: Engine, ticketId: string, next: () => void): void {
  const retry = (): void => {
    engine.scheduler.after(TRANSFER_POLL_MIN_SECONDS, () => removeTicket(engine, ticketId, next));
  };
  engine.plane.removeTicket(ticketId).then((isGone) => (isGone ? next() : retry()), retry);
}

/** Calls `next` when the transfer has no ticket any more. */
function closeTicket(engine: Engine, transfer: TransferRow, next: () => void): void {
  const { ticketId } = transfer;
  if (ticketId === undefined) return next();
  removeTicket(engine, ticketId, () => {
    if (transfer.ticketId === ticketId) transfer.ticketId = undefined;
    next();
  });
}

/** Pauses a transfer and removes its ticket. */
function pauseTransfer(
  engine: Engine,
  transfer: TransferRow,
  phase: 'paused_user' | 'paused_system',
): void {
  transfer.phase = phase;
  transfer.isActive = false;
  transfer.timer?.cancel();
  const { ticketId } = transfer;
  transfer.ticketId = undefined;
  if (ticketId !== undefined) removeTicket(engine, ticketId, () => undefined);
}

export function finalizeTransfer(engine: Engine, transfer: TransferRow): void {
  transfer.phase = 'finalizing_success';
  tearDown(engine, transfer, () => {
    const isBad = transfer.direction === 'upload' && engine.behaviour.uploadVerifyFails;
    if (!isBad) return endTransfer(engine, transfer, 'finished_success');
    const disk = engine.disks.get(transfer.diskId);
    if (disk) disk.status = 'illegal';
    enterFailure(engine, transfer);
  });
}

/** The engine ends a transfer as failed: cancelled, torn down, finished. */
function failTransfer(engine: Engine, transfer: TransferRow): void {
  transfer.phase = 'cancelled_system';
  schedule(engine, transfer, TRANSFER_POLL_MIN_SECONDS, () => enterFailure(engine, transfer));
}

function enterFailure(engine: Engine, transfer: TransferRow): void {
  transfer.phase = 'finalizing_failure';
  tearDown(engine, transfer, () => {
    transferEvent(engine, transfer, EVENT_CODES.transferFailed);
    endTransfer(engine, transfer, 'finished_failure');
  });
}

/** The user cancels. The phases are those of a cleanup. */
export function cancelTransfer(engine: Engine, transfer: TransferRow): void {
  transfer.phase = 'cancelled_user';
  transferEvent(engine, transfer, EVENT_CODES.transferCancelled);
  schedule(engine, transfer, TRANSFER_POLL_MIN_SECONDS, () => {
    transfer.phase = 'finalizing_cleanup';
    tearDown(engine, transfer, () => {
      transfer.phase = 'finished_cleanup';
      schedule(engine, transfer, TRANSFER_POLL_MIN_SECONDS, () => {
        endTransfer(engine, transfer, 'finished_failure');
      });
    });
  });
}

function tearDown(engine: Engine, transfer: TransferRow, next: () => void): void {
  transfer.timer?.cancel();
  closeTicket(engine, transfer, () => {
    transfer.isActive = false;
    schedule(engine, transfer, TRANSFER_TEARDOWN_SECONDS, next);
  });
}

function releaseDisk(engine: Engine, transfer: TransferRow, hasSucceeded: boolean): void {
  const disk = engine.disks.get(transfer.diskId);
  if (!disk || disk.lock?.ownerId !== transfer.id) return;
  disk.lock = undefined;
  if (transfer.direction === 'upload' && !hasSucceeded) return deleteDisk(engine, disk);
  // The bitmaps describe the content before the upload.
  if (transfer.direction === 'upload') forgetBitmaps(engine, disk);
  disk.status = 'ok';
}

function endTransfer(
  engine: Engine,
  transfer: TransferRow,
  phase: 'finished_success' | 'finished_failure',
): void {
  const hasSucceeded = phase === 'finished_success';
  releaseDisk(engine, transfer, hasSucceeded);
  transfer.phase = phase;
  if (hasSucceeded) transferEvent(engine, transfer, EVENT_CODES.transferSucceeded);
  if (engine.behaviour.forgetsFinished) {
    engine.transfers.delete(transfer.id);
    return;
  }
  const seconds = hasSucceeded ? RETENTION_SUCCESS_SECONDS : RETENTION_FAILURE_SECONDS;
  schedule(engine, transfer, seconds, () => engine.transfers.delete(transfer.id));
}

/** Moves a transfer to the phase that a fault names. An unknown name is only shown. */
export function forceTransferPhase(engine: Engine, transfer: TransferRow, phase: string): void {
  if (isTransferOver(transfer)) return void (transfer.phase = phase as TransferPhase);
  if (phase === 'cancelled_system' && isOpening(transfer.phase)) {
    return failToOpen(engine, transfer);
  }
  if (phase === 'cancelled_system') return failTransfer(engine, transfer);
  if (phase === 'cancelled_user') return cancelTransfer(engine, transfer);
  if (phase === 'finalizing_success') return finalizeTransfer(engine, transfer);
  if (phase === 'finalizing_failure') return enterFailure(engine, transfer);
  if (phase === 'paused_user' || phase === 'paused_system') {
    return pauseTransfer(engine, transfer, phase);
  }
  if (phase === 'finished_success' || phase === 'finished_failure') {
    transfer.timer?.cancel();
    return closeTicket(engine, transfer, () => endTransfer(engine, transfer, phase));
  }
  transfer.phase = phase as TransferPhase;
}
