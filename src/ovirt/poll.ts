/** Polls for a state of the engine, slower each time, until it is reached or time is up. */
import { EngineError } from '../core/errors.ts';
import { pause } from '../core/retry.ts';
import type { OvirtTimings } from './timings.ts';

export interface PollOptions {
  /** Gives the first and the longest pause between two questions. */
  readonly timings: OvirtTimings;
  readonly deadlineMs: number;
  /** The state that is waited for, for the message of the time-out. */
  readonly what: string;
  readonly signal?: AbortSignal | undefined;
  readonly hint?: string | undefined;
  /** Waits before the first question too: the state cannot be reached yet. @defaultValue false */
  readonly waitsFirst?: boolean | undefined;
  /** Makes all pauses so many times as long. @defaultValue 1 */
  readonly pauseFactor?: number | undefined;
}

const GROWTH = 1.5;

function phaseTimeout(what: string, deadlineMs: number, hint?: string): EngineError {
  return new EngineError(
    'ENGINE_PHASE_TIMEOUT',
    `${what}: not reached within ${Math.round(deadlineMs / 1000)} s`,
    { hint: hint ?? 'look at the events and tasks of the engine', details: { deadlineMs } },
  );
}

/**
 * Asks until the answer is not undefined. At least one question is asked. With `waitsFirst` the
 * deadline counts from before the first pause.
 *
 * @throws {@link EngineError} `ENGINE_PHASE_TIMEOUT`; the reason of the signal; errors of `ask`
 */
export async function pollUntil<T>(
  ask: () => Promise<T | undefined>,
  options: PollOptions,
): Promise<T> {
  const { timings, deadlineMs, what, signal, hint, waitsFirst = false, pauseFactor = 1 } = options;
  const longestMs = timings.pollMaxMs * pauseFactor;
  const startedAtMs = performance.now();
  let pauseMs = timings.pollMinMs * pauseFactor;
  for (let isDue = !waitsFirst; ; isDue = true) {
    signal?.throwIfAborted();
    if (isDue) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (performance.now() - startedAtMs > deadlineMs) throw phaseTimeout(what, deadlineMs, hint);
    }
    await pause(pauseMs, signal);
    pauseMs = Math.min(pauseMs * GROWTH, longestMs);
  }
}

/** As {@link pollUntil}, but gives up without an error. @returns undefined after `windowMs` */
export async function pollWhile<T>(
  windowMs: number,
  timings: OvirtTimings,
  signal: AbortSignal | undefined,
  ask: () => Promise<T | undefined>,
): Promise<T | undefined> {
  const startedAtMs = performance.now();
  const isOver = (): boolean => performance.now() - startedAtMs >= windowMs;
  const found = await pollUntil(
    async () => {
      const answer = await ask();
      return answer === undefined && !isOver() ? undefined : { answer };
    },
    { timings, deadlineMs: Infinity, what: '', signal },
  );
  return found.answer;
}

/** Waits for `work`. An abort rejects with the signal's reason at once; the work itself goes on. */
export async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (!signal) return await work;
  signal.throwIfAborted();
  const done = new AbortController();
  const aborted = new Promise<never>((_resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true, signal: done.signal });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    done.abort();
  }
}
