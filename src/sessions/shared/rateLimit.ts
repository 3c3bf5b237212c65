/** Limits how many bytes pass in a second. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Bytes that may pass at once after a pause, as time. Short, so that a line is not flooded. */
const BURST_MS = 250;
/** Timers take no longer time. */
const MAX_SLEEP_MS = 2 ** 31 - 1;

/**
 * A gate for bytes. Callers share its rate, and pass in the order of their calls.
 *
 * @param bytesPerSecond - above 0.
 * @param signal - ends a wait by its reason.
 * @returns a function that waits until `bytes` may pass. More bytes than a second has pass too,
 *   and the next caller waits longer.
 */
export function createRateLimit(
  bytesPerSecond: number,
  signal: AbortSignal,
): (bytes: number) => Promise<void> {
  /** Time at which all bytes that were let through are paid for. */
  let paidAtMs = performance.now();
  return async (bytes) => {
    const nowMs = performance.now();
    const startMs = Math.max(paidAtMs, nowMs - BURST_MS);
    paidAtMs = startMs + (bytes / bytesPerSecond) * 1000;
    for (let waitMs = startMs - nowMs; waitMs > 0; waitMs = startMs - performance.now()) {
      await sleep(Math.min(waitMs, MAX_SLEEP_MS), undefined, { signal });
    }
  };
}
