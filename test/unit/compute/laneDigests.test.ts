import { array, assert, constantFrom, integer, nat, oneof, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import {
  type DigestJob,
  LaneDigests,
  MAX_LANES,
  TAIL_BYTES,
} from '../../../src/compute/kernels/laneDigests.ts';
import { compileSlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { wasm } from '../../../src/compute/kernels/wasm.ts';
import { noise } from '../../helpers/diskImage.ts';
import { brokenKernel, md5 } from '../../helpers/kernels.ts';

const DIGEST_BYTES = 16;
const RECORD_BYTES = DIGEST_BYTES + TAIL_BYTES;
const SLOT_BYTES = MIB + 4096;
const SLOT_COUNT = 9;
const FIRST_SLOT = 65_536;
const PAGES = Math.ceil((FIRST_SLOT + SLOT_COUNT * SLOT_BYTES) / 65_536);
/**
 * Lengths around the ends of chunks, and around the last byte that leaves room for the length in a
 * chunk.
 */
const EDGE_LENGTHS = [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 4095, 4096];

const kernel = compileSlabKernels().md5;
const broken = await brokenKernel();
const memory = new wasm.Memory({ initial: PAGES, maximum: PAGES, shared: true });
const bytes = Buffer.from(memory.buffer);
const content = noise(7, PAGES * 65_536);

interface Block {
  readonly slot: number;
  readonly lengthBytes: number;
}

/** Each block has its own slot, so that no two jobs share a record. */
function blocksOf(lengths: readonly number[], firstSlot = 0): Block[] {
  return lengths.map((lengthBytes, k) => ({ slot: (firstSlot + k) % SLOT_COUNT, lengthBytes }));
}

function jobOf({ slot, lengthBytes }: Block): DigestJob {
  return {
    sourceOffset: FIRST_SLOT + slot * SLOT_BYTES,
    sourceBytes: lengthBytes,
    digestOffset: slot * RECORD_BYTES,
    tailOffset: slot * RECORD_BYTES + DIGEST_BYTES,
  };
}

/** Digests of the blocks, as `digests` leaves them in the memory. */
function digestsOf(digests: LaneDigests, blocks: readonly Block[]): string[] {
  bytes.set(content);
  const jobs = blocks.map(jobOf);
  digests.run(jobs);
  return jobs.map(({ digestOffset }) =>
    bytes.toString('hex', digestOffset, digestOffset + DIGEST_BYTES),
  );
}

function expectedOf(blocks: readonly Block[]): string[] {
  return blocks.map(jobOf).map(({ sourceOffset, sourceBytes }) => {
    return md5(content.subarray(sourceOffset, sourceOffset + sourceBytes));
  });
}

describe.each([
  ['with the kernel', kernel],
  ['without a kernel', undefined],
])('digests %s', (_title, module) => {
  const digests = new LaneDigests(memory, module);

  test.each(EDGE_LENGTHS)('of eight blocks of %d bytes are those of node:crypto', (lengthBytes) => {
    const blocks = blocksOf(Array.from({ length: MAX_LANES }, () => lengthBytes));

    expect(digestsOf(digests, blocks)).toEqual(expectedOf(blocks));
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])('of %d whole blocks are right', (count) => {
    const blocks = blocksOf(Array.from({ length: count }, () => MIB));

    expect(digestsOf(digests, blocks)).toEqual(expectedOf(blocks));
  });

  test('of whole blocks and the odd tail of a disk are right', () => {
    const blocks = blocksOf([MIB, MIB, MIB + 513, MIB, 1, MIB, 77_777, MIB]);

    expect(digestsOf(digests, blocks)).toEqual(expectedOf(blocks));
  });

  test('of no blocks change nothing', () => {
    bytes.set(content);

    digests.run([]);

    expect(bytes.equals(content)).toBe(true);
  });

  test('of blocks of any lengths in any slots are right', () => {
    const lengthBytes = oneof(
      constantFrom(...EDGE_LENGTHS),
      integer({ min: 0, max: 9000 }),
      constantFrom(MIB - 1, MIB, MIB + 511),
    );
    assert(
      property(
        array(lengthBytes, { minLength: 1, maxLength: MAX_LANES }),
        nat({ max: SLOT_COUNT - 1 }),
        (lengths, firstSlot) => {
          const blocks = blocksOf(lengths, firstSlot);
          expect(digestsOf(digests, blocks)).toEqual(expectedOf(blocks));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('write nothing but the records of their jobs', () => {
    const blocks = blocksOf([100, 5000, 64, 0, 4096], 3);

    digestsOf(digests, blocks);

    const isOwn = (offset: number): boolean =>
      blocks.some(({ slot }) => Math.floor(offset / RECORD_BYTES) === slot);
    const changed = Array.from({ length: FIRST_SLOT }, (_, offset) => offset).filter(
      (offset) => bytes[offset] !== content[offset],
    );
    expect(changed.every(isOwn)).toBe(true);
    expect(bytes.subarray(FIRST_SLOT).equals(content.subarray(FIRST_SLOT))).toBe(true);
  });

  test('refuse more blocks than there are lanes', () => {
    const blocks = blocksOf(Array.from({ length: MAX_LANES + 1 }, () => 10));

    expect(() => digestsOf(digests, blocks)).toThrow('more blocks than lanes');
  });
});

describe('a broken kernel', () => {
  const digests = new LaneDigests(memory, broken);

  test.each([2, 4, 5, 8])('is seen in every digest of %d blocks', (count) => {
    const blocks = blocksOf(Array.from({ length: count }, (_, k) => 4096 + k));

    const found = digestsOf(digests, blocks);

    const expected = expectedOf(blocks);
    expect(found.filter((digest, k) => digest === expected[k])).toEqual([]);
  });

  test.each([
    ['a lone block', [MIB]],
    ['blocks of which one is much longer than all others', [MIB, 4096, 100]],
  ])('is not asked for %s', (_title, lengths) => {
    const blocks = blocksOf(lengths);

    expect(digestsOf(digests, blocks)).toEqual(expectedOf(blocks));
  });
});
