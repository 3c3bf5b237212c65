/** Limits how many bytes pass in a second. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../../core/errors.ts';

/** Bytes that may pass at once after a pause, as time. Short, so that a line is not flooded. */
const BURST_MS = 250;
/** Timers take no longer time. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

/** Waits until `bytes` may pass. A signal of the caller takes the place of that of the limit. */
export type Pace = (bytes: number, signal?: AbortSignal) => Promise<void>;

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function checkRate(bytesPerSecond: number | undefined): void {
  if (bytesPerSecond === undefined || bytesPerSecond > 0) return;
  const text = `a limit of ${bytesPerSecond} bytes per second lets nothing pass`;
  throw new UsageError('USAGE_INVALID_OPTION', text, { hint: 'give more than 0' });
}

/**
 * A gate for bytes. Callers share its rate, and pass in the order of their calls. More bytes than a
 * second has pass too, and the next caller waits longer.
 *
 * @param bytesPerSecond - above 0.
 * @param signal - ends a wait by its reason.
 */
export function createRateLimit(bytesPerSecond: number, signal: AbortSignal): Pace {
  /** Time at which all bytes that were let through are paid for. */
  let paidAtMs = performance.now();
  return async (bytes, own = signal) => {
    const nowMs = performance.now();
    const startMs = Math.max(paidAtMs, nowMs - BURST_MS);
    paidAtMs = startMs + (bytes / bytesPerSecond) * 1000;
    // All readers of a disk wait with one signal.
    setMaxListeners(0, own);
    for (let waitMs = startMs - nowMs; waitMs > 0; waitMs = startMs - performance.now()) {
      await sleep(Math.min(waitMs, MAX_SLEEP_MS), undefined, { signal: own });
    }
  };
}
