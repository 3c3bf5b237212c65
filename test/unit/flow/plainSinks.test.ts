import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Transform, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import type { DataBlock, PipelineRecord, ZeroRun } from '../../../src/flow/records.ts';
import {
  callbackSink,
  describeRecord,
  ndjsonSink,
  nullSink,
  rawFileSink,
} from '../../../src/flow/sinks/plainSinks.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { connect, type Sink } from '../../../src/flow/connect.ts';
import { sourceOf, dataBlock, readerRecords, zeroRun } from '../../helpers/pipeline/records.ts';
import {
  PICTURE_BLOCK_BYTES,
  blockContent,
  diskImage,
} from '../../helpers/pipeline/diskPicture.ts';
import { expectCode } from '../../helpers/codes.ts';
import { tempFolderOfTest } from '../../helpers/tempFolder.ts';

const { signal } = new AbortController();

let slab: Slab;
let lease: SlabLease;

beforeEach(() => {
  slab = createSlab({ blockSizeBytes: PICTURE_BLOCK_BYTES, slabBytes: 6 * PICTURE_BLOCK_BYTES });
  lease = slab.lease('pack');
});

afterEach(() => {
  expect(slab.inUseCount).toBe(0);
});

async function feed(sink: Sink<DataBlock | ZeroRun>, picture: string): Promise<void> {
  await connect(sourceOf(readerRecords(lease, picture)), [], sink, { signal });
}

describe('callbackSink', () => {
  test('gives every record to the consumer in order', async () => {
    const indexes: number[] = [];

    await feed(
      callbackSink((record) => {
        indexes.push(record.index);
      }),
      'AB0CDEFGHIJ',
    );

    expect(indexes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  test('keeps the slot until an async consumer is done', async () => {
    const inUse: boolean[] = [];

    await feed(
      callbackSink<DataBlock | ZeroRun>(async (record) => {
        await new Promise(setImmediate);
        if (record.kind === 'data') inUse.push(record.slot.bytes.length > 0);
      }),
      'AB',
    );

    expect(inUse).toEqual([true, true]);
  });

  test.each([
    ['throws', () => Promise.reject(new Error('consumer'))],
    [
      'throws at once',
      () => {
        throw new Error('consumer');
      },
    ],
  ])('releases the slot when the consumer %s', async (_title, consume) => {
    const record = await dataBlock(lease, 0, blockContent('A'));

    await expectCode(
      connect(sourceOf([record]), [], callbackSink<DataBlock>(consume), { signal }),
      'INTERNAL_INVARIANT',
    );
  });

  test('keeps the slot of an aborted chain until the consumer is done', async () => {
    const controller = new AbortController();
    let release: (() => void) | undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const sink = callbackSink<DataBlock>(() => held);
    const record = await dataBlock(lease, 0, blockContent('A'));
    const failed = expectCode(
      connect(sourceOf([record]), [], sink, { signal: controller.signal }),
      'CANCELLED',
    );
    let isOver = false;
    void failed.then(() => (isOver = true));
    await new Promise(setImmediate);

    controller.abort();
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    const early = [isOver, slab.inUseCount];
    release?.();
    await failed;

    expect(early).toEqual([false, 1]);
  });

  test('runs the finisher after the last record', async () => {
    const calls: string[] = [];
    const sink = callbackSink<DataBlock | ZeroRun>(
      (record) => {
        calls.push(`record ${record.index}`);
      },
      () => {
        calls.push('finish');
      },
    );

    await feed(sink, 'A0');

    expect(calls).toEqual(['record 0', 'record 1', 'finish']);
  });

  test('fails when the finisher fails', async () => {
    const sink = callbackSink<DataBlock | ZeroRun>(
      () => {},
      () => {
        throw new Error('finisher');
      },
    );

    await expectCode(feed(sink, 'A'), 'INTERNAL_INVARIANT');
  });
});

test('nullSink releases everything', async () => {
  await feed(nullSink(), 'AB0CDEFGHIJ');

  expect(slab.inUseCount).toBe(0);
});

describe('ndjsonSink', () => {
  test('writes one line a record without the bytes', async () => {
    const output = new PassThrough();

    await feed(ndjsonSink(output), 'A0');

    const lines = String(output.read()).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      {
        kind: 'data',
        diskId: 'disk-1',
        index: 0,
        offsetBytes: 0,
        lengthBytes: PICTURE_BLOCK_BYTES,
      },
      zeroRun(1, 1),
    ]);
  });

  test('waits for a slow output', async () => {
    let isBusy = false;
    let overlaps = 0;
    const output = new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, done) {
        if (isBusy) overlaps++;
        isBusy = true;
        setImmediate(() => {
          isBusy = false;
          done();
        });
      },
    });

    await feed(ndjsonSink(output), 'A'.repeat(20));

    expect([overlaps, output.writableLength]).toEqual([0, 0]);
  });

  test('ends with an abort while its output takes nothing', { timeout: 2_000 }, async () => {
    const controller = new AbortController();
    const output = new PassThrough({ highWaterMark: 1 });
    const records = sourceOf(readerRecords(lease, '000'));
    const done = connect(records, [], ndjsonSink<DataBlock | ZeroRun>(output), {
      signal: controller.signal,
    });
    const failed = expectCode(done, 'CANCELLED');
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);

    controller.abort();

    await failed;
  });

  test('leaves its output open', async () => {
    const output = new PassThrough();

    await feed(ndjsonSink(output), 'A');

    expect(output.writableEnded).toBe(false);
  });

  test('writes fingerprint and digest in hexadecimal', async () => {
    const slot = await lease.acquirePacked();
    const record: PipelineRecord = {
      ...zeroRun(0, 1),
      kind: 'packed',
      slot,
      codec: 'plain',
      storedBytes: 1,
      fingerprint: 0xabcn,
      digest: Uint8Array.of(0, 255),
    };

    const line = describeRecord(record);
    slot.release();

    expect(line).toMatchObject({ fingerprint: '0000000000000abc', digest: '00ff' });
  });
});

/** Restores a picture into a new file of its full size. */
async function restored(picture: string): Promise<string> {
  const path = join(tempFolderOfTest(), 'disk.raw');
  const file = await open(path, 'wx');
  try {
    await file.truncate(picture.length * PICTURE_BLOCK_BYTES);
    await feed(rawFileSink(file, 'disk.raw') as Sink<DataBlock | ZeroRun>, picture);
  } finally {
    await file.close();
  }
  return path;
}

/** A file that counts writes. Each write takes as long as the test wants. */
class WatchedFile {
  readonly writes: [offsetBytes: number, pieces: number][] = [];
  readonly gates: (() => void)[] = [];
  isSlow = false;
  syncError: Error | undefined;

  async writev(pieces: readonly Uint8Array[], offsetBytes: number): Promise<unknown> {
    this.writes.push([offsetBytes / PICTURE_BLOCK_BYTES, pieces.length]);
    if (this.isSlow) await new Promise<void>((resolve) => this.gates.push(resolve));
    return { bytesWritten: pieces.reduce((sum, piece) => sum + piece.length, 0) };
  }

  async datasync(): Promise<void> {
    if (this.syncError) throw this.syncError;
  }

  sink(): Sink<DataBlock | ZeroRun> {
    return rawFileSink(this as never, 'disk.raw') as Sink<DataBlock | ZeroRun>;
  }
}

async function turnsUntil(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(setImmediate);
}

async function write(sink: Writable, records: readonly PipelineRecord[]): Promise<void> {
  for (const record of records) sink.write(record);
  await new Promise(setImmediate);
}

async function blocksAt(indexes: readonly number[]): Promise<DataBlock[]> {
  return await Promise.all(indexes.map((index) => dataBlock(lease, index, blockContent('A'))));
}

describe('rawFileSink', () => {
  test.each([
    [
      'neighbours that waited together',
      [0, 1, 2, 3],
      [
        [0, 1],
        [1, 3],
      ],
    ],
    [
      'what is no neighbour by itself',
      [0, 2, 3, 5],
      [
        [0, 1],
        [2, 2],
        [5, 1],
      ],
    ],
  ])('writes %s', async (_title, indexes, writes) => {
    const file = new WatchedFile();
    file.isSlow = true;
    const sink = file.sink();

    await write(sink, await blocksAt(indexes));
    file.isSlow = false;
    file.gates[0]?.();
    await new Promise((resolve) => sink.end(resolve));

    expect(file.writes).toEqual(writes);
  });

  test('takes eight blocks while others are written, and not one more', async () => {
    lease.end();
    const bigSlab = createSlab({
      blockSizeBytes: PICTURE_BLOCK_BYTES,
      slabBytes: 64 * PICTURE_BLOCK_BYTES,
    });
    const bigLease = bigSlab.lease('pack');
    const file = new WatchedFile();
    file.isSlow = true;
    const sink = file.sink();
    let taken = 0;
    async function* blocks(): AsyncGenerator<DataBlock> {
      for (let index = 0; index < 26; index++) {
        yield await dataBlock(bigLease, index, blockContent('A'));
        taken++;
      }
    }
    const done = connect(sourceOf(blocks()), [], sink, { signal });
    // One block is written and 8 wait. The source and the buffers between hold one or two more.
    await turnsUntil(() => file.gates.length > 0 && taken >= 9);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    const heldBack = taken;

    for (let write = 0; write < 4; write++) {
      file.gates[write]?.();
      const next = Math.min(26, 9 + 8 * (write + 1));
      await turnsUntil(() => file.gates.length > write + 1 && taken >= next);
    }
    file.isSlow = false;
    for (const gate of file.gates) gate();
    await done;

    expect(heldBack).toBeLessThan(13);
    expect(file.writes).toEqual([
      [0, 1],
      [1, 8],
      [9, 8],
      [17, 8],
      [25, 1],
    ]);
    expect(bigLease.end()).toBe(0);
  });

  test('is closed only when the write under way has ended', async () => {
    const file = new WatchedFile();
    file.isSlow = true;
    const sink = file.sink();
    const events: string[] = [];
    sink.on('error', () => {});
    sink.once('close', () => events.push('close'));
    await write(sink, [await dataBlock(lease, 0, blockContent('A'))]);
    await expect.poll(() => file.gates.length).toBe(1);

    sink.destroy(new Error('enough'));
    await new Promise(setImmediate);
    events.push(`in use ${slab.inUseCount}`);
    file.gates[0]?.();
    await expect.poll(() => events.length).toBe(2);

    expect(events).toEqual(['in use 1', 'close']);
  });

  test('reports a sync along the way that failed', async () => {
    const bigSlab = createSlab({ blockSizeBytes: 32 * MIB, slabBytes: 96 * MIB });
    const bigLease = bigSlab.lease('pack');
    const file = new WatchedFile();
    file.syncError = Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });
    const lengthBytes = 32 * MIB;
    async function* blocks(): AsyncGenerator<DataBlock> {
      for (let index = 0; index < 2; index++) {
        const slot = await bigLease.acquireRaw();
        const offsetBytes = index * lengthBytes;
        yield { kind: 'data', diskId: 'd', index, offsetBytes, lengthBytes, slot };
      }
    }

    await expectCode(connect(sourceOf(blocks()), [], file.sink(), { signal }), 'OUTPUT_IO');

    bigLease.end();
  });

  test('writes every block at its place', async () => {
    const path = await restored('AB00C-D');

    expect((await readFile(path)).equals(diskImage('AB00C-D').content)).toBe(true);
  });

  test('leaves zero runs as holes', async () => {
    const path = await restored(`A${'0'.repeat(255)}`);

    const { size, blocks } = await stat(path);
    expect(size).toBe(256 * PICTURE_BLOCK_BYTES);
    expect(blocks * 512).toBeLessThan(16 * PICTURE_BLOCK_BYTES);
  });

  test('leaves the file open', async () => {
    const file = await open(join(tempFolderOfTest(), 'disk.raw'), 'wx');

    await feed(rawFileSink(file, 'disk.raw') as Sink<DataBlock | ZeroRun>, 'A');

    expect((await file.stat()).size).toBe(PICTURE_BLOCK_BYTES);
    await file.close();
  });

  test('reports a file that cannot be written', async () => {
    const path = await restored('A');
    const file = await open(path, 'r');
    const failed = expectCode(
      feed(rawFileSink(file, 'disk.raw') as Sink<DataBlock | ZeroRun>, 'A'),
      'OUTPUT_IO',
    );

    const { cause } = await failed;

    expect(cause).toMatchObject({ code: 'EBADF' });
    await file.close();
    lease.end();
  });
});

describe("a user's own Writable", () => {
  test('gets the records and releases their slots', async () => {
    const indexes: number[] = [];
    const own = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write(record: DataBlock | ZeroRun, _encoding, done) {
        indexes.push(record.index);
        if (record.kind === 'data') record.slot.release();
        done();
      },
    });

    await feed(own, 'AB0CDEFGH');

    expect(indexes).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test.each([
    ['stays open when it has finished', { autoDestroy: false }],
    ['tells nobody that it has closed', { emitClose: false }],
  ])('may be one that %s', { timeout: 2_000 }, async (_title, how) => {
    const own = new Writable({
      ...how,
      objectMode: true,
      write(record: DataBlock | ZeroRun, _encoding, done) {
        if (record.kind === 'data') record.slot.release();
        done();
      },
    });

    await expect(feed(own, 'AB')).resolves.toBeUndefined();
  });

  test('may be a Duplex that nobody reads', { timeout: 2_000 }, async () => {
    const own = new Transform({
      objectMode: true,
      transform(record: DataBlock | ZeroRun, _encoding, done) {
        if (record.kind === 'data') record.slot.release();
        done();
      },
    });

    await expect(feed(own, 'AB')).resolves.toBeUndefined();
  });
});
