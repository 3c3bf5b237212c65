import { expect, test } from 'vitest';
import { planBlocks } from '../../../src/pipeline/blockPlan.ts';
import type { WantedBlock, ZeroRun } from '../../../src/pipeline/blocks.ts';
import {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
} from '../../../src/pipeline/dirtyZeroFilter.ts';
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

test('cuts data into short runs for the change finder, and nothing else', async () => {
  const image = diskImage('ABCDE0FG', { tailBytes: 512 });
  const counts = createFilterCounts();
  const filter = createCandidateFilter(image.task('compare'), 2, counts);

  const { records } = await runStage(filter, planBlocks(image.task('compare'), image.extents));

  expect(
    records.map(({ kind, index, blockCount, lengthBytes }) => [
      kind,
      index,
      blockCount,
      lengthBytes,
    ]),
  ).toEqual([
    ['candidate', 0, 2, 2 * BLOCK_BYTES],
    ['candidate', 2, 2, 2 * BLOCK_BYTES],
    ['candidate', 4, 1, BLOCK_BYTES],
    ['zero', 5, 1, BLOCK_BYTES],
    ['candidate', 6, 2, BLOCK_BYTES + 512],
  ]);
  expect(counts).toMatchObject({ wantedBytes: 6 * BLOCK_BYTES + 512, cleanBytes: 0 });
});
