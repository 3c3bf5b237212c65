/**
 * Worker threads for the CPU work on one slab. Jobs queue here and leave in batches, so that one
 * message carries up to eight blocks. With `workers: 0` this thread does the same jobs.
 */
import { InternalError, invariant } from '../core/errors.ts';
import { KIB } from '../core/units.ts';
import type { Compression } from './compression.ts';
import { JobQueue } from './jobQueue.ts';
import { InlineRunner, type JobRunner, rejectAll } from './jobRunner.ts';
import {
  readRangeFingerprints,
  MAX_RANGE_BLOCKS,
  readResult,
  type JobResult,
} from './resultRecord.ts';
import { compileSlabKernels, type SlabKernels } from './kernels/slabKernels.ts';
import type {
  ExpandResult,
  FileRange,
  HashResult,
  JobMemory,
  JobSlot,
  PackResult,
  ReadResult,
  StoredForm,
  UnpackResult,
} from './poolTypes.ts';
import type { WorkerSetup } from './blockWorker.ts';
import { ThreadRunner } from './threadRunner.ts';
import {
  JOB_CODECS,
  JOB_EXPAND,
  JOB_HASH,
  JOB_PACK,
  JOB_FINGERPRINT_RANGE,
  JOB_READ,
  JOB_UNPACK,
  type WorkerJob,
  type ThreadTools,
} from './workerJobs.ts';
import { createThreadTools } from './runJobs.ts';

/**
 * Bytes read at a time while a range is fingerprinted. Two such windows fit the second-level cache
 * of common server processors.
 */
const RANGE_WINDOW_BYTES = 128 * KIB;
/** Values of a job for the fields that its kind does not use. */
const JOB_DEFAULTS = {
  targetOffset: 0,
  targetBytes: 0,
  codecNumber: 0,
  fileDescriptor: -1,
  blockSizeBytes: 0,
} as const;

/** Parts of a pool; {@link loadPoolParts} makes them. */
export interface PoolParts {
  /** Undefined: they are compiled when the threads start. */
  readonly kernels: SlabKernels | undefined;
  readonly compression: Compression;
  /** Tools of the calling thread, when it does the jobs itself. */
  readonly inline: ThreadTools | undefined;
}

/**
 * Does CPU work on blocks in the slots of one slab, in worker threads or on the calling thread.
 *
 * Each method uses the slots that it gets until its promise settles; the caller keeps them until
 * then. A slot may be in one job at a time. A job rejects with {@link InternalError}
 * `WORKER_CRASHED` when its thread failed, and `INTERNAL_INVARIANT` when the pool was closed.
 */
export class WorkerPool {
  readonly workerCount: number;
  readonly #slab: JobMemory;
  readonly #queue: JobQueue;
  readonly #runner: JobRunner;
  #isClosed = false;

  constructor(slab: JobMemory, workerCount: number, parts: PoolParts) {
    const { kernels, compression, inline } = parts;
    this.#slab = slab;
    this.#queue = new JobQueue(workerCount, slab.packedCount);
    // Neither memory nor kernels are made for a pool without jobs.
    const setup = (): WorkerSetup => ({
      memory: slab.memory,
      kernels: kernels ?? compileSlabKernels(),
      compression,
    });
    this.#runner = inline
      ? new InlineRunner(this.#queue, inline)
      : new ThreadRunner(this.#queue, workerCount, setup);
    this.workerCount = workerCount;
  }

  /**
   * Starts the threads now, so that they get ready while the caller does other things. Otherwise
   * the first job starts them.
   */
  start(): void {
    this.#runner.start();
  }

  /** Fingerprint of the first `lengthBytes` of a raw slot. */
  async hash(slot: JobSlot, lengthBytes: number): Promise<HashResult> {
    const result = await this.#submit({
      ...JOB_DEFAULTS,
      kind: JOB_HASH,
      resultIndex: slot.slotIndex,
      sourceOffset: slot.bytes.byteOffset,
      sourceBytes: lengthBytes,
    });
    return { fingerprint: result.fingerprint, workMs: result.workMs };
  }

  /**
   * Reads a range of an open file into a raw slot and computes its fingerprint.
   *
   * @param range - not longer than the slot.
   */
  async read(range: FileRange, slot: JobSlot): Promise<ReadResult> {
    invariant(range.lengthBytes <= slot.bytes.length, 'read of more than a slot');
    const { status, fingerprint } = await this.#submit({
      ...JOB_DEFAULTS,
      kind: JOB_READ,
      resultIndex: slot.slotIndex,
      sourceOffset: range.offsetBytes,
      sourceBytes: range.lengthBytes,
      targetOffset: slot.bytes.byteOffset,
      targetBytes: range.lengthBytes,
      fileDescriptor: range.fileDescriptor,
    });
    return { isWhole: status === 0, fingerprint };
  }

  /**
   * Fingerprints of the blocks in a range of a file; 0 for a block of zeros. The bytes are not
   * kept: they pass through the first bytes of a raw slot.
   *
   * @param range - at most {@link MAX_RANGE_BLOCKS} blocks of `blockSizeBytes`. The last one may
   *   be shorter.
   * @param signal - an abort takes back a waiting job. A job that has begun is waited for.
   * @returns undefined when not all of the range could be read
   */
  async fingerprintRange(
    range: FileRange,
    blockSizeBytes: number,
    slot: JobSlot,
    signal?: AbortSignal,
  ): Promise<readonly bigint[] | undefined> {
    const blockCount = Math.ceil(range.lengthBytes / blockSizeBytes);
    invariant(blockCount <= MAX_RANGE_BLOCKS, 'more blocks than fit a result record');
    const job: WorkerJob = {
      ...JOB_DEFAULTS,
      kind: JOB_FINGERPRINT_RANGE,
      resultIndex: slot.slotIndex,
      sourceOffset: range.offsetBytes,
      sourceBytes: range.lengthBytes,
      targetOffset: slot.bytes.byteOffset,
      targetBytes: Math.min(RANGE_WINDOW_BYTES, this.#slab.slotBytes),
      fileDescriptor: range.fileDescriptor,
      blockSizeBytes,
    };
    await this.#complete(job, signal);
    return readRangeFingerprints(this.#slab.memory.buffer, slot.slotIndex, blockCount);
  }

  /**
   * Digest and stored form of the first `lengthBytes` of a raw slot. The stored form is in
   * `packed`, or still in `raw` when the codec is plain.
   */
  async pack(raw: JobSlot, lengthBytes: number, packed: JobSlot): Promise<PackResult> {
    const result = await this.#submit({
      ...JOB_DEFAULTS,
      kind: JOB_PACK,
      resultIndex: raw.slotIndex,
      sourceOffset: raw.bytes.byteOffset,
      sourceBytes: lengthBytes,
      targetOffset: packed.bytes.byteOffset,
      targetBytes: this.#slab.slotBytes,
    });
    const { storedBytes, digest, workMs } = result;
    return { codec: result.isLz4 ? 'lz4' : 'plain', storedBytes, digest, workMs };
  }

  /**
   * Expands a stored block from `packed` into the first `plainBytes` of `raw`. Length and CRC are
   * checked. The caller compares the digest.
   */
  async unpack(
    packed: JobSlot,
    stored: StoredForm,
    raw: JobSlot,
    plainBytes: number,
  ): Promise<UnpackResult> {
    const job = unpackJob(JOB_UNPACK, packed, stored, raw, plainBytes);
    const { status, digest, fingerprint, workMs } = await this.#submit(job);
    return { status, digest, fingerprint, workMs };
  }

  /**
   * As {@link unpack}, without the digest: for a block whose fingerprint the caller compares. It
   * takes less than half the time for one block.
   */
  async expand(
    packed: JobSlot,
    stored: StoredForm,
    raw: JobSlot,
    plainBytes: number,
  ): Promise<ExpandResult> {
    const job = unpackJob(JOB_EXPAND, packed, stored, raw, plainBytes);
    const { status, fingerprint, workMs } = await this.#submit(job);
    return { status, fingerprint, workMs };
  }

  /**
   * Ends the threads. Call it only when no chain uses the pool any more. Jobs that still wait are
   * rejected.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    rejectAll(this.#queue.drain(), new InternalError('INTERNAL_INVARIANT', 'pool closed'));
    await this.#runner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #submit(job: WorkerJob): Promise<JobResult> {
    await this.#complete(job);
    return readResult(this.#slab.memory.buffer, job.resultIndex);
  }

  /**
   * @param signal - an abort takes the job back while it waits. A job that has left is finished.
   */
  async #complete(job: WorkerJob, signal?: AbortSignal): Promise<void> {
    invariant(!this.#isClosed, 'job after the pool was closed');
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const queued = {
        job,
        resolve: () => {
          signal?.removeEventListener('abort', takeBack);
          resolve();
        },
        reject: (error: Error) => {
          signal?.removeEventListener('abort', takeBack);
          reject(error);
        },
      };
      const takeBack = (): void => {
        if (this.#queue.remove(queued)) reject(signal?.reason);
      };
      signal?.addEventListener('abort', takeBack, { once: true });
      this.#queue.push(queued);
      this.#runner.wake();
    });
  }
}

function unpackJob(
  kind: typeof JOB_UNPACK | typeof JOB_EXPAND,
  packed: JobSlot,
  stored: StoredForm,
  raw: JobSlot,
  plainBytes: number,
): WorkerJob {
  return {
    ...JOB_DEFAULTS,
    kind,
    resultIndex: raw.slotIndex,
    sourceOffset: packed.bytes.byteOffset,
    sourceBytes: stored.storedBytes,
    targetOffset: raw.bytes.byteOffset,
    targetBytes: plainBytes,
    codecNumber: JOB_CODECS.indexOf(stored.codec),
  };
}

/** Options of {@link createWorkerPool}. */
export interface WorkerPoolOptions {
  readonly slab: JobMemory;
  /** Number of threads, 0 or more. With 0 the calling thread does the jobs. */
  readonly workers: number;
  /**
   * Kernels for the slab. node:crypto and xxhash-wasm replace a missing one.
   *
   * @defaultValue those that this machine can execute
   */
  readonly kernels?: SlabKernels | undefined;
  /**
   * For `pack`. The caller has checked it with `checkCompression`.
   *
   * @defaultValue default
   */
  readonly compression?: Compression | undefined;
}

/** For `workers: 0`, compiles the kernels and loads the tools of the calling thread. */
export async function loadPoolParts(options: WorkerPoolOptions): Promise<PoolParts> {
  const { slab, workers, compression = 'default' } = options;
  if (workers > 0) return { kernels: options.kernels, compression, inline: undefined };
  const kernels = options.kernels ?? compileSlabKernels();
  const inline = await createThreadTools(slab.memory, kernels, compression);
  return { kernels, compression, inline };
}

/** Makes a worker pool for one slab. The caller closes it. */
export async function createWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  return new WorkerPool(options.slab, options.workers, await loadPoolParts(options));
}
