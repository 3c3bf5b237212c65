/**
 * Leaves the report of a session in the folder of its VM. The result of the session is there
 * already, so nothing here fails it.
 */
import { randomUUID } from 'node:crypto';
import { BackupError, type ErrorCode, RepositoryError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { isUnreachedCode } from '../../core/systemErrors.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { sessionFileName, staleSessionFiles } from './sessionFiles.ts';
import type { SessionType } from './sessionRecord.ts';

/** Largest report that is kept, and read. */
export const MAX_REPORT_BYTES: number = 8 * 1024 * 1024;
/** Errors of a user who may read the repository and not write. */
const READ_ONLY_ERRNOS = new Set(['EROFS', 'EACCES', 'EPERM']);

const STEP_TYPES: ReadonlySet<SessionType> = new Set(['prune', 'verify', 'copy']);

export interface StartedSession {
  readonly type: SessionType;
  readonly sessionId: string;
  readonly startedAt: Date;
  /** `performance.now()` at the start. */
  readonly startedAtMs: number;
}

export function startSession(type: SessionType): StartedSession {
  const startedAtMs = performance.now();
  return { type, sessionId: randomUUID(), startedAt: new Date(), startedAtMs };
}

export interface KeptSession extends StartedSession {
  /** Its messages until now. It gets one more when the report cannot be kept. */
  readonly session: Pick<SessionLog, 'log' | 'messages' | 'note'>;
  /** For a session that fails. @defaultValue the name of the folder */
  readonly vmName?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The error of a session. */
export interface ReportedFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/** The fields of a record that tell what came of the session. */
interface Outcome {
  readonly outcome: 'ok' | 'failed';
  readonly [field: string]: unknown;
}

/** What all reports of sessions have. */
interface Report {
  readonly vmName: string;
}

/**
 * Runs a session, and keeps its report, or its error.
 *
 * @param failureOf - the failure that a report tells, when the session did only part of its work.
 * @throws what `work` throws
 */
export async function keepReportOf<T extends Report>(
  folder: VmFolder,
  kept: KeptSession,
  work: () => Promise<T>,
  failureOf: (report: T) => ReportedFailure | undefined = () => undefined,
): Promise<T> {
  try {
    const report = await work();
    await keepReport(folder, kept, report, failureOf(report));
    return report;
  } catch (error) {
    await keepFailure(folder, kept, toFailure(error, kept.signal));
    throw error;
  }
}

/**
 * Keeps the report of a session that reached its end. Never throws. Does nothing when the place
 * could not be reached: another try would wait as long as the session has waited.
 */
export async function keepReport(
  folder: VmFolder,
  kept: KeptSession,
  report: Report,
  failure?: ReportedFailure,
): Promise<void> {
  if (failure && isUnreachedCode(failure.code)) return;
  const { session } = kept;
  try {
    await write(folder, kept, report.vmName, factsOf(report, session.messages, failure));
  } catch (error) {
    session.note(notKept(report.vmName, error));
  }
}

function factsOf(
  report: Report,
  messages: readonly SessionMessage[],
  failure: ReportedFailure | undefined,
): Outcome {
  if (!failure) return { outcome: 'ok', report };
  const { code, message, hint } = failure;
  return { outcome: 'failed', code, message, hint, messages, report };
}

/**
 * Keeps the error of a session. As {@link keepReport}. A wrong option of a restore, of a verify or
 * the like tells nothing about the VM. A backup with one means a night without a restore point. A
 * prune, verify or copy that was stopped has not failed: the next one does the rest.
 */
export async function keepFailure(
  folder: VmFolder,
  kept: KeptSession,
  { code, message, hint }: ReportedFailure,
): Promise<void> {
  const isTypo = kept.type !== 'backup' && code.startsWith('USAGE_');
  const isStop = STEP_TYPES.has(kept.type) && code === 'CANCELLED';
  if (isTypo || isStop || isUnreachedCode(code)) return;
  const { log, messages } = kept.session;
  const facts = { outcome: 'failed', code, message, hint, messages } as const;
  try {
    await write(folder, kept, kept.vmName ?? folder.safeName, facts);
  } catch (cause) {
    log.warn({ reason: reasonOf(cause) }, 'the failed session has left no report');
  }
}

async function write(
  folder: VmFolder,
  kept: KeptSession,
  vmName: string,
  facts: Outcome,
): Promise<void> {
  const { type, sessionId, startedAt, startedAtMs } = kept;
  const record = {
    type,
    sessionId,
    vmName,
    vmId: folder.vmId,
    startedAt: startedAt.toISOString(),
    durationSeconds: (performance.now() - startedAtMs) / 1000,
    ...facts,
  };
  const isFailed = facts.outcome === 'failed';
  const fileName = sessionFileName({ type, sessionId, startedAt, isFailed });
  await folder.place.writeShared(fileName, encodeReport(record));
}

/** @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when it is too large */
export function encodeReport(record: object): string {
  const text = `${JSON.stringify(record)}\n`;
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes <= MAX_REPORT_BYTES) return text;
  throw new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `a report of ${sizeBytes} B is too large; at most ${MAX_REPORT_BYTES} B are kept`,
  );
}

function notKept(vm: string, error: unknown): SessionMessage {
  const isReadOnly =
    error instanceof BackupError &&
    (error.code === 'REPOSITORY_REFUSED' || READ_ONLY_ERRNOS.has(String(error.details['errno'])));
  return sessionMessage(isReadOnly ? 'REPO-561' : 'REPO-560', { vm, reason: reasonOf(error) });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof BackupError)) return String(error);
  return String(error.details['errno'] ?? error.code);
}

/**
 * Deletes the reports that no restore point of the VM needs any more. A prune calls it under the
 * lock. What cannot be deleted stays for the next prune. Never throws.
 */
export async function removeStaleReports(
  { place }: VmFolder,
  points: readonly RestorePoint[],
  log: Logger,
): Promise<void> {
  if (points.length === 0) return;
  try {
    const stale = staleSessionFiles(await place.fileNames(), points);
    if (stale.length > 0) await place.remove(stale);
  } catch (error) {
    log.warn({ reason: reasonOf(error) }, 'old reports were not deleted');
  }
}
