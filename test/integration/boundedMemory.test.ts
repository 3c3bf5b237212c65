/** Memory is bounded by the slab, whatever the size of the disk and the speed of the sink. */
import { EventEmitter, once } from 'node:events';
import { Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { SinkBlock } from '../../src/flow/records.ts';
import { callbackSink } from '../../src/flow/sinks/plainSinks.ts';
import { diskImage } from '../helpers/diskImage.ts';
import { openPipelineRun } from '../helpers/pipelineRun.ts';

const BLOCK_COUNT = 400;
const SLOT_COUNT = 5;

/** A gate that stays shut until the test opens it. */
function createGate(): { open: () => void; opened: Promise<void> } {
  const gate = new EventEmitter();
  return {
    open: () => gate.emit('open'),
    opened: once(gate, 'open').then(() => {}),
  };
}

/** Waits until `count` gives the same number for many turns. */
async function untilSteady(count: () => number): Promise<number> {
  let last = count();
  for (let quietTurns = 0; quietTurns < 200; quietTurns++) {
    await nextTurn();
    if (count() !== last) quietTurns = 0;
    last = count();
  }
  return last;
}

/** Fails when a chain took more blocks from its source than there are slots. */
function expectThrottled(readCount: number): void {
  expect(readCount).toBeLessThanOrEqual(SLOT_COUNT);
}

describe.each([0, 2])('a sink that stands still, %d workers', (workers) => {
  async function stuckRun() {
    const image = diskImage('AB1C2DE3'.repeat(BLOCK_COUNT / 8));
    const gate = createGate();
    let reads = 0;
    let peak = 0;
    const run = await openPipelineRun({
      task: image.task(),
      device: image.device,
      workers,
      tap: (place) => {
        if (place === 'read') reads++;
        peak = Math.max(peak, run.slab.inUseCount);
      },
    });
    onTestFinished(() => run.close());
    const sink = callbackSink<SinkBlock>(() => gate.opened);
    const done = run.backupTo(sink);
    return { run, gate, done, reads: () => reads, peak: () => peak };
  }

  test('throttles the reads', async () => {
    const { reads, gate, done } = await stuckRun();

    const readCount = await untilSteady(reads);

    expectThrottled(readCount);
    gate.open();
    await done;
  });

  test('lets the run go on when it moves again', async () => {
    const { reads, gate, done, run } = await stuckRun();
    await untilSteady(reads);

    gate.open();
    await done;

    expect([reads(), run.lease.end()]).toEqual([BLOCK_COUNT, 0]);
  });

  test('never has more slots in use than there are', async () => {
    const { run, reads, gate, done, peak } = await stuckRun();
    await untilSteady(reads);

    gate.open();
    await done;

    expect(run.slab.rawCount + run.slab.packedCount).toBe(SLOT_COUNT);
    expect(peak()).toBeLessThanOrEqual(SLOT_COUNT);
  });
});

async function twoRuns(sinkOf: (disk: number) => (block: SinkBlock) => Promise<void> | void) {
  const images = ['AB1C2DE3', 'HI4J5KL6'].map((letters) => diskImage(letters.repeat(25)));
  let reads = 0;
  const tap = (place: string): void => void (place === 'read' && reads++);
  const [first, second] = images.map((image) => ({
    task: image.task(),
    device: image.device,
    tap,
  }));
  if (!first || !second) throw new Error('there are two disks');
  const run = await openPipelineRun({ ...first, slabBytes: 10 * first.task.blockSizeBytes });
  onTestFinished(() => run.close());
  const runs = [run, run.besides(second)];
  const done = runs.map((one, k) => one.backupTo(callbackSink<SinkBlock>(sinkOf(k))));
  return { run, done: Promise.all(done), reads: () => reads };
}

describe('two disks that share a slab', () => {
  test('are both throttled by a sink that stands still', async () => {
    const gate = createGate();
    const { run, done, reads } = await twoRuns(() => () => gate.opened);

    const readCount = await untilSteady(reads);

    expect(readCount).toBeLessThanOrEqual(run.slab.rawCount + run.slab.packedCount);
    gate.open();
    await done;
    expect(reads()).toBe(400);
    expect(run.slab.inUseCount).toBe(0);
  });

  test('share it fairly: neither waits until the other is through', async () => {
    const counts = [0, 0];
    const behindAtHalf: number[] = [];
    const { done } = await twoRuns((disk) => async () => {
      await nextTurn();
      counts[disk] = (counts[disk] ?? 0) + 1;
      if (counts[disk] === 100 && behindAtHalf.length === 0) behindAtHalf.push(Math.min(...counts));
    });

    await done;

    expect(counts).toEqual([200, 200]);
    expect(behindAtHalf[0]).toBeGreaterThan(50);
  });
});

/** A naive stage: default high-water mark, bytes inside the record. */
function plainTransform(): Transform {
  return new Transform({
    objectMode: true,
    transform: (block, _encoding, done) => done(null, block),
  });
}

test('the guard fails for plain transforms that carry their own buffers', async () => {
  let reads = 0;
  const source = Readable.from(
    (function* blocks() {
      for (let index = 0; index < BLOCK_COUNT; index++) {
        reads++;
        yield Buffer.alloc(16);
      }
    })(),
  );
  const stuck = new Writable({ objectMode: true, write() {} });
  const done = pipeline([source, ...Array.from({ length: 4 }, plainTransform), stuck]).catch(
    () => {},
  );

  const readCount = await untilSteady(() => reads);

  expect(() => expectThrottled(readCount)).toThrow();
  stuck.destroy();
  await done;
});
