/**
 * The life of an engine backup: start → ready → (transfers) → finalize → succeeded or failed.
 *
 * @see oVirt contract: finalize answers 400 for a backup that is already ending; a hybrid backup
 *   stays `ready` for up to 10 s afterwards; finished backups vanish, and then 404 is no error
 */
import { type BackupError, EngineError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { retry } from '../../core/retry.ts';
import { formatDuration } from '../../core/units.ts';
import type { EngineApi } from '../engine/engineApi.ts';
import type { StartBackup } from '../engine/engineRequests.ts';
import {
  busyReason,
  faultKind,
  isOutcomeUnknown,
  isRefusal,
  mayAskAgain,
} from '../engine/engineErrors.ts';
import type { Backup } from '../engine/entities.ts';
import { withEvents } from '../engine/eventTexts.ts';
import { type FaultKind, isBusy } from '../engine/faults.ts';
import { deferAbort } from './deferAbort.ts';
import { pollUntil, pollWhile } from '../poll.ts';

export interface StartBackupOptions {
  readonly engine: EngineApi;
  readonly vmId: string;
  readonly vmName: string;
  /** Writes the id down as soon as the backup exists. */
  readonly journal: (backupId: string) => Promise<void>;
  /** `mayExist` is set while a request may have made a backup whose id is not known. */
  readonly start: { mayExist: boolean };
  readonly signal: AbortSignal;
}

/** A frozen view that can be read. */
export interface ReadyBackup {
  /** Undefined when the engine made none (only RAW disks, no snapshot). */
  readonly toCheckpointId: string | undefined;
  /** Disk id → whether its change map may be asked for. */
  readonly isIncremental: ReadonlyMap<string, boolean>;
}

/** How a backup ended; `gone` is an entity that was already cleaned up. */
export type BackupEnd = 'succeeded' | 'failed' | 'gone';

const OVER = new Set(['succeeded', 'failed']);
/** Without a reason the host may have failed to redefine the checkpoint. */
const ABOUT_CHECKPOINT = new Set<FaultKind>([
  'checkpoint-unknown',
  'checkpoint-invalid',
  'incremental-refused',
  'no-reason',
]);

export function isBackupOver(backup: Backup): boolean {
  return OVER.has(backup.phase);
}

/**
 * Starts a backup. A VM or disk that is busy, or a VM that migrates, is tried again for a while.
 *
 * @throws {@link EngineError} `ENGINE_BUSY`, `ENGINE_VM_STATE`, `ENGINE_CHANGE_MAP_LOST` when the
 *   checkpoint cannot be used, `ENGINE_FAULT` …
 */
export async function startBackup(
  start: StartBackup,
  options: StartBackupOptions,
): Promise<Backup> {
  const { engine, signal } = options;
  const { startRetryWindowMs: windowMs, startRetryEveryMs: delayMs } = engine.timings;
  const rule = {
    windowMs,
    firstDelayMs: delayMs,
    maxDelayMs: delayMs,
    shouldRetry: mayPass,
    onRetry: (error: unknown) => engine.client.onWait?.('vm', busyReason(error)),
    signal,
  };
  try {
    return await retry(rule, async () => {
      const backup = await startOrAdopt(start, options);
      await options.journal(backup.id);
      return backup;
    });
  } catch (error) {
    signal.throwIfAborted();
    throw await explain(error, start, options);
  } finally {
    engine.client.onWait?.('vm', undefined);
  }
}

/** A VM that is neither up nor down migrates or starts. */
function mayPass(error: unknown): boolean {
  const kind = faultKind(error);
  return kind !== undefined && (isBusy(kind) || kind === 'vm-state');
}

export interface AwaitReadyOptions {
  readonly engine: EngineApi;
  readonly vmId: string;
  readonly vmName: string;
  /** Called with each answer of the engine, so that a failed start knows its snapshot. */
  readonly onAnswer: (backup: Backup) => void;
  readonly signal: AbortSignal;
}

/**
 * Waits until a started backup can be read.
 *
 * @throws {@link EngineError} `ENGINE_BACKUP_FAILED`, `ENGINE_PHASE_TIMEOUT`
 */
export async function awaitReady(
  options: AwaitReadyOptions,
  backupId: string,
): Promise<ReadyBackup> {
  const { engine, vmId, vmName, onAnswer, signal } = options;
  const { timings } = engine;
  const ready = await pollUntil(
    async () => {
      const now = await engine.backup(vmId, backupId, signal);
      if (!now || isBackupOver(now)) throw await notReady(options, now?.phase ?? 'gone');
      onAnswer(now);
      return now.phase === 'ready' ? now : undefined;
    },
    {
      timings,
      deadlineMs: timings.backupReadyMs,
      what: `backup of ${vmName} ready`,
      signal,
      // The answer to the start told the phase just now.
      waitsFirst: true,
    },
  );
  const disks = await engine.backupDisks(vmId, backupId);
  return {
    toCheckpointId: ready.toCheckpointId,
    isIncremental: new Map(disks.map((disk) => [disk.id, disk.backupMode === 'incremental'])),
  };
}

async function notReady(
  { engine, vmName }: AwaitReadyOptions,
  phase: string,
): Promise<BackupError> {
  const error = new EngineError(
    'ENGINE_BACKUP_FAILED',
    `backup of ${vmName} was not made ready: ${phase}`,
    {
      hint: 'the events of the engine tell why; the next session starts from the same base',
      details: { phase },
    },
  );
  return await withEvents(engine, error);
}

/** A start whose answer was lost may have worked: then its backup bears our description. */
async function startOrAdopt(start: StartBackup, options: StartBackupOptions): Promise<Backup> {
  const { engine, vmId, signal } = options;
  try {
    options.start.mayExist = true;
    const graceMs = engine.timings.cleanupMs / 3;
    return await deferAbort(signal, graceMs, (late) => engine.startBackup(vmId, start, late));
  } catch (error) {
    if (isRefusal(error)) options.start.mayExist = false;
    if (!isOutcomeUnknown(error)) throw error;
    const found = await awaitBackup(engine, vmId, start.description, signal);
    if (found) return found;
    throw error;
  }
}

/**
 * Waits for a backup that a request whose answer was lost may have made; the engine may still be at
 * it.
 */
export async function awaitBackup(
  engine: EngineApi,
  vmId: string,
  description: string,
  signal: AbortSignal,
): Promise<Backup | undefined> {
  const { timings } = engine;
  return await pollWhile(timings.lostAnswerMs, timings, signal, () =>
    findBackup(engine, vmId, description),
  );
}

/** The unfinished backup with exactly this description. */
export async function findBackup(
  engine: EngineApi,
  vmId: string,
  description: string,
): Promise<Backup | undefined> {
  const backups = await engine.backups(vmId);
  return backups.find((backup) => backup.description === description && !isBackupOver(backup));
}

/**
 * Faults that mean that the checkpoint, not the backup, is the trouble, get a code of their own.
 */
async function explain(
  error: unknown,
  start: StartBackup,
  options: StartBackupOptions,
): Promise<unknown> {
  if (!(error instanceof EngineError)) return error;
  const kind = faultKind(error);
  if (start.fromCheckpointId && kind && ABOUT_CHECKPOINT.has(kind)) {
    const lost = new EngineError(
      'ENGINE_CHANGE_MAP_LOST',
      `backup of ${options.vmName} since checkpoint ${start.fromCheckpointId} was refused`,
      { cause: error, hint: 'the session goes on without the checkpoint', details: { kind } },
    );
    return await withEvents(options.engine, lost);
  }
  return kind === 'no-reason' ? await withEvents(options.engine, error) : error;
}

export interface EndBackupOptions {
  readonly engine: EngineApi;
  readonly vmId: string;
  readonly vmName: string;
  readonly note: (message: SessionMessage) => void;
  /** Called when the engine refuses to end the backup because a transfer of it is open. */
  readonly onOpenTransfer?: (() => Promise<void>) | undefined;
  /** The backup is known to be ready: it is told to end before its phase is read. */
  readonly isReady?: boolean | undefined;
}

/** A merge of a snapshot takes a minute and more, so its end is asked for at half the pace. */
const END_PAUSE_FACTOR = 2;

/**
 * Finalizes a backup and waits for its end, for sessions and for clean-up alike.
 *
 * @throws {@link EngineError} `ENGINE_PHASE_TIMEOUT` when the engine is not done in time; its own
 *   error when it does not even take the order for long
 */
export async function endBackup(
  options: EndBackupOptions,
  backupId: string,
  signal: AbortSignal,
): Promise<BackupEnd> {
  const { engine, vmId, vmName, note, isReady = false } = options;
  const { timings } = engine;
  const startedAtMs = performance.now();
  let askedAtMs = -Infinity;
  let unheardSinceMs: number | undefined;
  let wasWarned = false;
  const tell = async (): Promise<void> => {
    const trouble = await askFinalize(options, backupId);
    const atMs = performance.now();
    if (!trouble) askedAtMs = atMs;
    unheardSinceMs = trouble ? (unheardSinceMs ?? atMs) : undefined;
    if (trouble && atMs - (unheardSinceMs ?? atMs) > timings.transferDoneMs) throw trouble;
  };
  if (isReady) await tell();
  return await pollUntil(
    async () => {
      const now = await engine.backup(vmId, backupId, signal);
      if (!now) return 'gone';
      if (isBackupOver(now)) return now.phase as BackupEnd;
      const isDue = performance.now() - askedAtMs > timings.restReadMs;
      if (now.phase !== 'finalizing' && isDue) await tell();
      const waitedMs = performance.now() - startedAtMs;
      if (!wasWarned && waitedMs > timings.backupDoneWarnMs) {
        wasWarned = true;
        const [time, limit] = [formatDuration(waitedMs), formatDuration(timings.backupDoneMs)];
        note(sessionMessage('XFER-304', { backup: backupId, vm: vmName, time, limit }));
      }
      return undefined;
    },
    {
      timings,
      deadlineMs: timings.backupDoneMs,
      what: `end of the backup of ${vmName}`,
      signal,
      waitsFirst: isReady,
      pauseFactor: END_PAUSE_FACTOR,
    },
  );
}

/**
 * Asking twice has the same effect as asking once, so that whatever is no refusal of the user is
 * asked again.
 *
 * @returns what kept the engine from hearing it; undefined when it has.
 */
async function askFinalize(
  options: EndBackupOptions,
  backupId: string,
): Promise<EngineError | undefined> {
  const { engine, vmId, onOpenTransfer } = options;
  try {
    await engine.finalizeBackup(vmId, backupId);
    return undefined;
  } catch (error) {
    const kind = faultKind(error);
    if (kind === 'active-transfer') await onOpenTransfer?.();
    // 400 with or without a reason: it is ending already, or its premature end has begun.
    if (kind === 'already-stopping' || kind === 'no-reason' || kind === 'not-found')
      return undefined;
    if (error instanceof EngineError && mayAskAgain(error)) return error;
    throw error;
  }
}
