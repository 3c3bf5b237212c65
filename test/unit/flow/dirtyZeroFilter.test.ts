import { expect, test } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { planBlocks } from '../../../src/flow/blockPlan.ts';
import type { WantedBlock, ZeroRun } from '../../../src/flow/records.ts';
import {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
} from '../../../src/flow/stages/dirtyZeroFilter.ts';
import { runStage } from '../../helpers/collect.ts';
import { BLOCK_BYTES, diskImage, type DiskImage } from '../../helpers/diskImage.ts';

async function filtered(
  image: DiskImage,
  counts = createFilterCounts(),
): Promise<(WantedBlock | ZeroRun)[]> {
  const task = image.task('incremental');
  const filter = createDirtyZeroFilter(task, counts);
  return (await runStage(filter, planBlocks(task, image.extents))).records;
}

test('keeps a dirty zero in an increment', async () => {
  const [record] = await filtered(diskImage('-00-'));

  expect(record).toEqual({
    kind: 'zero',
    diskId: 'disk-1',
    index: 1,
    blockCount: 2,
    offsetBytes: BLOCK_BYTES,
    lengthBytes: 2 * BLOCK_BYTES,
  });
});

test('drops clean data and holes', async () => {
  expect(await filtered(diskImage('ab--'))).toEqual([]);
});

test('cuts dirty data into single blocks', async () => {
  const records = await filtered(diskImage('aBCd'));

  expect(records.map(({ kind, index }) => [kind, index])).toEqual([
    ['wanted', 1],
    ['wanted', 2],
  ]);
});

test('gives a short last block its length', async () => {
  const records = await filtered(diskImage('AB', { tailBytes: 512 }));

  expect(records.map((record) => record.lengthBytes)).toEqual([BLOCK_BYTES, 512]);
});

test('gives a zero run at the end of the disk its length', async () => {
  const [record] = await filtered(diskImage('00', { tailBytes: 512 }));

  expect(record?.lengthBytes).toBe(BLOCK_BYTES + 512);
});

test('counts every byte of the disk once', async () => {
  const counts = createFilterCounts();

  await filtered(diskImage('ABc0-', { tailBytes: 512 }), counts);

  expect(counts).toEqual({
    wantedBytes: 2 * BLOCK_BYTES,
    cleanBytes: BLOCK_BYTES + 512,
    knownZeroBytes: BLOCK_BYTES,
  });
});

/**
 * [kind, first block, blocks, bytes] of the records that the filter for the change finder emits.
 */
async function candidates(image: DiskImage, counts = createFilterCounts()): Promise<unknown[]> {
  const task = image.task('compare');
  const { records } = await runStage(
    createCandidateFilter(task, counts),
    planBlocks(task, image.extents),
  );
  return records.map(({ kind, index, blockCount, lengthBytes }) => [
    kind,
    index,
    blockCount,
    lengthBytes,
  ]);
}

test('cuts data into runs of eight blocks for the change finder, and nothing else', async () => {
  const counts = createFilterCounts();

  const runs = await candidates(diskImage('ABCDEFGHIJ0KL', { tailBytes: 512 }), counts);

  expect(runs).toEqual([
    ['candidate', 0, 8, 8 * BLOCK_BYTES],
    ['candidate', 8, 2, 2 * BLOCK_BYTES],
    ['zero', 10, 1, BLOCK_BYTES],
    ['candidate', 11, 2, BLOCK_BYTES + 512],
  ]);
  expect(counts).toMatchObject({ wantedBytes: 11 * BLOCK_BYTES + 512, cleanBytes: 0 });
});

test.each([
  [4, 2],
  [8, 1],
  [16, 1],
])('with blocks of %d MiB runs have %d', async (blockMib, blockCount) => {
  const blockSizeBytes = blockMib * MIB;
  const disk = { diskId: 'disk-1', alias: 'data', virtualSizeBytes: 3 * blockSizeBytes };
  const task = { ...disk, blockSizeBytes, mode: 'compare' as const };
  const extents = [{ offsetBytes: 0, lengthBytes: 3 * blockSizeBytes, zero: false }];

  const { records } = await runStage(createCandidateFilter(task), planBlocks(task, extents));

  expect(records[0]).toMatchObject({ blockCount, lengthBytes: blockCount * blockSizeBytes });
});
