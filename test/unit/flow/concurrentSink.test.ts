import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConcurrentSink } from '../../../src/flow/concurrentSink.ts';
import { connect } from '../../../src/flow/connect.ts';
import type { DataBlock, ZeroRun } from '../../../src/flow/records.ts';
import { createSlab, type Slab, type SlabLease } from '../../../src/flow/slab.ts';
import { sourceOf, readerRecords } from '../../helpers/pipeline/records.ts';
import { PICTURE_BLOCK_BYTES } from '../../helpers/pipeline/diskPicture.ts';
import { failureOf } from '../../helpers/codes.ts';

const PICTURE = 'ABCDEFGHIJ';
const STOP = new Error('stop');

/** Work that ends when the test says so. */
class ManualWork {
  readonly started: number[] = [];
  readonly signals: AbortSignal[] = [];
  readonly #open = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  readonly consume = (record: DataBlock | ZeroRun, signal: AbortSignal): Promise<void> => {
    this.started.push(record.index);
    this.signals.push(signal);
    return new Promise((resolve, reject) => this.#open.set(record.index, { resolve, reject }));
  };

  finish(...indexes: number[]): void {
    for (const index of indexes) this.#open.get(index)?.resolve();
  }

  fail(index: number, error: Error): void {
    this.#open.get(index)?.reject(error);
  }
}

/** Lets all callbacks run that are due without new input. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
}

let slab: Slab;
let lease: SlabLease;
let work: ManualWork;
let events: string[];

beforeEach(() => {
  slab = createSlab({ blockSizeBytes: PICTURE_BLOCK_BYTES, slabBytes: 64 * PICTURE_BLOCK_BYTES });
  lease = slab.lease('pack');
  work = new ManualWork();
  events = [];
});

afterEach(() => {
  lease.end();
});

function sinkOf(
  concurrency: number,
  consume = work.consume,
  finish?: (signal: AbortSignal) => void | Promise<void>,
): ConcurrentSink<DataBlock | ZeroRun> {
  const sink = new ConcurrentSink<DataBlock | ZeroRun>({ concurrency, consume, finish });
  sink.once('close', () => events.push('close'));
  return sink;
}

function recordEnd(): void {
  events.push('end');
}

/** Starts a chain into `sink`; its end is an event. */
function start(
  sink: ConcurrentSink<DataBlock | ZeroRun>,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const done = connect(sourceOf(readerRecords(lease, PICTURE)), [], sink, { signal });
  done.then(recordEnd, recordEnd);
  return done;
}

describe('a concurrent sink', () => {
  test.each([1, 3])('works on at most %d records at the same time', async (concurrency) => {
    const done = start(sinkOf(concurrency));
    await settle();
    const startedCount = work.started.length;
    for (let index = 0; index < PICTURE.length; index++) {
      work.finish(index);
      await settle();
    }
    await done;

    expect(startedCount).toBe(concurrency);
    expect(work.started).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(lease.end()).toBe(0);
  });

  test('takes the next record when any work ends, and releases its slot then', async () => {
    const done = start(sinkOf(3));
    await settle();
    const inUse = slab.inUseCount;

    work.finish(2);
    await settle();
    const started = [...work.started];
    const inUseLater = slab.inUseCount;
    for (let index = 0; index < PICTURE.length; index++) {
      work.finish(index);
      await settle();
    }
    await done;

    expect(started).toEqual([0, 1, 2, 3]);
    // The source refills the place of the slot that was released.
    expect(inUseLater).toBe(inUse);
  });

  test('finishes when all work has ended, and calls its finisher once', async () => {
    const finish = (): void => void events.push('finish');
    const done = start(sinkOf(16, work.consume, finish));
    await settle();
    work.finish(0, 1, 2, 3, 4, 5, 6, 7, 8);
    await settle();
    const early = [...events];

    work.finish(9);
    await done;

    expect([early, events]).toEqual([[], ['finish', 'close', 'end']]);
    expect(lease.end()).toBe(0);
  });
});

describe('a concurrent sink that fails', () => {
  test('reports the first error after all work in flight has ended', async () => {
    const done = start(sinkOf(3));
    await settle();

    work.fail(1, new Error('upload'));
    work.finish(0);
    await settle();
    const early = [...events];
    work.fail(2, new Error('later'));

    const { cause } = await failureOf(done);
    expect(early).toEqual([]);
    expect(cause).toMatchObject({ message: 'upload' });
    expect(work.started).toEqual([0, 1, 2]);
  });

  test('releases the slots of all its records by itself', async () => {
    const sink = sinkOf(3);
    sink.on('error', () => {});
    for await (const record of readerRecords(lease, 'ABC')) sink.write(record);

    work.fail(0, new Error('upload'));
    work.finish(1, 2);
    await settle();

    expect(slab.inUseCount).toBe(0);
    expect(events).toEqual(['close']);
  });

  test('ends in the same way when its work throws at once', async () => {
    const done = start(
      sinkOf(3, () => {
        throw STOP;
      }),
    );

    const { cause } = await failureOf(done);

    expect(cause).toBe(STOP);
  });

  test('does not call its finisher', async () => {
    const finish = (): void => void events.push('finish');
    const done = start(sinkOf(16, work.consume, finish));
    await settle();

    work.finish(0, 1, 2, 3, 4, 5, 6, 7, 8);
    work.fail(9, STOP);
    await failureOf(done);
    await settle();

    expect(events).toEqual(['close', 'end']);
  });

  test('reports a slot that its work has released', async () => {
    const done = start(
      sinkOf(1, async (record) => {
        if (record.kind === 'data') record.slot.release();
      }),
    );

    expect((await failureOf(done)).code).toBe('INTERNAL_INVARIANT');
  });
});

describe('a concurrent sink that is destroyed', () => {
  test('tells its work, and closes when that has ended', async () => {
    const controller = new AbortController();
    const done = start(sinkOf(2), controller.signal);
    await settle();

    controller.abort();
    work.finish(0);
    await settle();
    const early = [...events];
    const isTold = work.signals.map((signal) => signal.aborted);
    work.finish(1);

    expect((await failureOf(done)).code).toBe('CANCELLED');
    expect(early).toEqual([]);
    expect(isTold).toEqual([true, true]);
  });

  test('waits for work that was started while it was destroyed', async () => {
    const sink = sinkOf(2, (record, signal) => {
      sink.destroy();
      return work.consume(record, signal);
    });
    for await (const record of readerRecords(lease, 'A')) sink.write(record);
    await settle();

    const early = [...events];
    work.finish(0);
    await settle();

    expect([early, events]).toEqual([[], ['close']]);
  });

  test('waits for its finisher', async () => {
    let endFinish: (() => void) | undefined;
    const finish = (): Promise<void> => new Promise((resolve) => (endFinish = resolve));
    const sink = sinkOf(2, () => Promise.resolve(), finish);
    sink.end();
    await settle();

    sink.destroy();
    await settle();
    const early = [...events];
    endFinish?.();
    await settle();

    expect([early, events]).toEqual([[], ['close']]);
  });
});

describe('a concurrent sink whose work fails', () => {
  test('gives the error to the callback of that write', async () => {
    const boom = new Error('boom');
    const sink = sinkOf(1, () => Promise.reject(boom));
    sink.on('error', () => {});
    const { value: record } = await readerRecords(lease, 'A').next();
    const failure = await new Promise((resolve) => sink.write(record, resolve));

    expect(failure).toBe(boom);
  });
});

describe('the end of a concurrent sink', () => {
  test('can be stopped by the signal that it gets', async () => {
    const abort = new AbortController();
    const finish = async (signal: AbortSignal): Promise<void> => {
      const stopped = new Promise((resolve) => signal.addEventListener('abort', resolve));
      abort.abort(STOP);
      await stopped;
    };
    const sink = sinkOf(1, async () => {}, finish);

    expect(await failureOf(start(sink, abort.signal))).toMatchObject({ code: 'CANCELLED' });
    expect(events).toContain('close');
  });
});
