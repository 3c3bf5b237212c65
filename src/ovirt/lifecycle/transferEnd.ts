/**
 * The end of image transfers.
 *
 * @see oVirt contract: actions always answer 200; only the phase of the transfer tells the outcome
 */
import { EngineError } from '../../core/errors.ts';
import type { EngineApi } from '../engine/engineApi.ts';
import { faultKind, mayAskAgain } from '../engine/engineErrors.ts';
import type { ImageTransfer } from '../engine/entities.ts';
import { pollUntil } from '../poll.ts';

const ENDED = new Set(['finished_success', 'finished_failure']);
const ENDING = new Set([
  'finished_failure',
  'finished_cleanup',
  'finished_success',
  'finalizing_success',
  'finalizing_failure',
  'finalizing_cleanup',
  'cancelled',
  'cancelled_system',
  'cancelled_user',
]);

/** True for a transfer that is ending or has ended. */
export function isEnding(transfer: ImageTransfer): boolean {
  return ENDING.has(transfer.phase);
}

/** True for a transfer that has ended. Undefined is one that is gone. */
export function hasEnded(transfer: ImageTransfer | undefined): boolean {
  return transfer === undefined || ENDED.has(transfer.phase);
}

/**
 * Asks for the end of a transfer and waits for it. All its connections must be closed before.
 *
 * @param options.isOpen - the transfer is known to be open: it is told to end before its state is
 *   read.
 * @param options.onForbidden - called each time the user has no right to act on the transfer. It
 *   then ends only after its idle time.
 * @returns the last phase, or `gone`
 * @throws {@link EngineError} `ENGINE_PHASE_TIMEOUT` …
 */
export async function endTransfer(
  engine: EngineApi,
  transferId: string,
  action: 'finalize' | 'cancel',
  signal?: AbortSignal,
  options: { readonly isOpen?: boolean; readonly onForbidden?: () => void } = {},
): Promise<string> {
  const { timings } = engine;
  const { isOpen = false, onForbidden } = options;
  let askedAtMs = -Infinity;
  const tell = async (): Promise<void> => {
    const reply = await ask(engine, transferId, action);
    if (reply === 'forbidden') onForbidden?.();
    if (reply !== 'lost') askedAtMs = performance.now();
  };
  if (isOpen) await tell();
  return await pollUntil(
    async () => {
      const now = await engine.transfer(transferId, signal);
      if (!now || hasEnded(now)) return now?.phase ?? 'gone';
      // The engine may lose an action: ask again after a while.
      const isHeard = isEnding(now) || performance.now() - askedAtMs < timings.restReadMs;
      if (!isHeard) await tell();
      return undefined;
    },
    {
      timings,
      deadlineMs: timings.transferDoneMs,
      what: `end of transfer ${transferId}`,
      signal,
      waitsFirst: isOpen,
    },
  );
}

async function ask(
  engine: EngineApi,
  transferId: string,
  action: 'finalize' | 'cancel',
): Promise<'heard' | 'lost' | 'forbidden'> {
  try {
    await engine.transferAction(transferId, action);
    return 'heard';
  } catch (error) {
    if (faultKind(error) === 'forbidden') return 'forbidden';
    if (error instanceof EngineError && mayAskAgain(error)) return 'lost';
    throw error;
  }
}

/** Cancels a transfer after a failed step. Best effort: the journal tells a later clean-up. */
export async function cancelLeftover(engine: EngineApi, transferId: string): Promise<void> {
  const signal = AbortSignal.timeout(engine.timings.cleanupMs);
  const onClock = engine.withSignal(signal);
  await endTransfer(onClock, transferId, 'cancel', signal).catch(() => {});
}
