/** The choice of the blocks that an audit reads. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { type BlockSpan, sampleBlocks } from '../../../src/sessions/backup/auditDisk.ts';

const spansArbitrary = fc
  .array(fc.record({ gap: fc.nat(5), length: fc.integer({ min: 1, max: 50 }) }), { maxLength: 20 })
  .map((parts) => {
    const spans: BlockSpan[] = [];
    let at = 0;
    for (const { gap, length } of parts) {
      spans.push({ index: at + gap, endIndex: at + gap + length });
      at += gap + length;
    }
    return spans;
  });

function indexesOf(spans: readonly BlockSpan[]): number[] {
  return spans.flatMap(({ index, endIndex }) =>
    Array.from({ length: endIndex - index }, (_, k) => index + k),
  );
}

test('a sample is of the wanted size, ascends, and stays inside the spans', () => {
  fc.assert(
    fc.property(
      spansArbitrary,
      fc.double({ min: 0.001, max: 1, noNaN: true }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999_999, noNaN: true })),
      (spans, ratio, numbers) => {
        const all = indexesOf(spans);

        const sample = [...sampleBlocks(spans, ratio, () => numbers.next().value)];

        expect(sample).toHaveLength(Math.min(all.length, Math.ceil(all.length * ratio)));
        expect(sample).toEqual([...new Set(sample)].toSorted((a, b) => a - b));
        expect(sample.filter((index) => !all.includes(index))).toEqual([]);
      },
    ),
  );
});

test('a sample of everything is everything', () => {
  const spans = [
    { index: 3, endIndex: 5 },
    { index: 9, endIndex: 10 },
  ];

  expect([...sampleBlocks(spans, 1, () => 0.999)]).toEqual([3, 4, 9]);
});

test('every block can be picked', () => {
  const seen = new Set<number>();
  for (let k = 0; k < 100; k++) {
    for (const index of sampleBlocks([{ index: 0, endIndex: 10 }], 0.1, () => k / 100)) {
      seen.add(index);
    }
  }

  expect(seen.size).toBe(10);
});
