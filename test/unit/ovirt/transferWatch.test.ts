import { describe, expect, it } from 'vitest';
import { scaleTimings } from '../../../src/ovirt/timings.ts';
import { type Watched, watchTransfer } from '../../../src/ovirt/lifecycle/transferWatch.ts';

const timings = { ...scaleTimings(1), pingEveryMs: 2, watchEveryMs: 2 };

interface Counted extends Watched {
  pings: number;
}

function watched(idleMs: number, ping: () => Promise<void> = () => Promise.resolve()): Counted {
  const client: Counted = {
    idleMs,
    pings: 0,
    ping: async () => {
      client.pings++;
      await ping();
    },
  };
  return client;
}

describe('the watch over a transfer', () => {
  it('pings a ticket that is idle, and asks the engine', async () => {
    const client = watched(1000);
    let asked = 0;
    const watch = watchTransfer(
      timings,
      () => client,
      () => Promise.resolve(asked++),
    );

    await expect.poll(() => Math.min(client.pings, asked)).toBeGreaterThan(2);
    await watch.stop();
  });

  it('leaves a ticket alone that is in use', async () => {
    const client = watched(0);
    let asked = 0;
    const watch = watchTransfer(
      timings,
      () => client,
      () => Promise.resolve(asked++),
    );

    await expect.poll(() => asked).toBeGreaterThan(5);
    await watch.stop();

    expect(client.pings).toBe(0);
  });

  it('goes on after a ping and a question that fail', async () => {
    const client = watched(1000, () => Promise.reject(new Error('no answer')));
    let asked = 0;
    const watch = watchTransfer(
      timings,
      () => client,
      () => Promise.reject(new Error(`no answer ${asked++}`)),
    );

    await expect.poll(() => Math.min(client.pings, asked)).toBeGreaterThan(2);
    await watch.stop();
  });

  it('pings the client that a transfer has at the time', async () => {
    const clients = [watched(1000), watched(1000)] as const;
    let current = clients[0];
    const watch = watchTransfer(
      timings,
      () => current,
      () => Promise.resolve(),
    );
    await expect.poll(() => clients[0].pings).toBeGreaterThan(0);

    current = clients[1];

    await expect.poll(() => clients[1].pings).toBeGreaterThan(0);
    await watch.stop();
  });

  it('ends what is under way when it is stopped, and does nothing afterwards', async () => {
    let isEnded = false;
    const client = watched(1000);
    client.ping = (signal) => {
      client.pings++;
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          isEnded = true;
          reject(new Error('aborted'));
        });
      });
    };
    const watch = watchTransfer(
      timings,
      () => client,
      () => Promise.resolve(),
    );
    await expect.poll(() => client.pings).toBe(1);

    await watch.stop();

    expect(isEnded).toBe(true);
    expect(client.pings).toBe(1);
  });
});
