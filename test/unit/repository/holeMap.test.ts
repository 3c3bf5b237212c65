/** Damaged blocks as joined ranges. */
import { expect, test } from 'vitest';
import * as fc from 'fast-check';
import { HoleMap } from '../../../src/repository/damage/holeMap.ts';

const CODES = ['INTEGRITY_CRC_MISMATCH', 'CHAIN_PARENT_MISSING'] as const;
/** Damaged blocks, each once, in any order. */
const damage = fc.uniqueArray(fc.record({ index: fc.nat(40), code: fc.constantFrom(...CODES) }), {
  selector: ({ index }) => index,
});

function mapOf(blocks: readonly { index: number; code: (typeof CODES)[number] }[]): HoleMap {
  const map = new HoleMap();
  for (const { index, code } of blocks) map.add(index, { code, message: `block ${index}` });
  return map;
}

test('holds each block in one range, joins neighbours, and is ascending', () => {
  fc.assert(
    fc.property(damage, (blocks) => {
      const { ranges, blockCount } = mapOf(blocks);

      const held = ranges.flatMap(({ first, end, code }) =>
        Array.from({ length: end - first }, (_, k) => ({ index: first + k, code })),
      );
      expect(held).toEqual(blocks.toSorted((a, b) => a.index - b.index));
      expect(blockCount).toBe(blocks.length);
      for (const [k, { end, code }] of ranges.entries()) {
        const next = ranges[k + 1];
        expect(next?.first === end && next.code === code).toBe(false);
      }
      expect(ranges.every(({ first, message }) => message === `block ${first}`)).toBe(true);
    }),
  );
});

test('finds the range of a block', () => {
  fc.assert(
    fc.property(damage, fc.nat(42), (blocks, index) => {
      const map = mapOf(blocks);

      const range = map.ranges.find(({ first, end }) => first <= index && index < end);
      expect(map.at(index)).toBe(range);
    }),
  );
});

test('a million damaged neighbours are one range', () => {
  const map = new HoleMap();
  const reason = { code: 'CHAIN_PARENT_MISSING', message: 'gone' } as const;

  for (let index = 0; index < 1_000_000; index++) map.add(index, reason);

  expect(map.ranges).toEqual([{ first: 0, end: 1_000_000, ...reason }]);
});
