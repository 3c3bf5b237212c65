import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { createSlab, type Slab, type Slot } from '../../../src/flow/slab.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import type { Compression } from '../../../src/compute/compression.ts';
import { loadLz4 } from '../../../src/compute/lz4Binding.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { wordText } from '../../helpers/bytes/random.ts';
import { blockContent } from '../../helpers/pipeline/diskPicture.ts';
import { expectCode } from '../../helpers/codes.ts';

const SMALL_BLOCK_BYTES = 16_384;
const PICTURE = 'AB1C2DE3F4';

interface Bench {
  readonly slab: Slab;
  readonly pool: WorkerPool;
  readonly raw: readonly Slot[];
  readonly packed: readonly Slot[];
  readonly threads: readonly Worker[];
}

const open: WorkerPool[] = [];

afterEach(async () => {
  for (const pool of open.splice(0)) await pool.close();
});

/** A pool and slots with the blocks of the picture. */
async function benchOf(workers: number, compression?: Compression): Promise<Bench> {
  const slab = createSlab({ blockSizeBytes: SMALL_BLOCK_BYTES, slabBytes: 30 * SMALL_BLOCK_BYTES });
  const lease = slab.lease('pack');
  const letters = Array.from(PICTURE);
  const raw = await Promise.all(letters.map(() => lease.acquireRaw()));
  const packed = await Promise.all(letters.map(() => lease.acquirePacked()));
  for (const [k, letter] of letters.entries()) {
    raw[k]?.bytes.set(blockContent(letter, SMALL_BLOCK_BYTES));
  }
  const threads: Worker[] = [];
  const remember = (worker: Worker): unknown => threads.push(worker);
  process.on('worker', remember);
  const pool = await createWorkerPool({ slab, workers, compression });
  // The first job starts the threads.
  await pool.hash(raw[0] as Slot, 0);
  process.off('worker', remember);
  open.push(pool);
  return { slab, pool, raw, packed, threads };
}

/** Results of hash, pack and unpack for every block, as text. */
async function resultsOf({ pool, raw, packed }: Bench): Promise<string[]> {
  const hashes = await Promise.all(raw.map((slot) => pool.hash(slot, SMALL_BLOCK_BYTES)));
  const forms = await Promise.all(
    raw.map((slot, k) => pool.pack(slot, SMALL_BLOCK_BYTES, packed[k] as Slot)),
  );
  const stored = forms.map(({ codec, storedBytes }, k) => {
    const slot = (codec === 'plain' ? raw : packed)[k] as Slot;
    return slot.bytes.subarray(0, storedBytes).toString('base64');
  });
  const plain = await Promise.all(
    forms.map((form, k) => {
      if (form.codec === 'plain') packed[k]?.bytes.set(raw[k]?.bytes ?? []);
      return pool.unpack(packed[k] as Slot, form, raw[k] as Slot, SMALL_BLOCK_BYTES);
    }),
  );
  const expanded = await Promise.all(
    forms.map((form, k) => pool.expand(packed[k] as Slot, form, raw[k] as Slot, SMALL_BLOCK_BYTES)),
  );
  expect(expanded.map(({ status, fingerprint }) => [status, fingerprint])).toEqual(
    plain.map(({ status, fingerprint }) => [status, fingerprint]),
  );
  return [hashes, forms, stored, plain].map((part) =>
    JSON.stringify(part, (key, value: unknown) =>
      key === 'workMs' ? 0 : typeof value === 'bigint' ? value.toString() : value,
    ),
  );
}

describe('a worker pool', () => {
  test.each([1, 2])('gives with %d threads what the calling thread gives', async (workers) => {
    const inline = await resultsOf(await benchOf(0));

    expect(await resultsOf(await benchOf(workers))).toEqual(inline);
  });

  test.each(['none', 'default', 'high'] as const)(
    'packs with compression %s, in threads too',
    async (compression) => {
      // Without the native build there is no `high`.
      const wanted = loadLz4().isNative ? compression : 'none';
      const text = wordText(1, SMALL_BLOCK_BYTES);
      const codecs = await createBlockCodecs(wanted);
      const form = codecs.pack(Buffer.from(text), text.length, Buffer.alloc(SMALL_BLOCK_BYTES));

      for (const workers of [0, 1]) {
        const { pool, raw, packed } = await benchOf(workers, wanted);
        raw[0]?.bytes.set(text);
        const result = await pool.pack(raw[0] as Slot, text.length, packed[0] as Slot);
        expect(result).toMatchObject(form);
      }
    },
  );

  test.each([0, 1, 2])('starts %d threads when told so', async (workers) => {
    const { threads } = await benchOf(workers);

    expect(threads.length).toBe(workers);
  });

  test.each([0, 2])('tells the time of its verbs with %d threads', async (workers) => {
    const { pool, raw, packed } = await benchOf(workers);

    const hashed = await pool.hash(raw[0] as Slot, SMALL_BLOCK_BYTES);
    const stored = await pool.pack(raw[0] as Slot, SMALL_BLOCK_BYTES, packed[0] as Slot);

    expect([hashed.workMs, stored.workMs].every((ms) => ms > 0)).toBe(true);
  });
});

describe('a crash', () => {
  test('of the only thread fails the jobs that it had', async () => {
    const { pool, raw, threads } = await benchOf(1);
    const jobs = raw.map((slot) =>
      expectCode(pool.hash(slot, SMALL_BLOCK_BYTES), 'WORKER_CRASHED'),
    );

    await threads[0]?.terminate();

    await Promise.all(jobs);
  });

  test('of all threads fails later jobs at once', async () => {
    const { pool, raw, threads } = await benchOf(2);
    await Promise.all(threads.map((thread) => thread.terminate()));

    await expectCode(pool.hash(raw[0] as Slot, SMALL_BLOCK_BYTES), 'WORKER_CRASHED');
  });

  test('of one thread leaves later jobs to the other', async () => {
    const { pool, raw, threads } = await benchOf(2);
    await threads[0]?.terminate();

    const hashes = await Promise.all(raw.map((slot) => pool.hash(slot, SMALL_BLOCK_BYTES)));

    expect(hashes.every((hash) => hash.fingerprint !== 0n)).toBe(true);
  });

  test('inside a verb fails the job and leaves the thread alive', async () => {
    const { pool, raw } = await benchOf(1);
    const beyondTheSlab = 2 ** 31;

    await expectCode(pool.hash(raw[0] as Slot, beyondTheSlab), 'WORKER_CRASHED');

    expect(await pool.hash(raw[0] as Slot, SMALL_BLOCK_BYTES)).not.toBe(0n);
  });
});

describe('closing', () => {
  test('rejects jobs still queued', async () => {
    const { pool, raw } = await benchOf(1);
    const outcomes = Promise.allSettled(raw.map((slot) => pool.hash(slot, SMALL_BLOCK_BYTES)));

    await pool.close();

    const states = (await outcomes).map((outcome) => outcome.status);
    expect(states.at(-1)).toBe('rejected');
  });

  test.each([0, 2])('refuses later jobs with %d threads', async (workers) => {
    const { pool, raw } = await benchOf(workers);
    await pool.close();

    await expectCode(pool.hash(raw[0] as Slot, SMALL_BLOCK_BYTES), 'INTERNAL_INVARIANT');
  });

  test('twice is allowed', async () => {
    const { pool } = await benchOf(2);
    await pool.close();

    await expect(pool.close()).resolves.toBeUndefined();
  });

  test('ends every thread', async () => {
    const { pool, threads } = await benchOf(2);
    const ended = threads.map((thread) => new Promise((resolve) => thread.once('exit', resolve)));

    await pool[Symbol.asyncDispose]();

    expect(await Promise.all(ended)).toHaveLength(2);
  });
});
