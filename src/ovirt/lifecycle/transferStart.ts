/**
 * The start of an image transfer: create it, find it again after a lost answer, wait until it is
 * ready.
 *
 * @see oVirt contract: a transfer does not name its backup, and other clients may read the same
 *   disk through its snapshots at the same time
 */
import { TransferError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { retry } from '../../core/retry.ts';
import type { EngineApi } from '../engine/engineApi.ts';
import { busyReason, faultKind, isOutcomeUnknown } from '../engine/engineErrors.ts';
import type { ImageTransfer } from '../engine/entities.ts';
import { isBusy } from '../engine/faults.ts';
import { deferAbort } from './deferAbort.ts';
import { pollUntil, pollWhile } from '../poll.ts';
import { cancelLeftover, isEnding } from './transferEnd.ts';

export interface TransferOptions {
  readonly engine: EngineApi;
  readonly diskId: string;
  readonly alias: string;
  /** The backup whose frozen view is read. */
  readonly backupId?: string | undefined;
  readonly direction: 'download' | 'upload';
  /** Most data requests at once. */
  readonly connections: number;
  /** Records each step in the journal, before and after a transfer is created. */
  readonly journal: (step: 'transfer-starting' | 'transfer', transferId?: string) => Promise<void>;
  readonly note: (message: SessionMessage) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const INACTIVITY_TIMEOUT_SECONDS = 600;
/** Event of the engine: a transfer was initiated. */
const TRANSFER_INITIATED = 1031;

/**
 * Creates a transfer and waits for its URL. A transfer that does not get ready is cancelled.
 *
 * @throws {@link TransferError} `TRANSFER_NOT_READY`; {@link EngineError} `ENGINE_PHASE_TIMEOUT` …
 */
export async function createReady(options: TransferOptions): Promise<ImageTransfer> {
  const { journal, engine } = options;
  await journal('transfer-starting');
  const created = await createWhenReady(options);
  await journal('transfer', created.id);
  try {
    return await waitTransferring(options, created);
  } catch (error) {
    await cancelLeftover(engine, created.id);
    throw error;
  }
}

/** Creates a transfer, again and again while the backup is not ready or the disk is in use. */
async function createWhenReady(options: TransferOptions): Promise<ImageTransfer> {
  const { timings, client } = options.engine;
  const retrying = {
    windowMs: timings.transferReadyMs,
    firstDelayMs: timings.pollMinMs,
    maxDelayMs: timings.pollMaxMs,
    shouldRetry: isTooEarly,
    onRetry: (error: unknown) => client.onWait?.('vm', busyReason(error)),
    signal: options.signal,
  };
  try {
    return await retry(retrying, () => createOrAdopt(options));
  } finally {
    client.onWait?.('vm', undefined);
  }
}

function isTooEarly(error: unknown): boolean {
  const kind = faultKind(error);
  return kind !== undefined && (kind === 'backup-not-ready' || isBusy(kind));
}

/**
 * Creates a transfer. After a lost answer, a new transfer of the disk is ours only if the engine's
 * events say that our request made one: another client may start one for the same disk just then.
 */
async function createOrAdopt(options: TransferOptions): Promise<ImageTransfer> {
  const { diskId, backupId, direction, signal, alias } = options;
  const engine = options.engine.withOwnCorrelation();
  const before = new Set((await engine.transfers()).map((other) => other.id));
  const wanted = {
    diskId,
    backupId,
    direction,
    inactivityTimeoutSeconds: INACTIVITY_TIMEOUT_SECONDS,
    // A paused upload keeps its disk; a cancelled one deletes it.
    timeoutPolicy: direction === 'upload' ? 'pause' : 'cancel',
  } as const;
  try {
    const graceMs = engine.timings.cleanupMs / 3;
    return await deferAbort(signal, graceMs, (late) => engine.createTransfer(wanted, late));
  } catch (error) {
    const found = isOutcomeUnknown(error) ? await findNew(engine, options, before) : undefined;
    if (found) return found;
    if (faultKind(error) === 'no-reason') throw notReady(alias, diskId, 'refused', error);
    throw error;
  }
}

/** The one new transfer of this disk and direction; undefined when there is none, or several. */
async function findNew(
  engine: EngineApi,
  options: TransferOptions,
  before: ReadonlySet<string>,
): Promise<ImageTransfer | undefined> {
  const { diskId, direction, signal } = options;
  const { timings } = engine;
  return await pollWhile(timings.lostAnswerMs, timings, signal, async () => {
    const events = await engine.ownEvents();
    if (!events.some(({ code }) => code === TRANSFER_INITIATED)) return undefined;
    const candidates = (await engine.transfers()).filter(
      (other) =>
        !before.has(other.id) &&
        other.diskId === diskId &&
        other.direction === direction &&
        !isEnding(other),
    );
    return candidates.length === 1 ? candidates[0] : undefined;
  });
}

function notReady(alias: string, diskId: string, phase: string, cause?: unknown): TransferError {
  return new TransferError(
    'TRANSFER_NOT_READY',
    `transfer of disk ${alias} (${diskId}) could not be started: ${phase}`,
    {
      cause,
      hint: 'the event list of the engine tells why (host, image server or change map)',
      details: { diskId, phase },
    },
  );
}

/**
 * Waits until a transfer has its URL.
 *
 * @param asked - the transfer, as the engine has just answered, or only its id.
 * @throws {@link TransferError} `TRANSFER_NOT_READY`; {@link EngineError} `ENGINE_PHASE_TIMEOUT`
 */
export async function waitTransferring(
  options: TransferOptions,
  asked: ImageTransfer | Pick<ImageTransfer, 'id'>,
): Promise<ImageTransfer> {
  const { engine, alias, diskId, signal } = options;
  const what = `transfer of disk ${alias} (${diskId}) ready`;
  const { timings } = engine;
  const isAnswer = 'phase' in asked;
  const ready = isAnswer ? readyOrThrow(options, asked) : undefined;
  if (ready) return ready;
  return await pollUntil(
    async () => readyOrThrow(options, await engine.transfer(asked.id, signal)),
    { timings, deadlineMs: timings.transferReadyMs, what, signal, waitsFirst: isAnswer },
  );
}

/** The transfer when it has its URL, undefined before. @throws {@link TransferError} as above */
function readyOrThrow(
  { alias, diskId }: TransferOptions,
  now: ImageTransfer | undefined,
): ImageTransfer | undefined {
  if (!now || isEnding(now)) throw notReady(alias, diskId, now?.phase ?? 'gone');
  if (now.diskId !== undefined && now.diskId !== diskId)
    throw notReady(alias, diskId, 'it belongs to another disk');
  return now.phase === 'transferring' && now.transferUrl ? now : undefined;
}
