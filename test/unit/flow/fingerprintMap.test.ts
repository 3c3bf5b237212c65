import { describe, expect, test } from 'vitest';
import { FINGERPRINT_BYTES } from '../../../src/compute/kernels/slabFingerprints.ts';
import { FingerprintMap, isUnchanged, type ParentDisk } from '../../../src/flow/fingerprintMap.ts';

/** Indexes far enough apart to lie on different pages. */
const FAR = [0, 511, 512, 5_000, 2 ** 33];

function mapOf(indexes: readonly number[]): FingerprintMap {
  const map = new FingerprintMap();
  for (const index of indexes) map.set(index, BigInt(index) + 1n);
  return map;
}

describe('a fingerprint map', () => {
  test('gives back what was set', () => {
    const map = mapOf(FAR);

    expect(FAR.map((index) => map.get(index))).toEqual(FAR.map((index) => BigInt(index) + 1n));
  });

  test('has zero where nothing was set', () => {
    expect(mapOf(FAR).get(100)).toBe(0n);
  });

  test('keeps all 64 bits', () => {
    const map = new FingerprintMap();

    map.set(3, 2n ** 64n - 1n);

    expect(map.get(3)).toBe(2n ** 64n - 1n);
  });

  test('forgets a block that becomes zero', () => {
    const map = mapOf([7]);

    map.set(7, 0n);

    expect([...map.nonZeroIn(0, 100)]).toEqual([]);
  });

  test('names the blocks with data in ascending order', () => {
    const map = mapOf([2 ** 33, 5, 600, 0]);

    expect([...map.nonZeroIn(0, 2 ** 34)]).toEqual([0, 5, 600, 2 ** 33]);
  });

  test('names blocks inside the range only', () => {
    expect([...mapOf(FAR).nonZeroIn(511, 5_000)]).toEqual([511, 512]);
  });

  test('names nothing in an empty range', () => {
    expect([...mapOf(FAR).nonZeroIn(512, 512)]).toEqual([]);
  });

  test('clears a range and nothing beside it', () => {
    const map = mapOf(FAR);

    map.clear(511, 5_000);

    expect([...map.nonZeroIn(0, 2 ** 34)]).toEqual([0, 5_000, 2 ** 33]);
  });
});

describe('a clone', () => {
  test('does not see later writes to the original', () => {
    const map = mapOf([1]);
    const clone = map.clone();

    map.set(1, 9n);

    expect([clone.get(1), map.get(1)]).toEqual([2n, 9n]);
  });

  test('does not write into the original', () => {
    const map = mapOf([1]);
    const clone = map.clone();

    clone.clear(0, 10);
    clone.set(700, 4n);

    expect([map.get(1), map.get(700)]).toEqual([2n, 0n]);
  });

  test('of a clone stays apart from both', () => {
    const map = mapOf([1]);
    const clone = map.clone();
    const second = clone.clone();

    clone.set(1, 5n);
    second.set(1, 6n);

    expect([map.get(1), clone.get(1), second.get(1)]).toEqual([2n, 5n, 6n]);
  });
});

describe('the stored form', () => {
  test('is a little-endian array', () => {
    const map = new FingerprintMap();
    map.set(11, 0x0102030405060708n);
    const stored = Buffer.alloc(2 * FINGERPRINT_BYTES, 0xff);

    map.encodeInto(stored, 10);

    expect(stored.toString('hex')).toBe('00000000000000000807060504030201');
  });

  test('says whether there is anything in it', () => {
    const stored = Buffer.alloc(4 * FINGERPRINT_BYTES);
    const map = mapOf([5]);

    expect([map.encodeInto(stored, 0), map.encodeInto(stored, 4)]).toEqual([false, true]);
  });

  test('reads back as the same map', () => {
    const map = mapOf([0, 3, 511, 512, 1_000]);
    const stored = Buffer.alloc(1_024 * FINGERPRINT_BYTES);
    map.encodeInto(stored, 0);

    const copy = new FingerprintMap();
    copy.decodeFrom(stored, 0);

    const all = Array.from({ length: 1_024 }, (_, index) => index);
    expect(all.map((index) => copy.get(index))).toEqual(all.map((index) => map.get(index)));
  });

  test('reads from an odd place in a larger buffer', () => {
    const stored = Buffer.alloc(1 + FINGERPRINT_BYTES);
    stored.writeBigUInt64LE(77n, 1);
    const map = new FingerprintMap();

    map.decodeFrom(stored.subarray(1), 600);

    expect(map.get(600)).toBe(77n);
  });
});

describe('isUnchanged', () => {
  const blockSizeBytes = 4096;
  const parent: ParentDisk = { sizeBytes: 4096 + 512, fingerprints: new FingerprintMap() };
  parent.fingerprints.set(0, 5n);
  parent.fingerprints.set(1, 6n);

  test.each([
    ['the same fingerprint and length', 0, 5n, 4096, true],
    ['another fingerprint', 0, 6n, 4096, false],
    ['the same fingerprint over a shorter block', 0, 5n, 512, false],
    ['a short tail that is still the tail', 1, 6n, 512, true],
    ['a short tail of a disk that has grown', 1, 6n, 4096, false],
    ['zero where the parent has data', 0, 0n, 4096, false],
    ['data where the parent has zero', 2, 5n, 4096, false],
    ['zero where the parent has zero', 2, 0n, 4096, true],
  ])('%s', (_title, index, fingerprint, lengthBytes, expected) => {
    expect(isUnchanged(parent, index, fingerprint, lengthBytes, blockSizeBytes)).toBe(expected);
  });
});
