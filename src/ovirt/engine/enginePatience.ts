/** Patience with an engine that is away: what may be sent again, how often and for how long. */
import type { EngineError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { EngineFaultError, isAway } from './engineErrors.ts';
import { pause } from '../poll.ts';
import { isSsoServerError } from './sso.ts';
import type { OvirtTimings } from '../timings.ts';

export interface PatienceOptions {
  readonly timings: OvirtTimings;
  readonly windowMs: number;
  readonly signal: AbortSignal | undefined;
  readonly isRetryable: (error: unknown) => boolean;
  readonly log: Logger;
}

/** Repeats `work` on failures that `isRetryable` allows, slower each time, within a window. */
export async function retryWhileAway<T>(
  work: () => Promise<T>,
  options: PatienceOptions,
): Promise<T> {
  const { timings, windowMs, signal, isRetryable, log } = options;
  const startedAtMs = performance.now();
  for (let waitMs = timings.getRetryMinMs; ; waitMs = Math.min(waitMs * 2, timings.getRetryMaxMs)) {
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      if (!isRetryable(error) || performance.now() - startedAtMs > windowMs) throw error;
      log.debug({ waitMs, code: (error as EngineError).code }, 'engine away, trying again');
    }
    await pause(waitMs, signal);
  }
}

/** Tries against pages that say 404: about half a minute. */
const MAX_PAGES = 5;

/**
 * Reads are also repeated once after an internal error of the engine, and a few times when a page instead of the
 * engine says that something does not exist.
 */
export function isAwayOrUnsure(): (error: unknown) => boolean {
  const isAway = isAwayOrOnce((error) => error instanceof EngineFaultError && error.status === 500);
  let pageCount = 0;
  return (error) => {
    const isPage = error instanceof EngineFaultError && error.isPage;
    return isPage ? pageCount++ < MAX_PAGES : isAway(error);
  };
}

/** SSO's own error is tried once more; an SSO that is away may be starting. */
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
