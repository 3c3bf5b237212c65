/** The time, so that tests of a fortnight take a second. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Clock {
  now(): Date;
  /** Waits. The machine may have slept meanwhile, so callers look at the time again. */
  sleep(durationMs: number, signal: AbortSignal): Promise<void>;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => new Date(),
  sleep: async (durationMs, signal) => await sleep(durationMs, undefined, { signal }),
};
