import { pipeline } from 'node:stream/promises';
import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { createStageStats } from '../../../src/core/stats.ts';
import { OrderedStage, type OrderedStageOptions } from '../../../src/flow/orderedStage.ts';
import { sourceOf } from '../../helpers/pipeline/records.ts';

type Run = OrderedStageOptions<number, number>['run'];

function stageOf(concurrency: number, run: Run): OrderedStage<number, number> {
  return new OrderedStage({ concurrency, run, stats: createStageStats() });
}

/** Work that ends when the test tells it to. */
class ManualWork {
  readonly started: number[] = [];
  readonly #open = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();

  readonly run = (record: number): Promise<number[]> => {
    this.started.push(record);
    return new Promise((resolve, reject) => {
      this.#open.set(record, { resolve: () => resolve([record]), reject });
    });
  };

  finish(record: number): void {
    this.#open.get(record)?.resolve();
  }

  fail(record: number, error: Error): void {
    this.#open.get(record)?.reject(error);
  }
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Waits until all callbacks that are due without new input are done. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

async function outputOf(stage: OrderedStage<number, number>, input: number[]): Promise<number[]> {
  const output: number[] = [];
  const sink = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(record: number, _encoding, done) {
      output.push(record);
      done();
    },
  });
  await pipeline(sourceOf(input), stage, sink);
  return output;
}

/** Work that takes another number of turns for each record. */
const unevenWork = async (record: number): Promise<number[]> => {
  const turns = (record * 7) % 5;
  for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
  return [record];
};

describe('an ordered stage', () => {
  test.each([1, 2, 4, 16, 100])('keeps the order with %d records inside', async (concurrency) => {
    expect(await outputOf(stageOf(concurrency, unevenWork), range(60))).toEqual(range(60));
  });

  test.each([undefined, null, 'text'])('fails when work rejects with %j', async (reason) => {
    const stage = stageOf(2, () => Promise.reject(reason));
    await expect(outputOf(stage, [1])).rejects.toThrow(String(reason));
  });

  test('puts several results of one record in its place', async () => {
    const stage = stageOf(4, async (record) => range(record));

    expect(await outputOf(stage, [3, 0, 1, 2])).toEqual([0, 1, 2, 0, 0, 1]);
  });

  test('mixes finished and unfinished work in order', async () => {
    const stage = stageOf(4, (record) => (record % 2 === 0 ? [record] : unevenWork(record)));

    expect(await outputOf(stage, range(20))).toEqual(range(20));
  });

  test('ends with no output when every record is dropped', async () => {
    expect(
      await outputOf(
        stageOf(4, () => []),
        range(20),
      ),
    ).toEqual([]);
  });

  test('ends when it gets no record', async () => {
    expect(await outputOf(stageOf(4, unevenWork), [])).toEqual([]);
  });

  test('holds a finished record back until the one before it is done', async () => {
    const work = new ManualWork();
    const stage = stageOf(3, work.run);
    const output: number[] = [];
    stage.on('data', (record: number) => output.push(record));
    for (const record of range(3)) stage.write(record);
    await settle();

    work.finish(2);
    work.finish(1);
    await settle();
    const before = [...output];
    work.finish(0);
    await settle();

    expect([before, output]).toEqual([[], [0, 1, 2]]);
    stage.destroy();
  });

  test.each([1, 3])('starts at most %d pieces of work at once', async (concurrency) => {
    const work = new ManualWork();
    const stage = stageOf(concurrency, work.run);
    stage.resume();
    const done = pipeline(sourceOf(range(10)), stage, new Writable({ objectMode: true }));
    done.catch(() => {});
    await settle();

    const startedCount = work.started.length;

    expect(startedCount).toBe(concurrency);
    stage.destroy();
    for (const record of range(10)) work.finish(record);
    await done.catch(() => {});
  });

  test('stops taking records while nobody reads it', async () => {
    let startedCount = 0;
    const stage = stageOf(4, (record) => {
      startedCount++;
      return Promise.resolve([record]);
    });
    const stuck = new Writable({ objectMode: true, highWaterMark: 1, write() {} });
    const done = pipeline(sourceOf(range(1_000)), stage, stuck);
    done.catch(() => {});
    await settle();

    expect(startedCount).toBeLessThanOrEqual(4 + 3);
    stuck.destroy();
    await done.catch(() => {});
  });
});

test('an ordered stage pulls the results of one record only as they are taken', async () => {
  let pulled = 0;
  function* endless(): Generator<number> {
    for (;;) yield pulled++;
  }
  const stage = new OrderedStage<number, number>({
    concurrency: 1,
    stats: createStageStats(),
    run: endless,
  });
  stage.write(0);

  for (let k = 0; k < 3; k++) {
    while (stage.read() === null) await settle();
  }
  await settle();

  expect(pulled).toBeLessThan(8);
  stage.destroy();
});

describe('a failing ordered stage', () => {
  test('reports the error of rejected work', async () => {
    const error = new Error('work');
    const stage = stageOf(4, (record) => (record === 5 ? Promise.reject(error) : [record]));

    await expect(outputOf(stage, range(10))).rejects.toBe(error);
  });

  test('reports an error thrown before work starts', async () => {
    const error = new Error('start');
    const stage = stageOf(4, (record) => {
      if (record === 5) throw error;
      return [record];
    });

    await expect(outputOf(stage, range(10))).rejects.toBe(error);
  });

  test('reports the first error when several pieces fail', async () => {
    const stage = stageOf(4, (record) => Promise.reject(new Error(`work ${record}`)));

    await expect(outputOf(stage, range(4))).rejects.toThrow('work 0');
  });

  test('does not close while work is in progress', async () => {
    const work = new ManualWork();
    const stage = stageOf(2, work.run);
    stage.on('error', () => {});
    stage.write(0);
    stage.write(1);
    await settle();

    stage.destroy(new Error('stop'));
    work.finish(0);
    await settle();
    const closedEarly = stage.closed;
    work.finish(1);
    await settle();

    expect([closedEarly, stage.closed]).toEqual([false, true]);
  });

  test('waits for work that was started while it was destroyed', async () => {
    const work = new ManualWork();
    const stage: OrderedStage<number, number> = stageOf(2, (record) => {
      stage.destroy();
      return work.run(record);
    });
    stage.write(0);
    await settle();

    const closedEarly = stage.closed;
    work.finish(0);
    await settle();

    expect([closedEarly, stage.closed]).toEqual([false, true]);
  });

  test('closes when the rest of the work fails too', async () => {
    const work = new ManualWork();
    const stage = stageOf(2, work.run);
    const errors: Error[] = [];
    stage.on('error', (error) => errors.push(error));
    stage.write(0);
    stage.write(1);
    await settle();

    work.fail(1, new Error('second'));
    await settle();
    work.fail(0, new Error('first'));
    await settle();

    expect([stage.closed, errors.map((error) => error.message)]).toEqual([true, ['second']]);
  });
});
