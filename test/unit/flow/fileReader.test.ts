import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createStageStats, type StageStats } from '../../../src/core/stats.ts';
import type { BlockDevice, WantedBlock, ZeroRun } from '../../../src/flow/records.ts';
import { planBlocks } from '../../../src/flow/blockPlan.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { createDirtyZeroFilter } from '../../../src/flow/stages/dirtyZeroFilter.ts';
import { createFileReader, type FileRecord } from '../../../src/flow/stages/fileReader.ts';
import { createSlab, type Slab } from '../../../src/flow/slab.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { type Collector, runStage } from '../../helpers/collect.ts';
import { BLOCK_BYTES, blockContent, diskImage } from '../../helpers/diskImage.ts';
import { expectCode } from '../../helpers/errors.ts';
import { type ImageFile, imageFile } from '../../helpers/imageFile.ts';

const codecs = await createBlockCodecs();

let slab: Slab;
let fileReadPool: WorkerPool;
let stats: StageStats;
let file: ImageFile | undefined;
/** Offsets that the device was asked for, instead of the threads. */
let asked: number[];

beforeEach(async () => {
  slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 8 * BLOCK_BYTES });
  fileReadPool = await createWorkerPool({ slab, workers: 1 });
  stats = createStageStats();
  asked = [];
});

afterEach(async () => {
  await fileReadPool.close();
  file?.close();
  expect(slab.inUseCount).toBe(0);
});

interface Case {
  /**
   * Content of the file, when it differs from the picture. The device always has the whole picture.
   */
  readonly content?: Buffer;
  /** Bytes that the device gives of each block. */
  readonly shortBytes?: number;
}

/** Reads a disk of the image alphabet. All of its blocks are wanted. */
async function read(picture: string, options: Case = {}): Promise<Collector<FileRecord>> {
  const image = diskImage(picture);
  const { content = image.content, shortBytes } = options;
  file = imageFile(content);
  const { fileDescriptor } = file;
  const task = image.task('compare');
  async function* wanted(): AsyncGenerator<WantedBlock | ZeroRun> {
    const filter = createDirtyZeroFilter(task);
    const all = { offsetBytes: 0, lengthBytes: image.content.length, zero: false };
    for await (const run of planBlocks(task, [all])) {
      yield* filter(run) as Generator<WantedBlock | ZeroRun>;
    }
  }
  const device: BlockDevice = {
    ...image.device,
    virtualSizeBytes: image.content.length,
    readInto: async (target, offsetBytes, signal) => {
      asked.push(offsetBytes / BLOCK_BYTES);
      return shortBytes ?? (await image.device.readInto(target, offsetBytes, signal));
    },
  };
  const lease = slab.lease();
  const disk = { task, device, fileDescriptor, lease, fileReadPool, stats, retryDelayMs: 1 };
  try {
    return await runStage(createFileReader(disk), wanted());
  } finally {
    lease.end();
  }
}

describe('a file reader', () => {
  test('passes blocks on with their bytes and fingerprints, in order', async () => {
    const letters = 'ABCDEFGHIJ'.repeat(8);

    const { picture, records } = await read(letters);

    const hashes = records.map((record) => (record.kind === 'hashed' ? record.fingerprint : 0n));
    expect(picture).toBe(letters.toLowerCase());
    expect(hashes).toEqual(
      Array.from(letters, (letter) => codecs.fingerprint(blockContent(letter))),
    );
    expect(asked).toEqual([]);
  });

  test('makes content that is all zero a zero run', async () => {
    const { picture } = await read('A-C');

    expect(picture).toBe('a0c');
  });

  test('reads from the device what the threads cannot read', async () => {
    const { picture } = await read('ABCD', { content: blockContent('A') });

    expect(picture).toBe('abcd');
    expect(asked).toEqual([1, 2, 3]);
  });

  test('fails as the device does when neither can read', async () => {
    const reading = read('ABCD', { content: blockContent('A'), shortBytes: 100 });

    await expectCode(reading, 'TRANSFER_SHORT_READ');
  });

  test('passes what needs no reading', async () => {
    const run = { diskId: 'disk-1', index: 0, offsetBytes: 0, lengthBytes: 2 * BLOCK_BYTES };
    const image = diskImage('AB');
    file = imageFile(image.content);
    const { device } = image;
    const lease = slab.lease();
    const task = image.task('compare');
    const { fileDescriptor } = file;
    const reader = createFileReader({ task, device, fileDescriptor, lease, fileReadPool, stats });
    const runs = [
      { ...run, kind: 'zero' as const, blockCount: 2 },
      { ...run, kind: 'unchanged' as const, blockCount: 2 },
    ];

    const { records } = await runStage(reader, runs);

    expect(records).toEqual(runs);
  });

  test('counts each block once', async () => {
    await read('ABX-');

    expect(stats).toMatchObject({ blocks: 4, bytes: 4 * BLOCK_BYTES });
  });
});
