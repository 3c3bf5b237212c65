/** Repeats work that failed, with pauses that grow. */
import { setTimeout as delay } from 'node:timers/promises';

export interface RetryOptions {
  /** Most tries, with the first one. @defaultValue no limit */
  readonly attempts?: number;
  /** A failure later than this after the first try began is final. @defaultValue no limit */
  readonly windowMs?: number;
  /** Pause before the second try. Each further pause is twice as long. */
  readonly firstDelayMs: number;
  /** Longest pause. Equal to `firstDelayMs` it keeps the pace steady. @defaultValue no limit */
  readonly maxDelayMs?: number;
  /** Called once per failure. An error that it throws takes the place of the failure. */
  readonly shouldRetry: (error: unknown) => boolean;
  /** Called before each pause. */
  readonly onRetry?: (error: unknown, delayMs: number) => void;
  /** Ends the pause. The work itself has to honour it too. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Runs `work` until it succeeds, or until its failure is final.
 *
 * @throws the last failure; the reason of the signal when a pause is aborted
 */
export async function retry<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
  const { attempts = Infinity, windowMs = Infinity, maxDelayMs = Infinity } = options;
  const startedAtMs = performance.now();
  let delayMs = options.firstDelayMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isOver = attempt >= attempts || performance.now() - startedAtMs > windowMs;
      if (!options.shouldRetry(error) || isOver) throw error;
      options.onRetry?.(error, delayMs);
    }
    await pause(delayMs, options.signal);
    delayMs = Math.min(delayMs * 2, maxDelayMs);
  }
}

/** Waits. @throws the reason of the signal when it is aborted */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, signal ? { signal } : undefined);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
