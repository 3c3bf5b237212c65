/** Reads of a transfer: the limit of the rate is asked before each request. */
import { expect, it, vi } from 'vitest';
import { createTransferDevice } from '../../../src/devices/transferDevice.ts';
import type { ReadTarget } from '../../../src/ovirt/imageio/imageRanges.ts';
import type { DiskTransfer } from '../../../src/ovirt/lifecycle/transfer.ts';

const BLOCK_BYTES = 1024;
const NEVER = new AbortController().signal;

/** A transfer over one connection, which tells the order of things. */
function transferOf(log: string[]): DiskTransfer {
  const client = {
    connections: 1,
    read: async (targets: readonly ReadTarget[], offsetBytes: number) => {
      const lengthBytes = targets.reduce((sum, { bytes }) => sum + bytes.length, 0);
      log.push(`read ${lengthBytes} at ${offsetBytes}`);
      return { receivedBytes: lengthBytes, fingerprints: [] };
    },
  };
  const transfer = { client, use: async <T>(work: (of: typeof client) => T) => await work(client) };
  return transfer as unknown as DiskTransfer;
}

it('waits for the bytes of each request, and gives the signal of the read', async () => {
  const log: string[] = [];
  const signals: AbortSignal[] = [];
  const device = createTransferDevice({
    transfer: transferOf(log),
    virtualSizeBytes: 4 * BLOCK_BYTES,
    extents: [],
    pace: async (bytes, signal) => {
      signals.push(signal);
      await Promise.resolve();
      log.push(`pass ${bytes}`);
    },
  });

  const reads = [0, 1, 2].map((k) =>
    device.readInto(new Uint8Array(BLOCK_BYTES), k * BLOCK_BYTES, NEVER),
  );
  await Promise.all(reads);

  expect(log).toEqual(['pass 1024', 'read 1024 at 0', 'pass 2048', 'read 2048 at 1024']);
  expect(signals).toEqual([NEVER, NEVER]);
});

it('asks nothing of the host when its wait is aborted', async () => {
  const log: string[] = [];
  const device = createTransferDevice({
    transfer: transferOf(log),
    virtualSizeBytes: BLOCK_BYTES,
    extents: [],
    pace: async () => {
      throw new Error('aborted');
    },
  });

  await expect(device.readInto(new Uint8Array(BLOCK_BYTES), 0, NEVER)).rejects.toThrow('aborted');
  expect(log).toEqual([]);
});

async function sleep(ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
}

it('tells the time in which reads only waited', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout'] });
  const client = {
    connections: 2,
    read: async () => {
      await sleep(300);
      return { receivedBytes: BLOCK_BYTES, fingerprints: [] };
    },
  };
  const use = async <T>(work: (of: typeof client) => T) => await work(client);
  const waits = [100, 1000];
  const device = createTransferDevice({
    transfer: { client, use } as unknown as DiskTransfer,
    virtualSizeBytes: 4 * BLOCK_BYTES,
    extents: [],
    pace: async () => await sleep(waits.shift() ?? 0),
  });
  const read = (index: number): Promise<number> =>
    device.readInto(new Uint8Array(BLOCK_BYTES), index * BLOCK_BYTES, NEVER);

  const reads = Promise.all([read(0), read(2)]);
  await vi.advanceTimersByTimeAsync(2000);
  await reads;
  vi.useRealTimers();

  // From 0 to 100 both wait; the read until 400 does not count; then one waits until 1000.
  expect(device.limitMs).toBe(700);
});
