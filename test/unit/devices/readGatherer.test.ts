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
    const sizes = targets.map(({ length }) => length);
    const all = sizes.reduce((sum, length) => sum + length, 0);
    return await new Promise((resolve, fail) => {
      asked.push({ offsetBytes, sizes, fail, end: (countBytes = all) => resolve(countBytes) });
    });
  }, connections);
  return { gatherer, asked };
}

function readAll(gatherer: ReadGatherer, offsets: readonly number[]): Promise<number>[] {
  return offsets.map((offset) => gatherer.readInto(Buffer.alloc(10), offset, signal));
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
    const read = (fromMib: number, mib: number): Promise<number> =>
      gatherer.readInto(Buffer.alloc(mib * MIB), fromMib * MIB, signal);
    const reads = [read(90, 1), read(0, 3), read(3, 1), read(4, 1), read(5, 6)];

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
    void gatherer.readInto(Buffer.alloc(10), 10, signal);
    void gatherer.readInto(Buffer.alloc(10), 20, other);

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
    const last = gatherer.readInto(Buffer.alloc(10), 99, signal);
    asked[0]?.end();
    await first;

    asked[1]?.fail(new Error('cut'));

    for (const read of rest) await expect(read).rejects.toThrow('cut');
    await expect.poll(() => asked.length).toBe(3);
    asked[2]?.end();
    expect(await last).toBe(10);
  });
});
