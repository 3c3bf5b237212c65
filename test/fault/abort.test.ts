/** A pipeline always reports why it ended, and leaves nothing behind. */
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import {
  InternalError,
  RepositoryError,
  TransferError,
  type ErrorCode,
} from '../../src/core/errors.ts';
import type { SinkBlock } from '../../src/flow/records.ts';
import { expectCode } from '../helpers/codes.ts';
import { type Fault, type FaultPlace, openFaultRun } from '../helpers/faults/pipelineFault.ts';
import type { PipelineRun } from '../helpers/pipeline/pipelineRun.ts';

const TIMEOUT_MS = 3_000;
const PLACES: readonly FaultPlace[] = ['extents', 'read', 'hash', 'pack', 'write'];
const MOMENTS = [1, 4, 12];

const everywhere = PLACES.flatMap((place) => MOMENTS.map((count) => ({ place, count })));

async function expectFailure(fault: Fault, workers: number, code: ErrorCode): Promise<void> {
  const faultRun = await openFaultRun(fault, workers);

  await expectCode(faultRun.backup(), code);

  expect(faultRun.hasStruck()).toBe(true);
  await faultRun.expectNothingLeft();
}

function abort(run: PipelineRun): void {
  run.controller.abort();
}

function abortForLock(run: PipelineRun): void {
  run.controller.abort(new RepositoryError('REPOSITORY_LOCKED', 'lock lost'));
}

function runOutOfSpace(): Promise<void> {
  return Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
}

/** Work that ends only because the pipeline is aborted. */
async function waitForAbort(run: PipelineRun): Promise<void> {
  const { controller } = run;
  const aborted = once(controller.signal, 'abort');
  setImmediate(() => controller.abort());
  await aborted;
  controller.signal.throwIfAborted();
}

/** A sink that refuses its first record. */
function fullSink(): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write: (_record, _encoding, done) => done(new RepositoryError('REPOSITORY_FULL', 'full')),
  });
}

/** A sink that does not release the slots it gets. */
function leakingSink(): Writable {
  return new Writable({
    objectMode: true,
    highWaterMark: 1,
    write: (_record: SinkBlock, _encoding, done) => done(),
  });
}

function endThreads(run: PipelineRun): void {
  for (const thread of run.threads) void thread.terminate();
}

/** Closes a sink that was never connected. */
async function closeUnused(sink: Writable): Promise<void> {
  sink.destroy();
  await once(sink, 'close');
}

describe.each([0, 2])('with %d workers', { timeout: TIMEOUT_MS }, (workers) => {
  test('a run without a fault leaves nothing behind', async () => {
    const faultRun = await openFaultRun(undefined, workers);

    await faultRun.backup();

    expect(faultRun.run.lease.end()).toBe(0);
    await faultRun.expectNothingLeft();
  });

  test.each(everywhere)('an abort at $place $count cancels', async ({ place, count }) => {
    await expectFailure({ place, count, strike: abort }, workers, 'CANCELLED');
  });

  test.each(PLACES)('an abort at %s gives the reason of the caller', async (place) => {
    await expectFailure({ place, count: 4, strike: abortForLock }, workers, 'REPOSITORY_LOCKED');
  });

  test.each([
    { place: 'extents', error: new TransferError('TRANSFER_READ_FAILED', 'extents') },
    { place: 'read', error: new TransferError('TRANSFER_READ_FAILED', 'read') },
    { place: 'hash', error: new InternalError('WORKER_CRASHED', 'hash') },
    { place: 'pack', error: new InternalError('WORKER_CRASHED', 'pack') },
    { place: 'write', error: new RepositoryError('REPOSITORY_FULL', 'write') },
  ] as const)('an error at $place ends the run with it', async ({ place, error }) => {
    for (const count of MOMENTS) {
      const strike = (): Promise<void> => Promise.reject(error);

      await expectFailure({ place, count, strike }, workers, error.code);
    }
  });

  test('an error of the first sink write ends the run', async () => {
    const faultRun = await openFaultRun(undefined, workers);

    await expectCode(faultRun.run.backupTo(fullSink()), 'REPOSITORY_FULL');

    await closeUnused(faultRun.sink);
    await faultRun.expectNothingLeft();
  });

  test('an abort before the start cancels', async () => {
    const faultRun = await openFaultRun(undefined, workers);
    faultRun.run.controller.abort();

    await expectCode(faultRun.backup(), 'CANCELLED');

    await faultRun.expectNothingLeft();
  });
});

describe('a crash of all threads', { timeout: TIMEOUT_MS }, () => {
  test.each(everywhere)('at $place $count ends the run', async ({ place, count }) => {
    await expectFailure({ place, count, strike: endThreads }, 2, 'WORKER_CRASHED');
  });
});

describe('an operating-system error of a sink', { timeout: TIMEOUT_MS }, () => {
  test('keeps its errno as cause', async () => {
    const faultRun = await openFaultRun({ place: 'write', count: 4, strike: runOutOfSpace }, 0);

    const failure = await expectCode(faultRun.backup(), 'INTERNAL_INVARIANT');

    expect(failure.cause).toMatchObject({ code: 'ENOSPC' });
    await faultRun.expectNothingLeft();
  });
});

describe('work that waits for the signal only', { timeout: TIMEOUT_MS }, () => {
  test.each(PLACES.slice(0, 2))('at %s ends at an abort', async (place) => {
    await expectFailure({ place, count: 4, strike: waitForAbort }, 0, 'CANCELLED');
  });
});

describe('a read that waits for its signal', { timeout: TIMEOUT_MS }, () => {
  test('ends when the sink fails', async () => {
    const faultRun = await openFaultRun(undefined, 0);
    const { device } = faultRun;
    const readInto = device.readInto.bind(device);
    vi.spyOn(device, 'readInto').mockImplementation(async (target, offsetBytes, signal) => {
      if (offsetBytes > 0) {
        await once(signal, 'abort');
        signal.throwIfAborted();
      }
      return await readInto(target, offsetBytes, signal);
    });

    await expectCode(faultRun.run.backupTo(fullSink()), 'REPOSITORY_FULL');

    await closeUnused(faultRun.sink);
    await faultRun.expectNothingLeft();
  });
});

describe('the control', { timeout: TIMEOUT_MS }, () => {
  test('sees the slots of a sink that never releases them', async () => {
    const faultRun = await openFaultRun(undefined, 0);
    const running = faultRun.run.backupTo(leakingSink());
    const { slab, controller } = faultRun.run;
    while (slab.inUseCount < slab.rawCount + slab.packedCount) await new Promise(setImmediate);
    controller.abort();
    await expectCode(running, 'CANCELLED');

    expect(faultRun.run.lease.end()).toBeGreaterThan(0);
  });

  test('sees a stream that is still open', async () => {
    const faultRun = await openFaultRun(undefined, 0);
    await faultRun.run.backupTo(faultRun.sink);
    const other = await openFaultRun(undefined, 0);

    await expect(other.expectNothingLeft()).rejects.toThrow();
  });

  test('sees files that are still open', async () => {
    const faultRun = await openFaultRun(undefined, 0);
    await faultRun.backup();
    const close = vi.spyOn(faultRun.device, 'close').mockResolvedValueOnce();

    await expect(faultRun.expectNothingLeft()).rejects.toThrow();

    close.mockRestore();
    await faultRun.device.close();
  });
});
