import { describe, expect, it } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { SequentialReads } from '../../../src/points/sequentialReads.ts';

const CACHE_BYTES = 64 * MIB;
const READ_BYTES = MIB / 4;

/** Reads `count` times in order from `fromBytes` on. @returns the ranges that were loaded ahead */
function readInOrder(reads: SequentialReads, fromBytes: number, count: number): [number, number][] {
  const ahead: [number, number][] = [];
  for (let k = 0; k < count; k++) {
    const range = { offsetBytes: fromBytes + k * READ_BYTES, lengthBytes: READ_BYTES };
    const next = reads.next(range);
    if (next) ahead.push([next.offsetBytes, next.offsetBytes + next.lengthBytes]);
  }
  return ahead;
}

describe('reads in order', () => {
  it('are recognised at the second read, and nothing is loaded twice', () => {
    const reads = new SequentialReads(MIB, CACHE_BYTES);

    const ahead = readInOrder(reads, 0, 100);

    expect(ahead[0]).toEqual([2 * READ_BYTES, 2 * READ_BYTES + 8 * MIB]);
    for (const [k, [from]] of ahead.entries()) {
      if (k > 0) expect(from).toBe(ahead[k - 1]?.[1]);
    }
    expect(ahead.at(-1)?.[1]).toBeGreaterThan(100 * READ_BYTES + 4 * MIB - READ_BYTES);
  });

  it('of several connections are followed at the same time', () => {
    const reads = new SequentialReads(MIB, CACHE_BYTES);
    const starts = [0, 128, 256, 384].map((mib) => mib * MIB);
    const found = new Set<number>();

    for (let k = 0; k < 8; k++) {
      for (const start of starts) {
        const range = { offsetBytes: start + k * READ_BYTES, lengthBytes: READ_BYTES };
        if (reads.next(range)) found.add(start);
      }
    }

    expect([...found]).toEqual(starts);
  });

  it('that jump load nothing ahead', () => {
    const reads = new SequentialReads(MIB, CACHE_BYTES);

    const ahead = Array.from({ length: 100 }, (_, k) =>
      reads.next({ offsetBytes: ((k * 37) % 100) * MIB, lengthBytes: 4096 }),
    );

    expect(ahead.every((range) => range === undefined)).toBe(true);
  });

  it('load at most half of the cache ahead, also with large blocks', () => {
    const reads = new SequentialReads(8 * MIB, CACHE_BYTES);

    const lengths = readInOrder(reads, 0, 200).map(([from, to]) => to - from);

    expect(Math.max(...lengths)).toBeLessThanOrEqual(CACHE_BYTES / 2);
  });

  it('load nothing ahead without a cache', () => {
    expect(readInOrder(new SequentialReads(MIB, 0), 0, 20)).toEqual([]);
  });
});
