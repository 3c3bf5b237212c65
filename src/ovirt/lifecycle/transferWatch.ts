/**
 * Keeps an open transfer alive while nothing is read (a slow target, a pause, a long list of extents): pings the
 * ticket, and asks the engine, which keeps the REST session alive too.
 *
 * @see oVirt contract: `extend` does not keep a transfer alive on modern imageio; I/O or OPTIONS does
 */
import { pause } from '../../core/retry.ts';
import type { OvirtTimings } from '../timings.ts';

export interface Watched {
  readonly idleMs: number;
  ping(signal: AbortSignal): Promise<void>;
}

/** @param client - the transfer's present client. @param ask - asks the engine for the transfer. */
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
      // What is wrong shows in the data requests; a ping that fails changes nothing.
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
