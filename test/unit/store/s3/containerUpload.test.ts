/** Containers on their way into a bucket. */
import { describe, expect, it } from 'vitest';
import { MIB } from '../../../../src/core/units.ts';
import { ContainerUpload } from '../../../../src/store/s3/containerUpload.ts';
import { noise } from '../../../helpers/bytes/random.ts';
import { FakeUploads } from '../../../helpers/s3/fakeUploads.ts';

const PART_BYTES = 8 * MIB;
const DATA_START_BYTES = 1_052_672;

function start(fake: FakeUploads): ContainerUpload {
  return new ContainerUpload(fake, {
    key: 'vm/a.vbk',
    expectedBytes: undefined,
    retention: undefined,
    onPublished: () => {},
    withdraw: async () => {},
    onLeft: () => {},
  });
}

describe('an upload', () => {
  it('of a small container is one object', async () => {
    const fake = new FakeUploads(true);
    const { storage, publish } = bind(start(fake));
    await storage.write([Buffer.from('head')], 0);
    await storage.write([Buffer.from('data')], 10);
    await storage.sync();
    await storage.close();
    expect(fake.events).toEqual([]);

    await publish();

    expect(fake.events).toEqual(['put']);
    expect(fake.objects[0]).toEqual(Buffer.from('head\0\0\0\0\0\0data'));
  });

  it('sends part 1 last, and waits for the hole of a bank', async () => {
    const fake = new FakeUploads(true);
    const { storage, publish } = bind(start(fake));
    const content = noise(3, 5 * PART_BYTES + 77);
    content.fill(0, 4096, DATA_START_BYTES);
    const holeBytes = [3 * PART_BYTES - 2 * MIB, 3 * PART_BYTES + 3 * MIB] as const;
    const shared = new Uint8Array(new SharedArrayBuffer(holeBytes[0] - DATA_START_BYTES));
    shared.set(content.subarray(DATA_START_BYTES, holeBytes[0]));
    await storage.write([content.subarray(0, 4096)], 0);
    await storage.write([Buffer.alloc(1)], DATA_START_BYTES - 1);
    const middle = 2 * PART_BYTES + 5;
    await Promise.all([
      storage.write([shared.subarray(0, 9), shared.subarray(9, middle)], DATA_START_BYTES),
      storage.write([shared.subarray(middle)], DATA_START_BYTES + middle),
    ]);
    await storage.write([content.subarray(holeBytes[1])], holeBytes[1]);
    await storage.sync();
    expect(fake.order).not.toContain(3);
    await storage.write([content.subarray(...holeBytes)], holeBytes[0]);
    content.fill(5, 4096, 528_384);
    await storage.write([content.subarray(4096, 528_384)], 4096);
    await storage.sync();
    expect(fake.order).not.toContain(1);

    await storage.close();
    await publish();

    expect(fake.order.at(-1)).toBe(1);
    expect(fake.events).toEqual(['start', 'complete 1 2 3 4 5 6']);
    expect(fake.content.equals(content)).toBe(true);
  });

  it('bounds what is in flight and in memory', async () => {
    const fake = new FakeUploads(false);
    const { storage } = bind(start(fake));
    let peakBytes = 0;
    fake.onPart = () => {
      peakBytes = Math.max(peakBytes, storage.bufferedBytes);
    };
    const piece = new Uint8Array(32 * MIB);
    for (let k = 0; k < 12; k++) await storage.write([piece], k * piece.length);
    await storage.sync();
    await storage.close();

    expect(fake.peakInFlight).toBe(4);
    // In flight, part 1, one part that is filled, one spare.
    expect(peakBytes).toBeLessThanOrEqual(32 * MIB + 3 * PART_BYTES);
    expect(fake.sentBytes).toBe(12 * piece.length);
  });

  it('does not send the rest of a container that is not complete', async () => {
    const fake = new FakeUploads(true);
    const { storage, discard } = bind(start(fake));
    await storage.write([new Uint8Array(PART_BYTES + 5)], PART_BYTES - 1);
    await storage.close();
    await discard();

    expect(fake.order).toEqual([2]);
    expect(fake.events).toEqual(['start', 'abort with 0 in flight']);
  });

  it('fails with its first error, and can be discarded then', async () => {
    const fake = new FakeUploads(true);
    const { storage, discard, publish } = bind(start(fake));
    fake.onPart = () => {
      throw new Error('no more');
    };
    await storage.write([new Uint8Array(3 * PART_BYTES)], 0);

    await expect(publish()).rejects.toThrow('no more');
    await expect(storage.write([new Uint8Array(1)], 0)).rejects.toThrow('no more');
    await expect(storage.sync()).rejects.toThrow('no more');
    await discard();
    expect(fake.events).toEqual(['start', 'abort with 0 in flight']);
  });

  it('refuses a write into a part that is gone', async () => {
    const { storage } = bind(start(new FakeUploads(true)));
    await storage.write([new Uint8Array(PART_BYTES)], PART_BYTES);

    await expect(storage.write([new Uint8Array(1)], PART_BYTES + 1)).rejects.toThrow(/part 2 was/);
  });
});

function bind(upload: ContainerUpload): {
  storage: ContainerUpload['storage'];
  publish: () => Promise<void>;
  discard: () => Promise<void>;
} {
  return {
    storage: upload.storage,
    publish: () => upload.publish(),
    discard: () => upload.discard(),
  };
}
