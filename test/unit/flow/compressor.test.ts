import { createHash } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createStageStats } from '../../../src/core/stats.ts';
import { roundUp } from '../../../src/core/units.ts';
import type { HashedBlock, PackedBlock } from '../../../src/flow/records.ts';
import { createCompressor } from '../../../src/flow/stages/compressor.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { CLUSTER_BYTES, LZ4_MAGIC } from '../../../src/compute/storedForm.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import {
  type Collected,
  plainBytesOf,
  runStage,
  hashedBlock,
  zeroRun,
} from '../../helpers/pipeline/records.ts';
import { noise } from '../../helpers/bytes/random.ts';

const CLUSTERED_BLOCK_BYTES = 4 * CLUSTER_BYTES;

let slab: Slab;
let pool: WorkerPool;
let lease: SlabLease<'pack'>;

beforeEach(async () => {
  slab = createSlab({
    blockSizeBytes: CLUSTERED_BLOCK_BYTES,
    slabBytes: 10 * CLUSTERED_BLOCK_BYTES,
  });
  pool = await createWorkerPool({ slab, workers: 0 });
  lease = slab.lease('pack');
});

afterEach(() => {
  expect(slab.inUseCount).toBe(0);
});

function newCompressor() {
  return createCompressor({ pool, lease, stats: createStageStats() });
}

/** Sends one block through the compressor. */
async function packed(content: Buffer): Promise<Collected<PackedBlock>> {
  const block = await hashedBlock(lease, 3, content, 77n);
  const { items } = await runStage(newCompressor(), [block]);
  expect(items.map((item) => item.record.kind)).toEqual(['packed']);
  return items[0] as Collected<PackedBlock>;
}

/** Content of which LZ4 saves everything after the noise: noise, then a constant. */
function partlyNoise(noiseBytes: number, lengthBytes: number = CLUSTERED_BLOCK_BYTES): Buffer {
  return Buffer.concat([noise(1, noiseBytes), Buffer.alloc(lengthBytes - noiseBytes, 'x')]);
}

describe('a compressor', () => {
  test.each([
    ['text', Buffer.alloc(CLUSTERED_BLOCK_BYTES, 'lz4 likes this '), 'lz4'],
    ['noise', noise(1, CLUSTERED_BLOCK_BYTES), 'plain'],
    ['content that saves two clusters', partlyNoise(2 * CLUSTER_BYTES), 'lz4'],
    ['content that saves less than a cluster', partlyNoise(CLUSTERED_BLOCK_BYTES - 2000), 'plain'],
    ['text that fits one cluster', Buffer.alloc(CLUSTER_BYTES, 'x'), 'plain'],
    ['a tail of one byte', Buffer.from('x'), 'plain'],
    ['a tail of text', Buffer.alloc(2 * CLUSTER_BYTES + 1, 'x'), 'lz4'],
  ])('stores %s so that it reads back', async (_title, content, codec) => {
    const item = await packed(content);

    expect(item.record.codec).toBe(codec);
    expect(plainBytesOf(item).equals(content)).toBe(true);
  });

  test('saves at least one cluster with LZ4', async () => {
    const { record } = await packed(partlyNoise(2 * CLUSTER_BYTES));

    expect(roundUp(record.storedBytes, CLUSTER_BYTES)).toBeLessThan(CLUSTERED_BLOCK_BYTES);
  });

  test('writes the header of an LZ4 block: magic, CRC-32C and length of the plain bytes', async () => {
    const content = Buffer.alloc(CLUSTERED_BLOCK_BYTES - 100, 'header ');

    const { bytes } = await packed(content);

    expect([bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8)]).toEqual([
      LZ4_MAGIC,
      crc32c(content),
      content.length,
    ]);
  });

  test.each([
    ['LZ4', Buffer.alloc(CLUSTERED_BLOCK_BYTES - 100, 'x')],
    ['plain', noise(1, CLUSTERED_BLOCK_BYTES - 100)],
  ])('fills the last cluster of a %s block with zeros', async (_title, content) => {
    const { record, bytes } = await packed(content);

    const padding = bytes.subarray(record.storedBytes, roundUp(record.storedBytes, CLUSTER_BYTES));
    expect(padding.length).toBeGreaterThan(0);
    expect(padding.every((byte) => byte === 0)).toBe(true);
  });

  test.each([
    ['LZ4', Buffer.alloc(CLUSTERED_BLOCK_BYTES - 100, 'x')],
    ['plain', noise(1, CLUSTERED_BLOCK_BYTES - 100)],
  ])('keeps the MD5 of the plain bytes of a %s block', async (_title, content) => {
    const { record } = await packed(content);

    expect(Buffer.from(record.digest)).toEqual(createHash('md5').update(content).digest());
  });

  test('passes place and fingerprint on', async () => {
    const { record } = await packed(noise(1, CLUSTERED_BLOCK_BYTES - 100));

    expect(record).toMatchObject({
      index: 3,
      fingerprint: 77n,
      lengthBytes: CLUSTERED_BLOCK_BYTES - 100,
    });
  });

  test('passes zero runs and unchanged runs in their place', async () => {
    const unchanged = { ...zeroRun(4, 2), kind: 'unchanged' } as const;
    const block = await hashedBlock(lease, 3, noise(1, CLUSTERED_BLOCK_BYTES));

    const { records } = await runStage(newCompressor(), [zeroRun(0, 3), block, unchanged]);

    expect(records.map(({ kind }) => kind)).toEqual(['zero', 'packed', 'unchanged']);
  });
});

describe('the slots of a compressor', () => {
  test.each([
    ['LZ4', Buffer.alloc(CLUSTERED_BLOCK_BYTES, 'x'), 'packed'],
    ['plain', noise(1, CLUSTERED_BLOCK_BYTES), 'raw'],
  ])('pass on one slot of a %s block and release the other', async (_title, content, slotClass) => {
    const inUse: number[] = [];
    const classes: string[] = [];
    const stage = newCompressor();
    stage.on('data', (record: PackedBlock) => {
      inUse.push(slab.inUseCount);
      classes.push(record.slot.slotClass);
      record.slot.release();
    });

    const ended = new Promise((resolve) => stage.once('close', resolve));
    stage.end(await hashedBlock(lease, 0, content));
    await ended;

    expect([inUse, classes]).toEqual([[1], [slotClass]]);
  });

  test('give an LZ4 block and a plain one each its own digest', async () => {
    const contents = [Buffer.alloc(CLUSTERED_BLOCK_BYTES, 'x'), noise(1, CLUSTERED_BLOCK_BYTES)];
    const blocks: HashedBlock[] = [];
    for (const [index, content] of contents.entries()) {
      blocks.push(await hashedBlock(lease, index, content));
    }

    const { records } = await runStage(newCompressor(), blocks);

    const digests = records.map((record) => (record as PackedBlock).digest);
    expect(digests[0]).not.toEqual(digests[1]);
  });
});
