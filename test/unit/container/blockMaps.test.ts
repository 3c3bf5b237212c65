import { describe, expect, it } from 'vitest';
import { FileMap, PatchList } from '../../../src/container/write/blockMaps.ts';
import { ZERO_BLOCK_ID } from '../../../src/container/format/records.ts';
import { expectCode } from '../../helpers/codes.ts';

describe('FileMap', () => {
  it('gives the block id that was set', () => {
    const map = new FileMap();
    map.set(0, 0);
    map.set(1087, 8);
    map.set(5000, 7);

    expect([0, 1087, 5000].map((index) => map.blockIdAt(index))).toEqual([0, 8, 7]);
  });

  it('reads blocks that were not set as zeros', () => {
    const map = new FileMap();
    map.set(3, 1);
    map.setZero(4, 10);

    expect([2, 4, 99_999].map((index) => map.blockIdAt(index))).toEqual(
      Array(3).fill(ZERO_BLOCK_ID),
    );
  });

  it('calls only tables without any block sparse', () => {
    const map = new FileMap();
    map.set(1088, 1);
    map.setZero(2176, 1088);

    expect([0, 1, 2].map((table) => map.isSparseTable(table))).toEqual([true, false, true]);
  });
});

describe('PatchList', () => {
  it('keeps records over several chunks', () => {
    const patches = new PatchList();
    for (let k = 0; k < 10_000; k++) patches.set(3 * k, 2 * k);

    expect(patches.count).toBe(10_000);
    expect([4095, 4096, 9999].map((k) => [patches.indexOf(k), patches.blockIdOf(k)])).toEqual([
      [12_285, 8190],
      [12_288, 8192],
      [29_997, 19_998],
    ]);
  });

  it('keeps an index above 2^32', () => {
    const patches = new PatchList();
    patches.set(2 ** 40, 1);

    expect(patches.indexOf(0)).toBe(2 ** 40);
  });

  it('records every block of a run of zeros', () => {
    const patches = new PatchList();
    patches.setZero(5, 3);

    expect([0, 1, 2].map((k) => patches.indexOf(k))).toEqual([5, 6, 7]);
    expect([0, 1, 2].map((k) => patches.blockIdOf(k))).toEqual(Array(3).fill(ZERO_BLOCK_ID));
  });

  it.each([4, 5])('refuses index %i behind index 5', async (index) => {
    const patches = new PatchList();
    patches.set(5, 0);

    await expectCode(() => patches.set(index, 1), 'INTERNAL_INVARIANT');
  });
});
