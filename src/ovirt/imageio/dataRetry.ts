/**
 * Repeats requests for image data that failed on their way: a reset, a cut or silent body, a server that is busy.
 *
 * @see oVirt contract: the same request again on a new connection, a few times, slower each time
 */
import { setTimeout as delay } from 'node:timers/promises';
import { BackupError } from '../../core/errors.ts';

/** Tries per request: a daemon that restarts is back within their pauses. */
export const DATA_ATTEMPTS = 6;

const HEAD_TIMEOUT = 'UND_ERR_HEADERS_TIMEOUT';

export interface RetryOptions {
  /** Pause before the second try; doubles with each further one. */
  readonly retryDelayMs: number;
  readonly signal: AbortSignal;
  /** The answer may take minutes to begin; a deadline that long is not spent twice. @defaultValue false */
  readonly isSlow?: boolean;
}

function mayRepeat(error: unknown, isSlow: boolean): boolean {
  if (!(error instanceof BackupError) || !error.retryable) return false;
  return !isSlow || error.details['reason'] !== HEAD_TIMEOUT;
}

/** Runs `work`, which has the same effect however often it is carried out, until it succeeds or is not retryable. */
export async function retryData<T>(options: RetryOptions, work: () => Promise<T>): Promise<T> {
  const { retryDelayMs, signal, isSlow = false } = options;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (attempt >= DATA_ATTEMPTS || !mayRepeat(error, isSlow)) throw error;
    }
    await delay(retryDelayMs * 2 ** (attempt - 1), undefined, { signal });
  }
}
