import { describe, expect, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.ts';
import { createStageStats } from '../../../src/core/stats.ts';
import type { BlockDevice, DataBlock, WantedBlock, ZeroRun } from '../../../src/flow/records.ts';
import { planBlocks } from '../../../src/flow/blockPlan.ts';
import {
  type BlockReaderOptions,
  createBlockReader,
} from '../../../src/flow/stages/blockReader.ts';
import { createDirtyZeroFilter } from '../../../src/flow/stages/dirtyZeroFilter.ts';
import { createSlab } from '../../../src/flow/slab.ts';
import { type Collector, plainBytesOf, runStage } from '../../helpers/collect.ts';
import { BLOCK_BYTES, diskImage, type DiskImage } from '../../helpers/diskImage.ts';
import { expectCode } from '../../helpers/errors.ts';

type ReadInto = BlockDevice['readInto'];
type Result = Collector<DataBlock | ZeroRun>;

interface Bench {
  readonly image: DiskImage;
  readonly options: BlockReaderOptions;
  readonly slab: ReturnType<typeof createSlab>;
  readonly controller: AbortController;
  read(): Promise<Result>;
}

/** A reader of `picture`. `readInto` replaces that of the device. */
function benchOf(
  picture: string,
  readInto?: (read: ReadInto, ...args: Parameters<ReadInto>) => Promise<number>,
  more: Partial<BlockReaderOptions> & { readonly tailBytes?: number } = {},
): Bench {
  const image = diskImage(picture, { tailBytes: more.tailBytes });
  const task = image.task();
  const read: ReadInto = (...args) => image.device.readInto(...args);
  const device: BlockDevice = {
    ...image.device,
    virtualSizeBytes: image.content.length,
    readInto: readInto ? (...args) => readInto(read, ...args) : read,
  };
  const controller = new AbortController();
  const slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 10 * BLOCK_BYTES });
  const options: BlockReaderOptions = {
    task,
    device,
    lease: slab.lease(),
    stats: createStageStats(),
    retryDelayMs: 1,
    ...more,
  };
  async function* wanted(): AsyncGenerator<WantedBlock | ZeroRun> {
    const filter = createDirtyZeroFilter(task);
    for await (const run of planBlocks(task, image.extents)) {
      yield* filter(run) as Generator<WantedBlock | ZeroRun>;
    }
  }
  return {
    image,
    options,
    slab,
    controller,
    read: () => runStage(createBlockReader(options), wanted(), controller.signal),
  };
}

function readFailed(retryable: boolean): TransferError {
  return new TransferError('TRANSFER_READ_FAILED', 'read', { retryable });
}

/** Fails the first `count` reads with `error`. */
function failFirst(count: number, error: () => Error) {
  let reads = 0;
  return (read: ReadInto, ...args: Parameters<ReadInto>): Promise<number> =>
    ++reads <= count ? Promise.reject(error()) : read(...args);
}

describe('a block reader', () => {
  test('reads every wanted block', async () => {
    expect((await benchOf('ABCDEFGH').read()).picture).toBe('abcdefgh');
  });

  test('makes content that is all zero a zero run', async () => {
    const image = diskImage('A0B');
    const device = { ...image.device, readInto: image.device.readInto.bind(image.device) };
    const bench = benchOf('AAA', (_read, ...args) => device.readInto(...args));

    const { records } = await bench.read();

    expect(records.map(({ kind }) => kind)).toEqual(['data', 'zero', 'data']);
  });

  test('does not read a known zero', async () => {
    const offsets: number[] = [];
    const bench = benchOf('A00B', (read, target, offsetBytes, signal) => {
      offsets.push(offsetBytes);
      return read(target, offsetBytes, signal);
    });

    const { picture } = await bench.read();

    expect([picture, offsets]).toEqual(['a00b', [0, 3 * BLOCK_BYTES]]);
  });

  test('reads a short last block at its length', async () => {
    const { items } = await benchOf('AB', undefined, { tailBytes: 512 }).read();

    expect(items.map((item) => plainBytesOf(item).length)).toEqual([BLOCK_BYTES, 512]);
  });

  test('keeps the order when reads end in another one', async () => {
    const bench = benchOf('ABCDEFGH', async (read, target, offsetBytes, signal) => {
      const turns = (offsetBytes / BLOCK_BYTES) % 2 === 0 ? 5 : 0;
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      return await read(target, offsetBytes, signal);
    });

    expect((await bench.read()).picture).toBe('abcdefgh');
  });

  test.each([1, 3])('has at most %d reads in flight', async (readers) => {
    let inFlight = 0;
    let peak = 0;
    const count = async (read: ReadInto, ...args: Parameters<ReadInto>): Promise<number> => {
      peak = Math.max(peak, ++inFlight);
      await new Promise(setImmediate);
      const bytes = await read(...args);
      inFlight--;
      return bytes;
    };

    await benchOf('ABCDEFGH', count, { readers }).read();

    expect(peak).toBe(readers);
  });

  test('counts the bytes that it has read', async () => {
    const bench = benchOf('A0BC', undefined, { tailBytes: 512 });

    await bench.read();

    expect([bench.options.stats.blocks, bench.options.stats.bytes]).toEqual([
      3,
      2 * BLOCK_BYTES + 512,
    ]);
  });

  test('leaves no slot behind', async () => {
    const bench = benchOf('A0BC');

    await bench.read();

    expect(bench.slab.inUseCount).toBe(0);
  });
});

describe('a read that fails', () => {
  test('is a short read after all tries', async () => {
    let tries = 0;
    const bench = benchOf('A', async (read, target, ...rest) => {
      tries++;
      return await read(target.subarray(0, 100), ...rest);
    });

    const error = await expectCode(bench.read(), 'TRANSFER_SHORT_READ');

    expect(tries).toBe(3);
    expect(error.details).toMatchObject({
      offsetBytes: 0,
      expectedBytes: BLOCK_BYTES,
      actualBytes: 100,
    });
  });

  test('is tried again as often as the option says', async () => {
    let tries = 0;
    const refuse = (): Promise<number> => {
      tries++;
      return Promise.reject(readFailed(true));
    };

    await expectCode(benchOf('A', refuse, { attempts: 5 }).read(), 'TRANSFER_READ_FAILED');

    expect(tries).toBe(5);
  });

  test('succeeds when a later try does', async () => {
    const { picture } = await benchOf(
      'AB',
      failFirst(2, () => readFailed(true)),
    ).read();

    expect(picture).toBe('ab');
  });

  test('keeps its slot across tries', async () => {
    const places = new Set<number>();
    let tries = 0;
    const bench = benchOf('A', async (read, target, ...rest) => {
      places.add(target.byteOffset);
      expect(bench.slab.inUseCount).toBe(1);
      if (++tries < 3) throw readFailed(true);
      return await read(target, ...rest);
    });

    await bench.read();

    expect([places.size, tries]).toEqual([1, 3]);
  });

  test('is not tried again when the error is permanent', async () => {
    let tries = 0;
    const refuse = (): Promise<number> => {
      tries++;
      return Promise.reject(readFailed(false));
    };

    await expectCode(benchOf('A', refuse).read(), 'TRANSFER_READ_FAILED');

    expect(tries).toBe(1);
  });

  test('is not tried again when the error is unknown', async () => {
    let tries = 0;
    const refuse = (): Promise<number> => {
      tries++;
      return Promise.reject(new TypeError('bug'));
    };

    await expectCode(benchOf('A', refuse).read(), 'INTERNAL_INVARIANT');

    expect(tries).toBe(1);
  });

  test('ends its pause at an abort', async () => {
    const bench = benchOf('A', () => Promise.reject(readFailed(true)), { retryDelayMs: 3_600_000 });
    const reading = bench.read();
    while (bench.slab.inUseCount === 0) await new Promise(setImmediate);

    bench.controller.abort();

    await expectCode(reading, 'CANCELLED');
  });
});
