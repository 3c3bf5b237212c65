/**
 * Chains of random points. Each way to read a point gives the image as it was backed up. Its
 * changes turn the point before it into this one.
 */
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { openRepository } from '../../src/points/openRepository.ts';
import type { ByteRange } from '../../src/points/pointTypes.ts';
import type { PointDisk } from '../../src/points/pointDisk.ts';
import { BLOCK_BYTES } from '../helpers/bytes/images.ts';
import { noise, prose } from '../helpers/bytes/random.ts';
import { makeFastFolder } from '../helpers/folders.ts';
import { longOr } from '../helpers/longForm.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';

const MAX_BLOCKS = 5;
const RUNS = longOr(40, 8);
const LIMIT_MS = 600_000;

const position = fc.oneof(
  fc.integer({ min: 0, max: MAX_BLOCKS * BLOCK_BYTES }),
  fc
    .tuple(fc.integer({ min: 0, max: MAX_BLOCKS }), fc.integer({ min: -1, max: 1 }))
    .map(([block, shift]) => Math.max(0, block * BLOCK_BYTES + shift)),
);
const edit = fc.record({
  fill: fc.constantFrom('noise', 'prose', 'zero'),
  seed: fc.integer({ min: 0, max: 3 }),
  offset: position,
  length: position,
});
const step = fc.record({
  edits: fc.array(edit, { maxLength: 3 }),
  /** Size of the image in sectors; undefined keeps it. */
  sectors: fc.option(fc.integer({ min: 1, max: (MAX_BLOCKS * BLOCK_BYTES) / 512 }), {
    nil: undefined,
    freq: 4,
  }),
});
const ranges = fc.array(fc.tuple(fc.nat(), fc.nat()), { minLength: 4, maxLength: 12 });
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function edited(image: Buffer, { edits, sectors }: Step): Buffer {
  const next = Buffer.alloc(sectors === undefined ? image.length : sectors * 512);
  image.copy(next);
  for (const { fill, seed, offset, length } of edits) {
    const end = Math.min(next.length, offset + length);
    if (end <= offset) continue;
    if (fill === 'zero') next.fill(0, offset, end);
    else next.set((fill === 'noise' ? noise : prose)(seed, end - offset), offset);
  }
  return next;
}

async function joined(pieces: AsyncIterable<unknown>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece as Buffer);
  return Buffer.concat(all);
}

/** All ways to read the whole disk agree. */
async function expectWhole(disk: PointDisk, image: Buffer): Promise<void> {
  expect(disk.virtualSizeBytes).toBe(image.length);
  expect((await joined(disk.createReadStream())).equals(image), 'stream').toBe(true);
  const rebuilt = Buffer.alloc(image.length);
  let lastOffset = -1;
  for await (const { offsetBytes, bytes } of disk.blocks()) {
    expect(offsetBytes).toBeGreaterThan(lastOffset);
    expect(bytes.some((byte) => byte !== 0)).toBe(true);
    rebuilt.set(bytes, offsetBytes);
    lastOffset = offsetBytes;
  }
  expect(rebuilt.equals(image), 'blocks').toBe(true);
  let at = 0;
  for await (const { offsetBytes, lengthBytes, zero } of disk.extents()) {
    expect(offsetBytes).toBe(at);
    at += lengthBytes;
    const range = image.subarray(offsetBytes, at);
    if (zero) expect(range.every((byte) => byte === 0)).toBe(true);
  }
  expect(at, 'extents cover the disk').toBe(image.length);
}

async function expectRanges(
  disk: PointDisk,
  image: Buffer,
  wanted: readonly (readonly [number, number])[],
): Promise<void> {
  const reads = wanted.map(async ([a, b], k) => {
    const offset = a % (image.length + 1);
    const length = b % (image.length - offset + 1);
    const range = { offsetBytes: offset, lengthBytes: length };
    const bytes =
      k % 3 === 0 ? await joined(disk.createReadStream(range)) : await disk.read(offset, length);
    const title = `${offset} + ${length} of ${image.length}`;
    expect(bytes.equals(image.subarray(offset, offset + length)), title).toBe(true);
    await expectExtents(disk, image, range);
  });
  await Promise.all(reads);
}

/** The extents of a range cover it exactly, and differ from their neighbours. */
async function expectExtents(disk: PointDisk, image: Buffer, range: ByteRange): Promise<void> {
  let at = range.offsetBytes;
  let wasZero: boolean | undefined;
  for await (const { offsetBytes, lengthBytes, zero } of disk.extents(range)) {
    expect([offsetBytes, lengthBytes > 0, zero !== wasZero]).toEqual([at, true, true]);
    at += lengthBytes;
    wasZero = zero;
    if (zero) expect(image.subarray(offsetBytes, at).every((byte) => byte === 0)).toBe(true);
  }
  expect(at).toBe(range.offsetBytes + range.lengthBytes);
}

/** The image before, with the changes of the point. */
async function expectChanges(disk: PointDisk, before: Buffer, image: Buffer): Promise<void> {
  const next = Buffer.alloc(image.length);
  before.copy(next);
  for await (const change of disk.changedBlocks()) {
    const { offsetBytes } = change;
    if (change.kind === 'block') next.set(change.bytes, offsetBytes);
    else next.fill(0, offsetBytes, offsetBytes + change.lengthBytes);
  }
  expect(next.equals(image), 'changes').toBe(true);
}

test(
  'each point of a random chain is read as it was, in every way',
  async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 4 }),
        ranges,
        fc.constantFrom(0, BLOCK_BYTES, 64 * 1024 * 1024),
        async (steps, wanted, cacheBytes) => {
          const folder = makeFastFolder('points');
          try {
            const images = await makeChain(folder, steps);
            await using repository = await openRepository(path.join(folder, 'repository'), {
              workers: 0,
              cacheBytes,
            });
            for (const [k, image] of images.entries()) {
              const disk = (await repository.point(VM, String(k + 1))).disk('image');
              await expectWhole(disk, image);
              await expectRanges(disk, image, wanted);
              await expectChanges(disk, images[k - 1] ?? Buffer.alloc(0), image);
            }
          } finally {
            rmSync(folder, { recursive: true, force: true });
          }
        },
      ),
      { numRuns: RUNS },
    );
  },
  LIMIT_MS,
);

async function makeChain(folder: string, steps: readonly Step[]): Promise<Buffer[]> {
  const images: Buffer[] = [];
  let image: Buffer = Buffer.alloc(2 * BLOCK_BYTES + 512);
  for (const one of steps) {
    image = edited(image, one);
    images.push(image);
    const file = path.join(folder, 'image');
    writeFileSync(file, image);
    await backup(path.join(folder, 'repository'), file);
  }
  return images;
}
