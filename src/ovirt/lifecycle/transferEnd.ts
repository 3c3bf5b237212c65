/**
 * The end of image transfers.
 *
 * @see oVirt contract: actions answer 200 whatever happens, so only a later look counts
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

/** True when a transfer is on its way to an end, or there. */
export function isEnding(transfer: ImageTransfer): boolean {
  return ENDING.has(transfer.phase);
}

/** True for a transfer that holds nothing any more. */
export function hasEnded(transfer: ImageTransfer | undefined): boolean {
  return transfer === undefined || ENDED.has(transfer.phase);
}

/**
 * Asks for the end of a transfer until it has come. Connections have to be closed before.
 *
 * @returns the last phase, or `gone`
 */
export async function endTransfer(
  engine: EngineApi,
  transferId: string,
  action: 'finalize' | 'cancel',
  signal?: AbortSignal,
  onForbidden: () => void = () => {},
): Promise<string> {
  const { timings } = engine;
  let askedAtMs = -Infinity;
  return await pollUntil(
    async () => {
      const now = await engine.transfer(transferId, signal);
      if (!now || hasEnded(now)) return now?.phase ?? 'gone';
      // An order that was swallowed is given again.
      const isHeard = isEnding(now) || performance.now() - askedAtMs < timings.restReadMs;
      if (isHeard) return undefined;
      const reply = await ask(engine, transferId, action);
      if (reply === 'forbidden') onForbidden();
      if (reply !== 'lost') askedAtMs = performance.now();
      return undefined;
    },
    {
      timings,
      deadlineMs: timings.transferDoneMs,
      what: `end of transfer ${transferId}`,
      signal,
    },
  );
}

/** A user without the right to act on transfers has to wait until their idle time is over. */
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

/** Cancels what a failed step left, on the clock of the clean-up. Best effort: the journal remembers it. */
export async function cancelLeftover(engine: EngineApi, transferId: string): Promise<void> {
  const signal = AbortSignal.timeout(engine.timings.cleanupMs);
  const onClock = engine.withSignal(signal);
  await endTransfer(onClock, transferId, 'cancel', signal).catch(() => {});
}
