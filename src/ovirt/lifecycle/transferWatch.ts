/**
 * Keeps an open transfer alive while nothing is read: a slow target, a pause, a long list of
 * extents. It pings the ticket. It also asks the engine for the transfer, which keeps the REST
 * session alive.
 *
 * @see oVirt contract: only I/O or OPTIONS keeps a transfer alive on modern imageio, not `extend`
 */
import { pause } from '../../core/retry.ts';
import type { OvirtTimings } from '../timings.ts';

/** The client of a transfer. */
export interface Watched {
  /** Milliseconds since the last finished request. */
  readonly idleMs: number;
  ping(signal: AbortSignal): Promise<void>;
}

/**
 * Starts the watch. `stop` ends it and waits for requests under way.
 *
 * @param client - gives the client that the transfer has now
 * @param ask - asks the engine for the transfer
 */
export function watchTransfer(
  timings: OvirtTimings,
  client: () => Watched,
  ask: (signal: AbortSignal) => Promise<unknown>,
): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const { signal } = stopped;
  async function pinging(): Promise<void> {
    for (;;) {
      await pause(timings.pingEveryMs / 2, signal);
      // A failed ping is ignored: the data requests will fail too and tell why.
      if (client().idleMs >= timings.pingEveryMs / 2)
        await client()
          .ping(signal)
          .catch(() => {});
    }
  }
  async function asking(): Promise<void> {
    for (;;) {
      await pause(timings.watchEveryMs, signal);
      await ask(signal).catch(() => {});
    }
  }
  const running = Promise.allSettled([pinging(), asking()]);
  return {
    async stop() {
      stopped.abort(new Error('the transfer is over'));
      await running;
    },
  };
}
