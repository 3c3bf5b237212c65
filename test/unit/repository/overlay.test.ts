import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Overlay } from '../../../src/repository/overlay.ts';

describe('Overlay', () => {
  test('knows nothing at first', () => {
    const overlay = new Overlay();

    expect(overlay.get(0)).toBeUndefined();
    expect([...overlay.entries()]).toEqual([]);
  });

  test('tells zeros from the first stored block', () => {
    const overlay = new Overlay();

    overlay.set(3, 1, -1);
    overlay.set(4, 1, 0);

    expect(overlay.get(3)).toEqual({ index: 3, pointIndex: 1, blockId: -1 });
    expect(overlay.get(4)).toEqual({ index: 4, pointIndex: 1, blockId: 0 });
  });

  test('keeps the newest record of each block, in ascending order', () => {
    const record = fc.tuple(fc.nat(5000), fc.nat(300), fc.integer({ min: -1, max: 2 ** 31 }));
    fc.assert(
      fc.property(fc.array(record), fc.nat(6000), fc.nat(6000), (records, from, to) => {
        const overlay = new Overlay();
        const expected = new Map<number, unknown>();
        for (const [index, pointIndex, blockId] of records) {
          overlay.set(index, pointIndex, blockId);
          expected.set(index, { index, pointIndex, blockId });
        }

        const ascending = [...expected.entries()].toSorted(([a], [b]) => a - b);
        expect([...overlay.entries()]).toEqual(ascending.map(([, entry]) => entry));
        const inside = ascending.filter(([index]) => index >= from && index < to);
        expect([...overlay.entries(from, to)]).toEqual(inside.map(([, entry]) => entry));
      }),
    );
  });
});
