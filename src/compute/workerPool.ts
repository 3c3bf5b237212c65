/**
 * Worker threads for the CPU verbs of one slab. Jobs queue here and leave in batches, so that a message
 * pays for up to eight blocks. `workers: 0` runs the same verbs on this thread.
 */
import { InternalError, invariant } from '../core/errors.ts';
import { KIB } from '../core/units.ts';
import type { StoredCodec } from './lz4Frame.ts';
import { JobQueue } from './jobQueue.ts';
import { InlineRunner, type JobRunner, rejectAll } from './jobRunner.ts';
import type { SharedWasmMemory } from './kernels/wasm.ts';
import {
  readRangeFingerprints,
  MAX_RANGE_BLOCKS,
  readResult,
  type JobResult,
} from './resultRecord.ts';
import { compileSlabKernels, type SlabKernels } from './kernels/slabKernels.ts';
import { ThreadRunner } from './threadRunner.ts';
import {
  JOB_HASH,
  JOB_PACK,
  JOB_FINGERPRINT_RANGE,
  JOB_READ,
  JOB_UNPACK,
  type WorkerJob,
  type ThreadTools,
} from './workerJobs.ts';
import { createThreadTools } from './threadTools.ts';

/** What a look passes through; with that of the next one it fits the second-level cache of common server processors. */
const RANGE_WINDOW_BYTES = 128 * KIB;
/** What most jobs do not name. */
const JOB_DEFAULTS = {
  targetOffset: 0,
  targetBytes: 0,
  isLz4: 0,
  fileDescriptor: -1,
  blockSizeBytes: 0,
} as const;

/** The shared memory that a pool works on; a `Slab` is one. Its result records lie at its start. */
export interface JobMemory {
  readonly memory: SharedWasmMemory;
  /** Bytes of each slot, a multiple of 4096. */
  readonly slotBytes: number;
}

/** A place for one block in that memory; a `Slot` of a slab is one. */
export interface JobSlot {
  /** Names the result record. */
  readonly slotIndex: number;
  readonly bytes: Uint8Array;
}

export interface HashResult {
  readonly fingerprint: bigint;
  /** CPU time of the verb; so in the other results. */
  readonly workMs: number;
}

/** A range of a file that this process has open. */
export interface FileRange {
  readonly fileDescriptor: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface ReadResult {
  /** False when not all of the range could be read; the slot holds anything then. */
  readonly isWhole: boolean;
  /** As in {@link HashResult}; 0 for a block that is all zero. */
  readonly fingerprint: bigint;
}

export interface PackResult {
  readonly workMs: number;
  readonly codec: StoredCodec;
  readonly storedBytes: number;
  readonly digest: Uint8Array;
}

export interface UnpackResult {
  readonly workMs: number;
  /** 0, or what is wrong with the stored block: see storedBlock.ts. */
  readonly status: number;
  readonly digest: Uint8Array;
  readonly fingerprint: bigint;
}

export interface PoolParts {
  readonly kernels: SlabKernels;
  /** What the calling thread works with when there are no others. */
  readonly inline: ThreadTools | undefined;
}

export class WorkerPool {
  readonly workerCount: number;
  readonly #slab: JobMemory;
  readonly #memory: SharedArrayBuffer;
  readonly #queue = new JobQueue();
  readonly #runner: JobRunner;
  #isClosed = false;

  constructor(slab: JobMemory, workerCount: number, { kernels, inline }: PoolParts) {
    this.#slab = slab;
    this.#memory = slab.memory.buffer;
    this.#runner = inline
      ? new InlineRunner(this.#queue, inline)
      : new ThreadRunner(this.#queue, workerCount, { memory: slab.memory, kernels });
    this.workerCount = workerCount;
  }

  /** Starts the threads, which the first job does else, so that they get ready beside what is to be done before it. */
  start(): void {
    this.#runner.start();
  }

  /** Fingerprint of the first `lengthBytes` of a raw slot. */
  async hash(slot: JobSlot, lengthBytes: number): Promise<HashResult> {
    const result = await this.#submit({
      ...JOB_DEFAULTS,
      verb: JOB_HASH,
      resultIndex: slot.slotIndex,
      sourceOffset: slot.bytes.byteOffset,
      sourceBytes: lengthBytes,
    });
    return { fingerprint: result.fingerprint, workMs: result.workMs };
  }

  /** Reads a range of a file that this process has open into a raw slot, with its fingerprint. */
  async read(range: FileRange, slot: JobSlot): Promise<ReadResult> {
    invariant(range.lengthBytes <= slot.bytes.length, 'read of more than a slot');
    const { status, fingerprint } = await this.#submit({
      ...JOB_DEFAULTS,
      verb: JOB_READ,
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
   * The fingerprints alone of the blocks in a range of a file, 0 for one that is all zero; they pass through the
   * first bytes of a raw slot.
   *
   * @param range - at most {@link MAX_RANGE_BLOCKS} blocks of `blockSizeBytes`; the last one may be shorter.
   * @param signal - ends the wait for a thread; what a thread has begun is waited for.
   * @returns undefined when not all of the range could be read
   */
  async fingerprintRange(
    range: FileRange,
    blockSizeBytes: number,
    slot: JobSlot,
    signal?: AbortSignal,
  ): Promise<readonly bigint[] | undefined> {
    const blockCount = Math.ceil(range.lengthBytes / blockSizeBytes);
    invariant(blockCount <= MAX_RANGE_BLOCKS, 'look at more blocks than fit a result');
    const job: WorkerJob = {
      ...JOB_DEFAULTS,
      verb: JOB_FINGERPRINT_RANGE,
      resultIndex: slot.slotIndex,
      sourceOffset: range.offsetBytes,
      sourceBytes: range.lengthBytes,
      targetOffset: slot.bytes.byteOffset,
      targetBytes: Math.min(RANGE_WINDOW_BYTES, this.#slab.slotBytes),
      fileDescriptor: range.fileDescriptor,
      blockSizeBytes,
    };
    await this.#run(job, signal);
    return readRangeFingerprints(this.#memory, slot.slotIndex, blockCount);
  }

  /** Digest and stored form of a raw slot; the form is in `packed`, or still in `raw` when plain. */
  async pack(raw: JobSlot, lengthBytes: number, packed: JobSlot): Promise<PackResult> {
    const result = await this.#submit({
      ...JOB_DEFAULTS,
      verb: JOB_PACK,
      resultIndex: raw.slotIndex,
      sourceOffset: raw.bytes.byteOffset,
      sourceBytes: lengthBytes,
      targetOffset: packed.bytes.byteOffset,
      targetBytes: this.#slab.slotBytes,
    });
    const { storedBytes, digest, workMs } = result;
    return { codec: result.isLz4 ? 'lz4' : 'plain', storedBytes, digest, workMs };
  }

  /** Expands a stored block from `packed` into the first `plainBytes` of `raw`, with all checks but the digest's value. */
  async unpack(
    packed: JobSlot,
    stored: { readonly storedBytes: number; readonly codec: StoredCodec },
    raw: JobSlot,
    plainBytes: number,
  ): Promise<UnpackResult> {
    const result = await this.#submit({
      ...JOB_DEFAULTS,
      verb: JOB_UNPACK,
      resultIndex: raw.slotIndex,
      sourceOffset: packed.bytes.byteOffset,
      sourceBytes: stored.storedBytes,
      targetOffset: raw.bytes.byteOffset,
      targetBytes: plainBytes,
      isLz4: stored.codec === 'lz4' ? 1 : 0,
    });
    const { status, digest, fingerprint, workMs } = result;
    return { status, digest, fingerprint, workMs };
  }

  /** Ends the threads. Call it when no chain uses the pool any more; jobs still queued are rejected. */
  async close(): Promise<void> {
    this.#isClosed = true;
    rejectAll(this.#queue.drain(), new InternalError('INTERNAL_INVARIANT', 'pool closed'));
    await this.#runner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #submit(job: WorkerJob): Promise<JobResult> {
    await this.#run(job);
    return readResult(this.#memory, job.resultIndex);
  }

  /** @param signal - takes the job back while it waits; one that has left is worked on. */
  async #run(job: WorkerJob, signal?: AbortSignal): Promise<void> {
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

export interface WorkerPoolOptions {
  readonly slab: JobMemory;
  /** Threads; 0 runs the verbs on the calling thread. */
  readonly workers: number;
  /** Kernels for the slab; those that are missing are done without. @defaultValue what this machine can run */
  readonly kernels?: SlabKernels | undefined;
}

/** Loads what a pool is made of. */
export async function loadPoolParts(options: WorkerPoolOptions): Promise<PoolParts> {
  const { slab, workers, kernels = compileSlabKernels() } = options;
  if (workers > 0) return { kernels, inline: undefined };
  return { kernels, inline: await createThreadTools(slab.memory, kernels) };
}

/** Makes the pool of a run. Whoever makes it closes it. */
export async function createWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  return new WorkerPool(options.slab, options.workers, await loadPoolParts(options));
}
