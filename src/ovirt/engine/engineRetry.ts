/** Rules for an engine that is away: which requests are sent again, how often and for how long. */
import type { EngineError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { retry } from '../../core/retry.ts';
import { EngineFaultError, isAway } from './engineErrors.ts';
import { isSsoServerError } from './sso.ts';
import type { OvirtTimings } from '../timings.ts';
import { type OnWait, waitReason } from '../waits.ts';

export interface AwayOptions {
  readonly timings: OvirtTimings;
  /** A failure later than this after the first try began is final. */
  readonly windowMs: number;
  readonly signal: AbortSignal | undefined;
  readonly isRetryable: (error: unknown) => boolean;
  readonly log: Logger;
  readonly onWait: OnWait | undefined;
}

/**
 * Repeats `work` within a window on failures that `isRetryable` allows.
 *
 * @throws the last failure; the reason of the signal on abort
 */
export async function retryWhileAway<T>(work: () => Promise<T>, options: AwayOptions): Promise<T> {
  const { timings, windowMs, signal, isRetryable, log, onWait } = options;
  const { getRetryMinMs: firstDelayMs, getRetryMaxMs: maxDelayMs } = timings;
  const shouldRetry = (error: unknown): boolean => {
    signal?.throwIfAborted();
    return isRetryable(error);
  };
  const onRetry = (error: unknown, waitMs: number): void => {
    log.debug({ waitMs, code: (error as EngineError).code }, 'engine away, trying again');
    onWait?.('engine', waitReason(error));
  };
  const rule = { windowMs, firstDelayMs, maxDelayMs, shouldRetry, onRetry, signal };
  try {
    return await retry(rule, work);
  } finally {
    onWait?.('engine', undefined);
  }
}

/** Repeats after a 404 that came as a page. Their pauses add up to half a minute. */
const MAX_PAGES = 5;

/**
 * Makes the rule for one read. An internal error of the engine is repeated once. A 404 page is
 * repeated {@link MAX_PAGES} times: it may come from the gateway while the engine restarts.
 */
export function isAwayOrUnsure(): (error: unknown) => boolean {
  const isAway = isAwayOrOnce((error) => error instanceof EngineFaultError && error.status === 500);
  let pageCount = 0;
  return (error) => {
    const isPage = error instanceof EngineFaultError && error.isPage;
    return isPage ? pageCount++ < MAX_PAGES : isAway(error);
  };
}

/** Makes the rule for one login: SSO's own error is repeated once. */
export function isAwayOrOnceServerError(): (error: unknown) => boolean {
  return isAwayOrOnce(isSsoServerError);
}

function isAwayOrOnce(isOnce: (error: unknown) => boolean): (error: unknown) => boolean {
  let isFirst = true;
  return (error) => {
    if (!isOnce(error)) return isAway(error);
    const wasFirst = isFirst;
    isFirst = false;
    return wasFirst;
  };
}
