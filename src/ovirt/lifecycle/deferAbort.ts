/** A delayed abort for requests that create something on the engine. */

/**
 * Runs `work` with a signal that is aborted `graceMs` after `signal` is. The request has that time
 * to answer. Without its answer the id of what it created is unknown, and it cannot be removed.
 *
 * @throws the reason of `signal` when it is aborted before the start; errors of `work`
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
