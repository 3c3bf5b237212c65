/**
 * Repeats requests for image data that failed on the network or at a busy server.
 *
 * @see oVirt contract: the same request again on a new connection, a few times, slower each time
 */
import { BackupError } from '../../core/errors.ts';
import { retry } from '../../core/retry.ts';

/** Tries per request. An imageio daemon that restarts is back before the last one. */
export const DATA_ATTEMPTS = 6;

const HEAD_TIMEOUT = 'UND_ERR_HEADERS_TIMEOUT';

export interface DataRetryOptions {
  /** Pause before the second try; doubles with each further one. */
  readonly retryDelayMs: number;
  readonly signal: AbortSignal;
  /**
   * The answer may take minutes to begin. A time-out before its first byte is then final: a wait
   * that long is not worth repeating. @defaultValue false
   */
  readonly isSlow?: boolean;
}

function mayRepeat(error: unknown, isSlow: boolean): boolean {
  if (!(error instanceof BackupError) || !error.retryable) return false;
  return !isSlow || error.details['reason'] !== HEAD_TIMEOUT;
}

/**
 * Runs `work` until it succeeds, its error is not retryable, or {@link DATA_ATTEMPTS} are used up.
 * The work must have the same effect however often it runs.
 *
 * @throws the last error; the reason of the signal on abort
 */
export async function retryData<T>(options: DataRetryOptions, work: () => Promise<T>): Promise<T> {
  const { retryDelayMs: firstDelayMs, signal, isSlow = false } = options;
  const shouldRetry = (error: unknown): boolean => {
    signal.throwIfAborted();
    return mayRepeat(error, isSlow);
  };
  return await retry({ attempts: DATA_ATTEMPTS, firstDelayMs, shouldRetry, signal }, work);
}
