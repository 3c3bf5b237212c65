/**
 * The event log of the engine. An event carries the correlation id of the request that caused it.
 * Ids are ascending numbers.
 * Source: oVirt contract (audit log codes, severities).
 */
import type { EventRow } from './rows.ts';

/** Codes of the audit log that backup clients see. */
export const EVENT_CODES = {
  snapshotCreated: 68,
  snapshotRemoved: 356,
  transferInitiated: 1031,
  transferSucceeded: 1032,
  transferCancelled: 1033,
  transferFailed: 1034,
  ticketMissing: 1065,
  ticketCreateFailed: 1068,
  uploadPausedOnTimeout: 1071,
  downloadCancelledOnTimeout: 1072,
  transferResumed: 1074,
  transferCancelledByPolicy: 1076,
  transferPausedByPolicy: 1077,
  freezeFailed: 10764,
  backupStarted: 10790,
  fullBackupNeeded: 10791,
  backupFailed: 10792,
  backupSucceeded: 10793,
  backupFinalized: 10794,
  backupStopped: 10796,
  checkpointDeleted: 10797,
  checkpointDeleteFailed: 10798,
  scratchCreating: 10799,
  scratchCreated: 10805,
  snapshotLeftOver: 10813,
} as const;

const ERROR_EVENTS: ReadonlySet<number> = new Set([
  EVENT_CODES.transferFailed,
  EVENT_CODES.ticketMissing,
  EVENT_CODES.ticketCreateFailed,
  EVENT_CODES.fullBackupNeeded,
  EVENT_CODES.backupFailed,
  EVENT_CODES.checkpointDeleteFailed,
]);
const WARNING_EVENTS: ReadonlySet<number> = new Set([
  EVENT_CODES.freezeFailed,
  EVENT_CODES.snapshotLeftOver,
  EVENT_CODES.transferCancelled,
  EVENT_CODES.uploadPausedOnTimeout,
  EVENT_CODES.downloadCancelledOnTimeout,
  EVENT_CODES.transferCancelledByPolicy,
  EVENT_CODES.transferPausedByPolicy,
]);

/** External events have one code per severity. */
export const EXTERNAL_EVENT_CODES: Readonly<Record<EventRow['severity'], number>> = {
  normal: 9801,
  warning: 9802,
  error: 9803,
  alert: 9804,
};

function severityOf(code: number): EventRow['severity'] {
  if (ERROR_EVENTS.has(code)) return 'error';
  return WARNING_EVENTS.has(code) ? 'warning' : 'normal';
}

export interface EngineEvent {
  readonly code: number;
  readonly description: string;
  readonly correlationId?: string | undefined;
  readonly vmId?: string | undefined;
}

export interface ExternalEvent extends EngineEvent {
  readonly origin: string;
  readonly customId: number;
  readonly severity: EventRow['severity'];
}

export class EngineLog {
  /** Oldest first. */
  readonly events: EventRow[] = [];

  add(event: EngineEvent): void {
    this.addExternal({
      ...event,
      origin: 'oVirt',
      customId: -1,
      severity: severityOf(event.code),
    });
  }

  addExternal(event: ExternalEvent): EventRow {
    const row: EventRow = {
      id: String(this.events.length + 1),
      code: event.code,
      severity: event.severity,
      description: event.description,
      origin: event.origin,
      customId: event.customId,
      correlationId: event.correlationId,
      vmId: event.vmId,
      time: new Date(),
    };
    this.events.push(row);
    return row;
  }
}
