import { assert, integer, nat, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import {
  FINGERPRINT_STATE_BYTES,
  SlabFingerprints,
} from '../../../src/compute/kernels/slabFingerprints.ts';
import { compileSlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { wasm } from '../../../src/compute/kernels/wasm.ts';
import { noise } from '../../helpers/diskImage.ts';

const PAGES = 4;
const MEMORY_BYTES = PAGES * 65_536;
const STATE_OFFSET = 64;
const FIRST_SOURCE = STATE_OFFSET + FINGERPRINT_STATE_BYTES;
/** Lengths around whole stripes of 32 bytes, and around the words of 8 and 4 bytes of a tail. */
const EDGE_LENGTHS = [0, 1, 3, 4, 5, 7, 8, 9, 12, 31, 32, 33, 36, 39, 40, 44, 63, 64, 65, 95, 127];

const codecs = await createBlockCodecs();
const memory = new wasm.Memory({ initial: PAGES, maximum: PAGES, shared: true });
const bytes = Buffer.from(memory.buffer);
bytes.set(noise(3, MEMORY_BYTES));

/** Result of xxhash-wasm for the same bytes. */
function expected(sourceOffset: number, lengthBytes: number): bigint {
  return codecs.fingerprint(bytes.subarray(sourceOffset, sourceOffset + lengthBytes));
}

describe.each([
  ['the kernel', compileSlabKernels().xxh64],
  ['xxhash-wasm', undefined],
])('fingerprints in the slab by %s', (_title, module) => {
  const fingerprints = new SlabFingerprints(memory, module, codecs);

  test.each(EDGE_LENGTHS)('are those of xxhash-wasm for %d bytes', (lengthBytes) => {
    const fingerprint = fingerprints.of(FIRST_SOURCE, lengthBytes, STATE_OFFSET);

    expect(fingerprint).toBe(expected(FIRST_SOURCE, lengthBytes));
  });

  test('are those of xxhash-wasm for blocks of any length at any place', () => {
    const place = nat(1000).map((at) => FIRST_SOURCE + at);

    assert(
      property(place, nat(MEMORY_BYTES - FIRST_SOURCE - 1000), (sourceOffset, lengthBytes) => {
        const fingerprint = fingerprints.of(sourceOffset, lengthBytes, STATE_OFFSET);

        expect(fingerprint).toBe(expected(sourceOffset, lengthBytes));
      }),
    );
  });

  test('do not depend on the pieces in which a block comes', () => {
    assert(
      property(integer({ min: 1, max: 64 }), nat(5000), (stripes, lengthBytes) => {
        const running = fingerprints.start(STATE_OFFSET);
        for (let at = 0; at < lengthBytes; at += stripes * 32) {
          running.take(FIRST_SOURCE + at, Math.min(stripes * 32, lengthBytes - at));
        }

        expect(running.finish()).toBe(expected(FIRST_SOURCE, lengthBytes));
      }),
    );
  });
});

describe('a fingerprint by the kernel', () => {
  test('is another one for a kernel that starts from another state', () => {
    const { xxh64 } = compileSlabKernels();
    const fingerprints = new SlabFingerprints(memory, xxh64, codecs);
    const running = fingerprints.start(STATE_OFFSET);
    bytes[STATE_OFFSET] = (bytes[STATE_OFFSET] ?? 0) ^ 1;
    running.take(FIRST_SOURCE, 320);

    expect(running.finish()).not.toBe(expected(FIRST_SOURCE, 320));
  });
});
