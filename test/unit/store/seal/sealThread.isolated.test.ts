/** The thread that seals: when it starts, when it ends, and what happens when it dies. */
import { beforeEach, expect, test, vi } from 'vitest';
import { KeyRing, newRepositoryKey } from '../../../../src/store/seal/keys.ts';
import { CHUNK_BYTES } from '../../../../src/store/seal/sealFormat.ts';
import { SealedWriter } from '../../../../src/store/seal/sealedWriter.ts';
import { noise } from '../../../helpers/bytes/random.ts';
import { expectCode } from '../../../helpers/codes.ts';
import { StoredContainer } from '../../../helpers/repository/memoryStore.ts';

const threads = vi.hoisted(() => ({
  running: new Set<{ terminate(): Promise<number> }>(),
  started: 0,
}));

vi.mock('node:worker_threads', async (load) => {
  const real = await load<typeof import('node:worker_threads')>();
  class Worker extends real.Worker {
    constructor(...args: ConstructorParameters<typeof real.Worker>) {
      super(...args);
      threads.started++;
      threads.running.add(this);
      this.once('exit', () => threads.running.delete(this));
    }
  }
  return { ...real, Worker };
});

const START_CHUNKS = 4;
const LARGE = noise('thread', 20 * CHUNK_BYTES);

let below: StoredContainer;
let writer: SealedWriter;

beforeEach(async () => {
  threads.started = 0;
  below = new StoredContainer('web.vbk', Buffer.alloc(0), true);
  const place = { file: 'web.vbk', folder: 'web', fileName: 'web.vbk' };
  const keys = new KeyRing([newRepositoryKey()]);
  writer = await SealedWriter.create(below, keys, place, { startChunks: START_CHUNKS });
});

test('a small container starts none', async () => {
  await writer.write([LARGE.subarray(0, START_CHUNKS * CHUNK_BYTES)], 0);
  await writer.close();

  expect(threads.started).toBe(0);
});

test('it ends when the container is closed', async () => {
  await writer.write([LARGE], 0);
  expect(threads.running.size).toBe(1);

  await writer.close();

  expect(threads.running.size).toBe(0);
});

async function endThreads(): Promise<void> {
  for (const thread of threads.running) await thread.terminate();
}

test('one that dies fails the calls after it, and the close of a container that is not whole', async () => {
  await writer.write([LARGE], 0);
  await endThreads();

  await expectCode(writer.write([LARGE], LARGE.length), 'WORKER_CRASHED');
  await expectCode(writer.sync(), 'WORKER_CRASHED');
  const { length } = below.content;
  await expectCode(writer.close(), 'WORKER_CRASHED');

  expect(below.isClosed).toBe(true);
  expect(below.content).toHaveLength(length);
});

test('one that dies before the close fails the close', async () => {
  await writer.write([LARGE], 0);
  await endThreads();

  await expectCode(writer.close(), 'WORKER_CRASHED');
  expect(below.isClosed).toBe(true);
});

test('one that dies when it has nothing to do fails the next call and the close', async () => {
  await writer.write([LARGE], 0);
  // The run of chunks ends with it.
  await writer.write([LARGE.subarray(0, CHUNK_BYTES)], 0);
  await endThreads();

  await expectCode(writer.write([LARGE.subarray(0, 9)], LARGE.length), 'WORKER_CRASHED');
  await expectCode(writer.read(Buffer.alloc(9), 0), 'WORKER_CRASHED');
  await expectCode(writer.close(), 'WORKER_CRASHED');
  expect(below.isClosed).toBe(true);
});

test('one that dies at work fails the write that waits for it', async () => {
  await writer.write([LARGE], 0);
  const writing = expectCode(writer.write([LARGE], LARGE.length), 'WORKER_CRASHED');
  for (const thread of threads.running) void thread.terminate();

  await writing;
  await expectCode(writer.close(), 'WORKER_CRASHED');
  expect(below.isClosed).toBe(true);
});

test('a write that cannot read a chunk back fails the close too', async () => {
  await writer.write([LARGE], 0);
  const read = below.read.bind(below);
  below.read = async () => {
    throw new Error('a broken cable');
  };
  await expect(writer.write([LARGE.subarray(0, 9)], 0)).rejects.toThrow('a broken cable');
  below.read = read;

  await expect(writer.close()).rejects.toThrow('a broken cable');
  expect(below.isClosed).toBe(true);
});
