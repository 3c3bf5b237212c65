/**
 * Threads start with the first job, or earlier on request. Tests cover threads that cannot start,
 * and pools that are closed before they start.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { createSlab, type Slot } from '../../../src/flow/slab.ts';
import type { SlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { expectCode } from '../../helpers/errors.ts';

const BLOCK_BYTES = 16_384;

const threads = vi.hoisted(() => ({ started: 0, ended: 0, room: 0 }));

vi.mock('node:worker_threads', async (load) => {
  const real = await load<typeof import('node:worker_threads')>();
  class Worker extends real.Worker {
    constructor(...args: ConstructorParameters<typeof real.Worker>) {
      // The error of Node when the system allows no more threads.
      if (threads.started >= threads.room)
        throw new Error('EAGAIN: resource temporarily unavailable');
      threads.started++;
      super(...args);
      this.once('exit', () => {
        threads.ended++;
      });
    }
  }
  return { ...real, Worker };
});

let pool: WorkerPool;

afterEach(async () => {
  await pool.close();
});

async function slotOf(workers: number, room: number, kernels?: SlabKernels): Promise<Slot> {
  Object.assign(threads, { started: 0, ended: 0, room });
  const slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 4 * BLOCK_BYTES });
  pool = await createWorkerPool({ slab, workers, kernels });
  return await slab.lease().acquireRaw();
}

test('a pool that can start no thread fails its jobs', async () => {
  const slot = await slotOf(2, 0);

  await expectCode(pool.hash(slot, BLOCK_BYTES), 'WORKER_CRASHED');
  await expectCode(pool.hash(slot, BLOCK_BYTES), 'WORKER_CRASHED');
});

test('a pool goes on with the threads that could be started', async () => {
  const slot = await slotOf(3, 1);

  expect((await pool.hash(slot, BLOCK_BYTES)).fingerprint).not.toBe(0n);
});

test('a pool that is closed before its first job left starts no thread', async () => {
  const slot = await slotOf(2, 2);
  const hashed = expectCode(pool.hash(slot, BLOCK_BYTES), 'INTERNAL_INVARIANT');

  await pool.close();
  await nextTurn();
  await nextTurn();

  await hashed;
  expect(threads.started).toBe(0);
});

test('threads that were started before are those that work', async () => {
  const slot = await slotOf(2, 2);

  pool.start();
  pool.start();
  await pool.hash(slot, BLOCK_BYTES);

  expect(threads.started).toBe(2);
});

test('a pool that works on the calling thread starts none', async () => {
  await slotOf(0, 2);

  pool.start();

  expect(threads.started).toBe(0);
});

test('a start that fails is told to the first job', async () => {
  const slot = await slotOf(2, 0);

  pool.start();

  await expectCode(pool.hash(slot, BLOCK_BYTES), 'WORKER_CRASHED');
});

test('a thread that dies before the first job tells it why', async () => {
  const slot = await slotOf(1, 1, { md5: {} as never });

  pool.start();
  await vi.waitFor(() => expect(threads.ended).toBe(1), { timeout: 20_000 });

  const { message } = await expectCode(pool.hash(slot, BLOCK_BYTES), 'WORKER_CRASHED');
  expect(message).toMatch(/the last one ended: .*WebAssembly/);
});

test('a pool that was closed starts no thread', async () => {
  await slotOf(2, 2);
  await pool.close();

  pool.start();

  expect(threads.started).toBe(0);
});
