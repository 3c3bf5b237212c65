import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RangeSet } from '../../../lab/src/disks/rangeSet.ts';

const LIMIT = 40;

const step = fc.record({
  isAdd: fc.boolean(),
  start: fc.nat(LIMIT),
  length: fc.nat(8),
});

describe('RangeSet', () => {
  test('is a plain set of numbers, kept as few disjoint ranges that do not touch', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const ranges = new RangeSet();
        const model = new Set<number>();
        for (const { isAdd, start, length } of steps) {
          if (isAdd) ranges.add(start, start + length);
          else ranges.remove(start, start + length);
          for (let value = start; value < start + length; value++) {
            if (isAdd) model.add(value);
            else model.delete(value);
          }
        }
        const all = Array.from({ length: LIMIT + 10 }, (_, value) => value);
        expect(all.filter((value) => ranges.has(value))).toEqual(all.filter((v) => model.has(v)));
        expect(ranges.count).toBe(model.size);
        const list = [...ranges];
        for (const [at, { start, end }] of list.entries()) {
          expect(end).toBeGreaterThan(start);
          expect(start).toBeGreaterThan(list[at - 1]?.end ?? -1);
        }
      }),
    );
  });

  test('unites sets and leaves them as they were', () => {
    const one = new RangeSet();
    one.add(0, 2);
    const other = new RangeSet();
    other.add(1, 5);
    other.add(9, 10);
    const union = RangeSet.union([one, other]);
    const copy = union.clone();
    union.add(5, 9);

    expect([...union]).toEqual([{ start: 0, end: 10 }]);
    expect([...copy]).toEqual([
      { start: 0, end: 5 },
      { start: 9, end: 10 },
    ]);
    expect([...one]).toEqual([{ start: 0, end: 2 }]);
  });

  test('holds a range of any length in one entry', () => {
    const ranges = new RangeSet();
    ranges.add(0, 2 ** 50);
    ranges.remove(7, Number.POSITIVE_INFINITY);

    expect([...ranges]).toEqual([{ start: 0, end: 7 }]);
  });
});
