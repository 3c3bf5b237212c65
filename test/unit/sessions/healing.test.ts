/** Damaged blocks become dirty in a change map. Nothing else changes. */
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Extent } from '../../../src/flow/records.ts';
import { FingerprintMap } from '../../../src/flow/fingerprintMap.ts';
import { withDamageDirty } from '../../../src/sessions/backup/parent/damagedPlaces.ts';

const BLOCK = 8;

function parent(...damaged: number[]): Parameters<typeof withDamageDirty>[1] {
  return { sizeBytes: 1000, fingerprints: new FingerprintMap(), damaged: new Set(damaged) };
}

/** One character per byte: `.` clean, `z` clean zero, `D` dirty, `Z` dirty zero. */
function bytesOf(extents: Iterable<Extent>): string {
  let text = '';
  for (const { offsetBytes, lengthBytes, zero, dirty } of extents) {
    expect(offsetBytes).toBe(text.length);
    expect(lengthBytes).toBeGreaterThan(0);
    text += (dirty ? (zero ? 'Z' : 'D') : zero ? 'z' : '.').repeat(lengthBytes);
  }
  return text;
}

const extentsArbitrary = fc
  .array(
    fc.record({
      lengthBytes: fc.integer({ min: 1, max: 30 }),
      zero: fc.boolean(),
      dirty: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((parts) => {
    let offsetBytes = 0;
    return parts.map((part): Extent => {
      const extent = { ...part, offsetBytes };
      offsetBytes += part.lengthBytes;
      return extent;
    });
  });

test('clean bytes of damaged blocks become dirty data, all others stay', () => {
  fc.assert(
    fc.property(extentsArbitrary, fc.uniqueArray(fc.nat(20)), (extents, damaged) => {
      const before = bytesOf(extents);

      const after = bytesOf(withDamageDirty(extents, parent(...damaged), BLOCK));

      const expected = Array.from(before, (state, at) => {
        const isClean = state === '.' || state === 'z';
        return isClean && damaged.includes(Math.floor(at / BLOCK)) ? 'D' : state;
      });
      expect(after).toBe(expected.join(''));
    }),
  );
});

test('without damage the extents are the same object', () => {
  const extents = [{ offsetBytes: 0, lengthBytes: 9, zero: false, dirty: false }];
  const { sizeBytes, fingerprints } = parent();

  expect(withDamageDirty(extents, { sizeBytes, fingerprints }, BLOCK)).toBe(extents);
});

test('the result can be gone through again', () => {
  const extents = [{ offsetBytes: 0, lengthBytes: 20, zero: false, dirty: false }];
  const healed = withDamageDirty(extents, parent(1), BLOCK);

  expect([bytesOf(healed), bytesOf(healed)]).toEqual(Array(2).fill('........DDDDDDDD....'));
});
