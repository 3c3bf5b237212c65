import { afterEach, beforeEach, expect, test } from 'vitest';
import { createStageStats, type StageStats } from '../../../src/core/stats.ts';
import {
  type CandidateRun,
  subRun,
  type UnchangedRun,
  type WantedBlock,
  type ZeroRun,
} from '../../../src/flow/records.ts';
import { planBlocks } from '../../../src/flow/blockPlan.ts';
import { createChangeFinder } from '../../../src/flow/stages/changeFinder.ts';
import { createCandidateFilter } from '../../../src/flow/stages/dirtyZeroFilter.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import type { Stage } from '../../../src/flow/connect.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { type Collector, runStage } from '../../helpers/collect.ts';
import { BLOCK_BYTES, blockContent, diskImage } from '../../helpers/diskImage.ts';
import { type ImageFile, imageFile } from '../../helpers/imageFile.ts';
import { parentDisk } from '../../helpers/parentDisk.ts';

let slab: Slab;
let fileReadPool: WorkerPool;
let stats: StageStats;
let files: ImageFile[];

beforeEach(async () => {
  slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 4 * BLOCK_BYTES });
  fileReadPool = await createWorkerPool({ slab, workers: 2 });
  stats = createStageStats();
  files = [];
});

afterEach(async () => {
  await fileReadPool.close();
  for (const file of files) file.close();
  expect(slab.inUseCount).toBe(0);
});

interface Case {
  /** Content of the file, when it differs from the picture. */
  readonly content?: Buffer;
  /** Blocks that are damaged in the parent. */
  readonly damaged?: readonly number[];
  readonly tailBytes?: number;
}

/** Finds the changes of a disk of the image alphabet against its parent. */
async function find(
  picture: string,
  parent: string,
  { content, damaged = [], tailBytes = BLOCK_BYTES }: Case = {},
): Promise<Collector<WantedBlock | ZeroRun | UnchangedRun>> {
  const image = diskImage(picture, { tailBytes });
  const file = imageFile(content ?? image.content);
  files.push(file);
  const { fileDescriptor } = file;
  const task = image.task('compare');
  async function* runs(): AsyncGenerator<CandidateRun | ZeroRun> {
    const filter = createCandidateFilter(task);
    const all = { offsetBytes: 0, lengthBytes: image.content.length, zero: false };
    for await (const run of planBlocks(task, [all])) {
      yield* filter(run) as Generator<CandidateRun | ZeroRun>;
    }
  }
  const lease = slab.lease();
  const disk = { task, fileDescriptor, lease, fileReadPool, stats };
  try {
    return await runStage(
      createChangeFinder({ ...disk, parent: parentDisk(parent, { damaged }) }),
      runs(),
    );
  } finally {
    expect(lease.end()).toBe(0);
  }
}

test.each([
  ['drops what the parent holds', 'ABCD', 'ABCD', '===='],
  ['wants what has changed', 'ABXD', 'ABCD', '==x='],
  ['compares by position only', 'BA', 'AB', 'xx'],
  ['wants what lies behind the end of the parent', 'ABC', 'AB', '==x'],
  ['passes zeros as zeros, whatever the parent has', 'A--', 'AB0', '=00'],
])('%s', async (_title, picture, parent, expected) => {
  expect((await find(picture, parent)).picture).toBe(expected);
});

test('keeps the order over more runs than there are slots, in few records', async () => {
  const letters = 'ABCDEFGHIJ'.repeat(20);

  const { picture, records } = await find(letters, letters.replaceAll('E', 'X'));

  expect(picture).toBe('====x====='.repeat(20));
  expect(records.length).toBeLessThan(80);
});

test('settles a run of which nothing changed with one record', async () => {
  const { records } = await find('ABCDEFGH', 'ABCDEFGH');

  expect(records).toEqual([
    {
      kind: 'unchanged',
      diskId: 'disk-1',
      index: 0,
      offsetBytes: 0,
      lengthBytes: 8 * BLOCK_BYTES,
      blockCount: 8,
    },
  ]);
});

test('wants a last block that is shorter than that of the parent', async () => {
  expect((await find('ABA', 'ABA', { tailBytes: 512 })).picture).toBe('==x');
});

test('wants blocks that are damaged in the parent', async () => {
  expect((await find('ABC', 'ABC', { damaged: [1] })).picture).toBe('=x=');
});

test('wants all of a run that could not be read', async () => {
  const content = blockContent('A');

  expect((await find('ABCDEFGHI', 'ABCDEFGHI', { content })).picture).toBe('xxxxxxxxx');
  expect(stats).toMatchObject({ blocks: 0, bytes: 0 });
});

test('counts what need not be read any more', async () => {
  await find('AB-X', 'ABCD');

  expect(stats).toMatchObject({ blocks: 3, bytes: 3 * BLOCK_BYTES });
});

/** A change finder with one candidate run in it. */
function startFinder(lease: SlabLease, pool: WorkerPool): Stage<CandidateRun | ZeroRun, unknown> {
  const image = diskImage('AB');
  const file = imageFile(image.content);
  files.push(file);
  const { fileDescriptor } = file;
  const task = image.task('compare');
  const parent = parentDisk('AB');
  const finder = createChangeFinder({
    task,
    fileDescriptor,
    lease,
    fileReadPool: pool,
    stats,
    parent,
  });
  finder.on('error', () => {});
  finder.write(subRun({ diskId: 'disk-1' }, 'candidate', 0, 2, task));
  return finder;
}

async function destroyed(finder: Stage<CandidateRun | ZeroRun, unknown>): Promise<void> {
  finder.destroy(new Error('enough'));
  await new Promise((resolve) => finder.once('close', resolve));
}

test('stops while it waits for a slot', async () => {
  const lease = slab.lease();
  const held = await Promise.all([lease.acquireRaw(), lease.acquireRaw(), lease.acquireRaw()]);

  await destroyed(startFinder(lease, fileReadPool));

  for (const slot of held) slot.release();
  expect(lease.end()).toBe(0);
});

test('ends with the error of a pool that is closed under a look', async () => {
  const lease = slab.lease();
  const finder = startFinder(lease, fileReadPool);
  const failed = new Promise<unknown>((resolve) => finder.once('error', resolve));

  finder.resume();
  await Promise.resolve();
  await Promise.resolve();
  await fileReadPool.close();

  expect(await failed).toMatchObject({ code: 'INTERNAL_INVARIANT' });
  expect(lease.end()).toBe(0);
});

test('finds changes of two disks with one slot of each kind', async () => {
  slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 2 * BLOCK_BYTES });
  await fileReadPool.close();
  fileReadPool = await createWorkerPool({ slab, workers: 0 });
  const letters = 'ABCDEFGHIJKL'.repeat(3);

  const found = await Promise.all([find(letters, letters), find(letters, 'A')]);

  expect(found.map(({ picture }) => picture)).toEqual(['='.repeat(36), `=${'x'.repeat(35)}`]);
});
