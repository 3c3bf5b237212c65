import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHECKSUM_BLOCK_BYTES,
  ImageChecksumBuilder,
} from '../../../src/ovirt/imageio/imageChecksum.ts';
import { KIB, MIB } from '../../helpers/images.ts';
import { noise } from '../../helpers/random.ts';

/** The way of imageio: hash each block of the image, then hash the hashes. */
function naiveChecksum(image: Uint8Array): string {
  const outer = createHash('sha256');
  for (let at = 0; at < image.length; at += CHECKSUM_BLOCK_BYTES) {
    const block = image.subarray(at, at + CHECKSUM_BLOCK_BYTES);
    outer.update(createHash('sha256').update(block).digest());
  }
  return outer.digest('hex');
}

const NOISE = noise(1, 6 * MIB);
/** Many sizes are close to the edge of a block. */
const size = fc.oneof(
  fc.integer({ min: 1, max: 9 * MIB }),
  fc.constantFrom(1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB),
);
const step = fc.record({
  gapBytes: fc.oneof(fc.constant(0), fc.nat(5 * MIB), fc.constant(4 * MIB)),
  lengthBytes: fc.oneof(fc.nat(300 * KIB), fc.nat(6 * MIB), fc.constant(4 * MIB)),
  isZero: fc.boolean(),
});

describe('the checksum of an image', () => {
  it('is that of imageio for any ascending writes', () => {
    fc.assert(
      fc.property(size, fc.array(step, { maxLength: 6 }), (sizeBytes, steps) => {
        const image = Buffer.alloc(sizeBytes);
        const builder = new ImageChecksumBuilder();
        let at = 0;
        for (const { gapBytes, lengthBytes, isZero } of steps) {
          at = Math.min(at + gapBytes, sizeBytes);
          const end = Math.min(at + lengthBytes, sizeBytes);
          const bytes = isZero ? Buffer.alloc(end - at) : NOISE.subarray(0, end - at);
          bytes.copy(image, at);
          builder.update(at, bytes);
          at = end;
        }

        expect(builder.finish(sizeBytes)).toBe(naiveChecksum(image));
      }),
      { numRuns: 40 },
    );
  });

  it.each([0, 1, 4 * MIB, 4 * MIB + 1, 12 * MIB])(
    'of %i B of zeros needs no write',
    (sizeBytes) => {
      expect(new ImageChecksumBuilder().finish(sizeBytes)).toBe(
        naiveChecksum(Buffer.alloc(sizeBytes)),
      );
    },
  );

  it('tells images apart that differ in one byte', () => {
    const sums = [0, 1].map((value) => {
      const builder = new ImageChecksumBuilder();
      builder.update(5 * MIB, Buffer.from([value]));
      return builder.finish(6 * MIB);
    });

    expect(new Set(sums).size).toBe(2);
  });
});
