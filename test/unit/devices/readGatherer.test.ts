import { describe, expect, it } from 'vitest';
import { ReadGatherer, readsPerRequest } from '../../../src/devices/readGatherer.ts';
import { MIB } from '../../../src/core/units.ts';

const { signal } = new AbortController();

interface Asked {
  readonly offsetBytes: number;
  readonly sizes: readonly number[];
  readonly end: (countBytes?: number) => void;
  readonly fail: (error: Error) => void;
}

/** A server that answers when the test tells it to. */
function makeServer(connections: number): { gatherer: ReadGatherer; asked: Asked[] } {
  const asked: Asked[] = [];
  const gatherer = new ReadGatherer(async (targets, offsetBytes) => {
    const sizes = targets.map(({ bytes }) => bytes.length);
    const all = sizes.reduce((sum, length) => sum + length, 0);
    return await new Promise((resolve, fail) => {
      const end = (receivedBytes = all): void => {
        resolve({ receivedBytes, fingerprints: sizes.map((_, k) => BigInt(offsetBytes + k)) });
      };
      asked.push({ offsetBytes, sizes, fail, end });
    });
  }, connections);
  return { gatherer, asked };
}

async function read(
  gatherer: ReadGatherer,
  lengthBytes: number,
  offsetBytes: number,
  by = signal,
): Promise<number> {
  const target = { bytes: Buffer.alloc(lengthBytes) };
  return (await gatherer.read(target, offsetBytes, by)).actualBytes;
}

function readAll(gatherer: ReadGatherer, offsets: readonly number[]): Promise<number>[] {
  return offsets.map((offset) => read(gatherer, 10, offset));
}

const shapesOf = (asked: readonly Asked[]): unknown[] =>
  asked.map(({ offsetBytes, sizes }) => [offsetBytes, sizes.length]);

describe('reads', () => {
  it('are sent at once while a connection is free', () => {
    const { gatherer, asked } = makeServer(3);

    void readAll(gatherer, [0, 10, 20]);

    expect(shapesOf(asked)).toEqual([
      [0, 1],
      [10, 1],
      [20, 1],
    ]);
  });

  it('that wait become one request as far as they are adjacent', async () => {
    const { gatherer, asked } = makeServer(1);
    const reads = readAll(gatherer, [0, 10, 20, 40, 50, 30]);

    for (let k = 0; k < 4; k++) {
      asked[k]?.end();
      await expect.poll(() => asked.length).toBe(Math.min(k + 2, 4));
    }

    expect(await Promise.all(reads)).toEqual([10, 10, 10, 10, 10, 10]);
    expect(shapesOf(asked)).toEqual([
      [0, 1],
      [10, 2],
      [40, 2],
      [30, 1],
    ]);
  });

  it('make requests of 4 MiB at most, or of one read that is longer', async () => {
    const { gatherer, asked } = makeServer(1);
    const readMib = (fromMib: number, mib: number): Promise<number> =>
      read(gatherer, mib * MIB, fromMib * MIB);
    const reads = [readMib(90, 1), readMib(0, 3), readMib(3, 1), readMib(4, 1), readMib(5, 6)];

    for (let k = 0; k < 4; k++) {
      await expect.poll(() => asked.length).toBe(k + 1);
      asked[k]?.end();
    }

    await Promise.all(reads);
    expect(shapesOf(asked.slice(1))).toEqual([
      [0, 2],
      [4 * MIB, 1],
      [5 * MIB, 1],
    ]);
    expect([MIB, 3 * MIB, 8 * MIB].map(readsPerRequest)).toEqual([4, 1, 1]);
  });

  it('of different owners are not put together', async () => {
    const { gatherer, asked } = makeServer(1);
    const other = new AbortController().signal;
    void readAll(gatherer, [0]);
    void read(gatherer, 10, 10);
    void read(gatherer, 10, 20, other);

    asked[0]?.end();
    await expect.poll(() => asked.length).toBe(2);

    expect(shapesOf(asked.slice(1))).toEqual([[10, 1]]);
  });

  it('of a request that ends early get what there was', async () => {
    const { gatherer, asked } = makeServer(1);
    const [first, ...rest] = readAll(gatherer, [0, 10, 20, 30]);
    asked[0]?.end();
    await first;

    asked[1]?.end(13);

    expect(await Promise.all(rest)).toEqual([10, 3, 0]);
  });

  it('of a request that fails fail with it, and the next ones are sent', async () => {
    const { gatherer, asked } = makeServer(1);
    const [first, ...rest] = readAll(gatherer, [0, 10, 20]);
    const last = read(gatherer, 10, 99);
    asked[0]?.end();
    await first;

    asked[1]?.fail(new Error('cut'));

    for (const read of rest) await expect(read).rejects.toThrow('cut');
    await expect.poll(() => asked.length).toBe(3);
    asked[2]?.end();
    expect(await last).toBe(10);
  });

  it('get the fingerprint of their own part of a request', async () => {
    const { gatherer, asked } = makeServer(1);
    const fingerprintAt = async (offset: number): Promise<bigint | undefined> =>
      (await gatherer.read({ bytes: Buffer.alloc(10) }, offset, signal)).fingerprint;
    const reads = [fingerprintAt(0), fingerprintAt(10), fingerprintAt(20)];
    asked[0]?.end();
    await reads[0];
    asked[1]?.end();

    expect(await Promise.all(reads)).toEqual([0n, 10n, 11n]);
  });
});
