/** An abort that waits: what is being created on the engine is better known than forgotten. */

/**
 * Runs `work` with a signal that is aborted `graceMs` after `signal` is. A request that makes something on the
 * engine then has time to answer, so that what it made can be removed by its id.
 */
export async function deferAbort<T>(
  signal: AbortSignal,
  graceMs: number,
  work: (late: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => late.abort(signal.reason), graceMs);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(late.signal);
  } finally {
    signal.removeEventListener('abort', onAbort);
    clearTimeout(timer);
  }
}
