import { describe, expect, test } from 'vitest';
import { planBlocks } from '../../../src/flow/blockPlan.ts';
import type { DiskTask, Extent, PlannedRun } from '../../../src/flow/records.ts';
import { BLOCK_BYTES, diskImage } from '../../helpers/diskImage.ts';
import { expectCode } from '../../helpers/errors.ts';

async function plan(task: DiskTask, extents: readonly Extent[]): Promise<PlannedRun[]> {
  const runs: PlannedRun[] = [];
  for await (const run of planBlocks(task, extents)) runs.push(run);
  return runs;
}

/** One character for each block: `A` dirty data, `a` clean data, `0` dirty zero, `-` clean zero. */
function pictureOf(runs: readonly PlannedRun[]): string {
  return runs
    .map((run) => {
      const letter = run.zero ? (run.dirty ? '0' : '-') : run.dirty ? 'A' : 'a';
      return letter.repeat(run.blockCount);
    })
    .join('');
}

async function planOf(picture: string): Promise<PlannedRun[]> {
  const image = diskImage(picture);
  return await plan(image.task('incremental'), image.extents);
}

/** A disk in quarters of a block: four characters for each block; spaces do not count. */
async function planOfQuarters(picture: string): Promise<string> {
  const image = diskImage(picture.replaceAll(' ', ''), { blockSizeBytes: BLOCK_BYTES / 4 });
  const task = { ...image.task(), blockSizeBytes: BLOCK_BYTES };
  return pictureOf(await plan(task, image.extents));
}

describe('a plan', () => {
  test('keeps the four states apart', async () => {
    expect(pictureOf(await planOf('AAaa00--A-'))).toBe('AAaa00--A-');
  });

  test('joins neighbours of one state', async () => {
    const runs = await planOf('AAA---');

    expect(runs.map((run) => [run.index, run.blockCount])).toEqual([
      [0, 3],
      [3, 3],
    ]);
  });

  test('covers a disk with a short last block exactly', async () => {
    const image = diskImage('A0', { tailBytes: 512 });

    const runs = await plan(image.task(), image.extents);

    expect(runs.map((run) => [run.offsetBytes, run.lengthBytes])).toEqual([
      [0, BLOCK_BYTES],
      [BLOCK_BYTES, 512],
    ]);
  });

  test('names the disk in every run', async () => {
    const runs = await planOf('A-');

    expect(runs.map((run) => run.diskId)).toEqual(['disk-1', 'disk-1']);
  });

  test('counts an extent without a dirty flag as dirty', async () => {
    const image = diskImage('a-');
    const extents = image.extents.map(({ offsetBytes, lengthBytes, zero }) => ({
      offsetBytes,
      lengthBytes,
      zero,
    }));

    expect(pictureOf(await plan(image.task(), extents))).toBe('A0');
  });

  test('takes extents from an async source', async () => {
    const image = diskImage('A0');
    async function* slowly(): AsyncGenerator<Extent> {
      yield* image.extents;
    }

    const runs: PlannedRun[] = [];
    for await (const run of planBlocks(image.task(), slowly())) runs.push(run);

    expect(pictureOf(runs)).toBe('A0');
  });
});

describe('extents smaller than a block', () => {
  test.each([
    ['a block that touches data is data', '000A A000 0AA0 0000', 'AAA0'],
    ['a dirty zero kept beside a hole makes a dirty zero block', '--0- ----', '0-'],
    ['clean data beside a hole is clean data', '--a- ----', 'a-'],
    ['dirty data beside clean data is dirty data', 'aaaA aaaa', 'Aa'],
    ['a dirty zero beside clean data is dirty data', 'aa0a aaaa', 'Aa'],
    ['an extent over several blocks', '---A AAAA AAAA A---', 'AAAA'],
    ['changes in every quarter', 'Aa0- -0aA 0-0- -a-a', 'AA0a'],
    ['a block boundary inside one state', '--AA AA-- ----', 'AA-'],
  ])('%s', async (_title, quarters, blocks) => {
    expect(await planOfQuarters(quarters)).toBe(blocks);
  });
});

function extent(offsetBytes: number, lengthBytes: number): Extent {
  return { offsetBytes, lengthBytes, zero: false };
}

describe('broken extents', () => {
  const task = diskImage('AAAA').task();

  test.each([
    ['a gap', [extent(0, 4096), extent(8192, 8192)], 4096],
    ['a gap at the start', [extent(512, 16_384 - 512)], 0],
    ['an overlap', [extent(0, 8192), extent(4096, 12_288)], 8192],
    ['an early end', [extent(0, 12_288)], 12_288],
    ['no extents', [], 0],
    ['an end beyond the disk', [extent(0, 16_384), extent(16_384, 512)], 16_896],
    ['an empty extent', [extent(0, 0), extent(0, 16_384)], 0],
    ['a negative length', [extent(0, -4096)], 0],
    ['a fraction of a byte', [extent(0, 0.5)], 0],
    ['a length that is no number', [extent(0, Number.NaN)], 0],
  ])('%s is refused with its offset', async (_title, extents, offsetBytes) => {
    const error = await expectCode(plan(task, extents), 'TRANSFER_BAD_EXTENTS');

    expect(error.details).toEqual({ diskId: 'disk-1', offsetBytes });
  });
});
