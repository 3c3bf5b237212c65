import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createStageStats } from '../../../src/core/stats.ts';
import type { DataBlock, HashedBlock, UnchangedRun, ZeroRun } from '../../../src/flow/records.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import type { ParentDisk } from '../../../src/flow/fingerprintMap.ts';
import { createHashComparer } from '../../../src/flow/stages/hashComparer.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import {
  type Collector,
  runStage,
  dataBlock,
  readerRecords,
  zeroRun,
} from '../../helpers/pipeline/records.ts';
import {
  PICTURE_BLOCK_BYTES,
  blockContent,
  diskImage,
  parentDisk,
} from '../../helpers/pipeline/diskPicture.ts';

const codecs = await createBlockCodecs();

let slab: Slab;
let pool: WorkerPool;
let lease: SlabLease;

beforeEach(async () => {
  slab = createSlab({ blockSizeBytes: PICTURE_BLOCK_BYTES, slabBytes: 40 * PICTURE_BLOCK_BYTES });
  pool = await createWorkerPool({ slab, workers: 0 });
  lease = slab.lease('pack');
});

afterEach(() => {
  expect(slab.inUseCount).toBe(0);
});

async function compare(
  records: Iterable<DataBlock | ZeroRun> | AsyncIterable<DataBlock | ZeroRun>,
  parent: ParentDisk | undefined,
  tailBytes?: number,
): Promise<Collector<HashedBlock | ZeroRun | UnchangedRun>> {
  const task = diskImage('A'.repeat(10), { tailBytes }).task('compare');
  const comparer = createHashComparer({ task, pool, parent, stats: createStageStats() });
  return await runStage(comparer, records);
}

async function compared(now: string, parent: string): Promise<string> {
  return (await compare(readerRecords(lease, now), parentDisk(parent))).picture;
}

describe('a hash comparer', () => {
  test.each([
    ['drops what the parent holds', 'ABCD', 'ABCD', '===='],
    ['passes what has changed', 'ABXD', 'ABCD', '==x='],
    ['compares by position only', 'BA', 'AB', 'ba'],
    ['passes data where the parent has zeros', 'AB', '00', 'ab'],
    ['passes data behind the end of the parent', 'ABC', 'AB', '==c'],
    ['keeps zeros where the parent has data', 'A0', 'AB', '=0'],
    ['drops zeros where the parent has zeros', 'A0', 'A0', '=='],
    ['drops zeros behind the end of the parent', 'A00', 'A', '==='],
  ])('%s', async (_title, now, parent, expected) => {
    expect(await compared(now, parent)).toBe(expected);
  });

  test('passes everything with its fingerprint when there is no parent', async () => {
    const { records, picture } = await compare(readerRecords(lease, 'AB0'), undefined);

    const hashes = records.map((record) => (record.kind === 'hashed' ? record.fingerprint : 0n));
    expect(picture).toBe('ab0');
    expect(hashes).toEqual([
      codecs.fingerprint(blockContent('A')),
      codecs.fingerprint(blockContent('B')),
      0n,
    ]);
  });

  test('keeps the order over many blocks', async () => {
    const letters = 'abcdefghij'.repeat(8);

    expect((await compare(readerRecords(lease, letters), undefined)).picture).toBe(letters);
  });

  test('leaves the bytes behind a short tail out of the fingerprint', async () => {
    const tail = blockContent('C', 512);

    const { records } = await compare([await dataBlock(lease, 9, tail)], undefined);

    expect(records[0]).toMatchObject({ fingerprint: codecs.fingerprint(tail), lengthBytes: 512 });
  });
});

describe('a zero run', () => {
  test.each([
    ['splits where the parent has data', '--AB--C---', '==00==0==='],
    ['splits where the parent has data at both ends', 'A--------B', '0========0'],
    ['passes whole when the parent has data everywhere', 'ABCDEFGHIJ', '0000000000'],
    ['is unchanged when the parent has no data', '----------', '=========='],
  ])('%s', async (_title, parent, expected) => {
    expect((await compare([zeroRun(0, 10)], parentDisk(parent))).picture).toBe(expected);
  });

  test('is split into runs that cover it without gap', async () => {
    const { records } = await compare([zeroRun(1, 8)], parentDisk('AA--BB---A'));

    expect(
      records.map((part) => [part.kind, part.index, part.offsetBytes / PICTURE_BLOCK_BYTES]),
    ).toEqual([
      ['zero', 1, 1],
      ['unchanged', 2, 2],
      ['zero', 4, 4],
      ['unchanged', 6, 6],
    ]);
  });

  test('keeps the length of a short tail', async () => {
    const run = zeroRun(8, 2, PICTURE_BLOCK_BYTES + 512);

    const { records } = await compare([run], parentDisk('--------AB'), 512);

    expect(records).toEqual([run]);
  });
});

describe('a short tail', () => {
  test('is unchanged when the parent has the same tail', async () => {
    const tail = await dataBlock(lease, 1, blockContent('B', 512));

    const { picture } = await compare([tail], parentDisk('AB', { tailBytes: 512 }), 512);

    expect(picture).toBe('=');
  });

  test('has changed when the block was whole at the parent', async () => {
    const tail = await dataBlock(lease, 1, blockContent('B', 512));

    const { picture } = await compare([tail], parentDisk('AB'), 512);

    expect(picture).toBe('b');
  });
});
