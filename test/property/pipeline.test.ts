import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planBlocks } from '../../src/flow/blockPlan.ts';
import type { DiskMode, Extent, PlannedRun, SinkBlock } from '../../src/flow/records.ts';
import { createMemoryDevice } from '../../src/devices/memoryDevice.ts';
import { Collector, plainBytesOf } from '../helpers/collect.ts';
import { BLOCK_BYTES, diskImage } from '../helpers/diskImage.ts';
import { openPipelineRun } from '../helpers/pipelineRun.ts';

const SECTOR_BYTES = 512;

/** Extents of random lengths in sectors, so that most do not end at a block boundary. */
const anyExtents = fc
  .array(
    fc.record({
      sectors: fc.integer({ min: 1, max: 40 }),
      zero: fc.boolean(),
      dirty: fc.option(fc.boolean(), { nil: undefined }),
    }),
    { minLength: 1, maxLength: 30 },
  )
  .map((parts) => {
    let nextBytes = 0;
    return parts.map(({ sectors, zero, dirty }): Extent => {
      const offsetBytes = nextBytes;
      const lengthBytes = sectors * SECTOR_BYTES;
      nextBytes += lengthBytes;
      return { offsetBytes, lengthBytes, zero, dirty };
    });
  });

const anyBlockSize = fc.constantFrom(512, 1024, 4096, 16_384);

/** A picture in the image alphabet. */
const anyPicture = fc.string({
  unit: fc.constantFrom('A', 'b', 'C', '0', '-', '1', '2'),
  minLength: 1,
  maxLength: 60,
});
const anyTail = fc.integer({ min: 1, max: BLOCK_BYTES / SECTOR_BYTES });

function sizeOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
}

async function plan(extents: readonly Extent[], blockSizeBytes: number): Promise<PlannedRun[]> {
  const virtualSizeBytes = sizeOf(extents);
  const task = { ...diskImage('A').task(), virtualSizeBytes, blockSizeBytes };
  const runs: PlannedRun[] = [];
  for await (const run of planBlocks(task, extents)) runs.push(run);
  return runs;
}

/** State of a block by its definition: over all extents that touch it. */
function stateOf(extents: readonly Extent[], fromBytes: number, toBytes: number): string {
  const touching = extents.filter(
    (extent) => extent.offsetBytes < toBytes && extent.offsetBytes + extent.lengthBytes > fromBytes,
  );
  const isZero = touching.every((extent) => extent.zero);
  const isDirty = touching.some((extent) => extent.dirty ?? true);
  return `${isZero} ${isDirty}`;
}

describe('a plan', () => {
  test('covers every byte of the disk once, in ascending order', async () => {
    await fc.assert(
      fc.asyncProperty(anyExtents, anyBlockSize, async (extents, blockSizeBytes) => {
        let nextBytes = 0;
        for (const run of await plan(extents, blockSizeBytes)) {
          expect(run.offsetBytes).toBe(nextBytes);
          expect(run.index * blockSizeBytes).toBe(nextBytes);
          expect(run.blockCount).toBe(Math.ceil(run.lengthBytes / blockSizeBytes));
          nextBytes += run.lengthBytes;
        }
        expect(nextBytes).toBe(sizeOf(extents));
      }),
    );
  });

  test('gives every block the state of all extents that touch it', async () => {
    await fc.assert(
      fc.asyncProperty(anyExtents, anyBlockSize, async (extents, blockSizeBytes) => {
        for (const run of await plan(extents, blockSizeBytes)) {
          for (let index = run.index; index < run.index + run.blockCount; index++) {
            const fromBytes = index * blockSizeBytes;
            const expected = stateOf(extents, fromBytes, fromBytes + blockSizeBytes);
            expect(`${run.zero} ${run.dirty}`).toBe(expected);
          }
        }
      }),
    );
  });
});

interface Outcome {
  readonly restored: Buffer;
  readonly indexes: readonly number[];
  readonly lostCount: number;
}

/** Sends a disk through the whole chain and rebuilds it from the records. */
async function roundTrip(
  picture: string,
  options: { tailBytes: number; workers: number; slabBytes: number; mode?: DiskMode },
): Promise<Outcome & { readonly content: Buffer }> {
  const { tailBytes, workers, slabBytes, mode = 'full' } = options;
  const image = diskImage(picture, { tailBytes });
  const task = image.task(mode);
  const device =
    mode === 'incremental' ? image.device : createMemoryDevice({ content: image.content });
  const run = await openPipelineRun({ task, device, workers, slabBytes });
  try {
    const collector = new Collector<SinkBlock>();
    await run.backupTo(collector.sink);
    const restored = Buffer.alloc(image.content.length);
    for (const item of collector.items) {
      if (item.record.kind === 'packed') plainBytesOf(item).copy(restored, item.record.offsetBytes);
    }
    const indexes = collector.records.map((record) => record.index);
    return { restored, indexes, lostCount: run.lease.end(), content: image.content };
  } finally {
    await run.close();
  }
}

describe.each([
  [0, 60],
  [2, 6],
])('the chain with %d workers', (workers, numRuns) => {
  test('ends with one slot of each class and gives every byte back', async () => {
    await fc.assert(
      fc.asyncProperty(anyPicture, anyTail, async (picture, tailSectors) => {
        const tailBytes = tailSectors * SECTOR_BYTES;

        const outcome = await roundTrip(picture, { tailBytes, workers, slabBytes: 1 });

        expect(outcome.restored.equals(outcome.content)).toBe(true);
        expect(outcome.lostCount).toBe(0);
      }),
      { numRuns },
    );
  });

  test('gives the records in ascending order', async () => {
    const anySlotCount = fc.integer({ min: 2, max: 40 });
    await fc.assert(
      fc.asyncProperty(anyPicture, anySlotCount, async (picture, slotCount) => {
        const slabBytes = slotCount * BLOCK_BYTES;

        const { indexes } = await roundTrip(picture, {
          tailBytes: BLOCK_BYTES,
          workers,
          slabBytes,
        });

        expect(indexes).toEqual([...indexes].sort((a, b) => a - b));
        expect(new Set(indexes).size).toBe(indexes.length);
      }),
      { numRuns },
    );
  });
});

test('an increment holds exactly the dirty blocks', async () => {
  await fc.assert(
    fc.asyncProperty(anyPicture, async (picture) => {
      const { indexes } = await roundTrip(picture, {
        tailBytes: BLOCK_BYTES,
        workers: 0,
        slabBytes: 1,
        mode: 'incremental',
      });

      const dirtyData = Array.from(picture, (letter, index) => ({ letter, index }));
      const expected = dirtyData.filter(
        ({ letter, index }) =>
          /[A-Z1-9]/.test(letter) || (letter === '0' && picture[index - 1] !== '0'),
      );
      expect(indexes).toEqual(expected.map(({ index }) => index));
    }),
    { numRuns: 60 },
  );
});
