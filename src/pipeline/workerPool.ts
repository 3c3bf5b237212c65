/**
 * Worker threads for the CPU verbs of one slab. Jobs queue here and leave in batches, so that a message
 * pays for up to eight blocks. `workers: 0` runs the same verbs on this thread.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { InternalError, invariant } from '../core/errors.ts';
import { KIB } from '../core/units.ts';
import type { StoredCodec } from './blocks.ts';
import type { WorkerAnswer, WorkerBatch, WorkerSetup } from './blockWorker.ts';
import { JobQueue, type QueuedJob } from './jobQueue.ts';
import type { Slab, Slot } from './slab.ts';
import { compileSlabKernels, type SlabKernels } from './slabKernels.ts';
import {
  encodeJobs,
  MAX_PEEK_BLOCKS,
  readFingerprints,
  readResult,
  runJobs,
  VERB_HASH,
  VERB_PACK,
  VERB_PEEK,
  VERB_READ,
  VERB_UNPACK,
  type VerbJob,
  type VerbResult,
  type VerbTools,
} from './verbJobs.ts';
import { createVerbTools } from './verbTools.ts';

/** What a look passes through: stays in the second-level cache of any server processor. */
const PEEK_BYTES = 128 * KIB;
/** What most jobs do not name. */
const NOTHING = {
  targetOffset: 0,
  targetBytes: 0,
  isLz4: 0,
  fileDescriptor: -1,
  blockSizeBytes: 0,
} as const;

/** One batch at work, one waiting in the worker's queue, so that it never idles between two. */
const MAX_BATCHES_PER_WORKER = 2;

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

interface Thread {
  readonly worker: Worker;
  readonly batches: Map<number, readonly QueuedJob[]>;
}

/** The compiled entry; beside the source when this file runs as TypeScript in the tests. */
function workerEntryUrl(): URL {
  const compiled = !import.meta.url.endsWith('.ts');
  return new URL(
    compiled ? './blockWorker.js' : '../../dist/pipeline/blockWorker.js',
    import.meta.url,
  );
}

export interface PoolParts {
  readonly kernels: SlabKernels;
  /** What the calling thread works with when there are no others. */
  readonly inline: VerbTools | undefined;
}

function jobsOf(batch: readonly QueuedJob[]): VerbJob[] {
  return batch.map((queued) => queued.job);
}

export class WorkerPool {
  readonly workerCount: number;
  readonly #slab: Slab;
  readonly #memory: SharedArrayBuffer;
  readonly #kernels: SlabKernels;
  readonly #inline: VerbTools | undefined;
  readonly #threads: Thread[] = [];
  readonly #queue = new JobQueue();
  #inlineIsBusy = false;
  #hasStarted = false;
  /** Why there is no thread, when there is none. */
  #whyNone = 'no worker thread is left';
  #isDue = false;
  #nextBatchId = 0;
  #closed = false;

  constructor(slab: Slab, workerCount: number, parts: PoolParts) {
    this.#slab = slab;
    this.#memory = slab.memory.buffer;
    this.#kernels = parts.kernels;
    this.#inline = parts.inline;
    this.workerCount = workerCount;
  }

  /** Starts the threads, which the first job does else, so that they get ready beside what is to be done before it. */
  start(): void {
    if (this.#hasStarted || this.#inline) return;
    this.#hasStarted = true;
    try {
      while (this.#threads.length < this.workerCount) this.#threads.push(this.#startThread());
    } catch (error) {
      // As many as the system lets this process have: jobs fail when that is none.
      this.#whyNone = `none could be started: ${(error as Error).message}`;
    }
  }

  /** Fingerprint of the first `lengthBytes` of a raw slot. */
  async hash(slot: Slot, lengthBytes: number): Promise<HashResult> {
    const result = await this.#submit({
      ...NOTHING,
      verb: VERB_HASH,
      resultIndex: slot.slotIndex,
      sourceOffset: slot.bytes.byteOffset,
      sourceBytes: lengthBytes,
    });
    return { fingerprint: result.fingerprint, workMs: result.workMs };
  }

  /** Reads a range of a file that this process has open into a raw slot, with its fingerprint. */
  async read(range: FileRange, slot: Slot): Promise<ReadResult> {
    const { status, fingerprint } = await this.#submit({
      ...NOTHING,
      verb: VERB_READ,
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
   * @param range - at most {@link MAX_PEEK_BLOCKS} blocks of `blockSizeBytes`; the last one may be shorter.
   * @returns undefined when not all of the range could be read
   */
  async peek(
    range: FileRange,
    blockSizeBytes: number,
    slot: Slot,
  ): Promise<readonly bigint[] | undefined> {
    const blockCount = Math.ceil(range.lengthBytes / blockSizeBytes);
    invariant(blockCount <= MAX_PEEK_BLOCKS, 'look at more blocks than fit a result');
    await this.#run({
      ...NOTHING,
      verb: VERB_PEEK,
      resultIndex: slot.slotIndex,
      sourceOffset: range.offsetBytes,
      sourceBytes: range.lengthBytes,
      targetOffset: slot.bytes.byteOffset,
      targetBytes: Math.min(PEEK_BYTES, blockSizeBytes),
      fileDescriptor: range.fileDescriptor,
      blockSizeBytes,
    });
    return readFingerprints(this.#memory, slot.slotIndex, blockCount);
  }

  /** Digest and stored form of a raw slot; the form is in `packed`, or still in `raw` when plain. */
  async pack(raw: Slot, lengthBytes: number, packed: Slot): Promise<PackResult> {
    const result = await this.#submit({
      ...NOTHING,
      verb: VERB_PACK,
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
    packed: Slot,
    stored: { readonly storedBytes: number; readonly codec: StoredCodec },
    raw: Slot,
    plainBytes: number,
  ): Promise<UnpackResult> {
    const result = await this.#submit({
      ...NOTHING,
      verb: VERB_UNPACK,
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
    this.#closed = true;
    this.#rejectAll(this.#queue.drain(), new InternalError('INTERNAL_INVARIANT', 'pool closed'));
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #submit(job: VerbJob): Promise<VerbResult> {
    await this.#run(job);
    return readResult(this.#memory, job.resultIndex);
  }

  async #run(job: VerbJob): Promise<void> {
    if (this.#closed)
      throw new InternalError('INTERNAL_INVARIANT', 'job after the pool was closed');
    await new Promise<void>((resolve, reject) => {
      this.#queue.push({ job, resolve, reject });
      if (!this.#inline) this.#dispatchSoon();
      else if (!this.#inlineIsBusy) void this.#runInline(this.#inline);
    });
  }

  /** Works through the queue on this thread, one job a turn. */
  async #runInline(tools: VerbTools): Promise<void> {
    this.#inlineIsBusy = true;
    await nextTurn();
    for (;;) {
      const batch = this.#queue.take(true, 1);
      if (batch.length === 0) break;
      try {
        for (const _ of runJobs(tools, jobsOf(batch))) await nextTurn();
        for (const queued of batch) queued.resolve();
      } catch (error) {
        this.#rejectAll(batch, error as Error);
      }
    }
    this.#inlineIsBusy = false;
  }

  /** Jobs of one turn leave together: the first of eight blocks would else be a batch of its own. */
  #dispatchSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#dispatch();
    });
  }

  /** Hands queued jobs to the least busy thread, one batch at a time. */
  #dispatch(): void {
    if (this.#closed) return;
    this.start();
    for (;;) {
      const thread = this.#threads.reduce<Thread | undefined>(
        (best, other) => (best && best.batches.size <= other.batches.size ? best : other),
        undefined,
      );
      if (!thread) {
        this.#rejectAll(this.#queue.drain(), this.#crash(this.#whyNone));
        return;
      }
      if (thread.batches.size >= MAX_BATCHES_PER_WORKER) return;
      const idleCount = this.#threads.filter((other) => other.batches.size === 0).length;
      const batch = this.#queue.take(thread.batches.size === 0, idleCount);
      if (batch.length === 0) return;
      this.#send(thread, batch);
    }
  }

  #send(thread: Thread, batch: readonly QueuedJob[]): void {
    const batchId = this.#nextBatchId++;
    thread.batches.set(batchId, batch);
    const words = encodeJobs(jobsOf(batch));
    thread.worker.postMessage({ batchId, words } satisfies WorkerBatch);
  }

  #startThread(): Thread {
    const worker = new Worker(workerEntryUrl(), {
      workerData: {
        memory: this.#slab.memory,
        kernels: this.#kernels,
      } satisfies WorkerSetup,
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 },
    });
    const thread: Thread = { worker, batches: new Map() };
    worker.on('message', (answer: WorkerAnswer) => this.#settle(thread, answer));
    worker.on('error', (error) => this.#drop(thread, error.message));
    worker.on('exit', (code) => this.#drop(thread, `exit code ${code}`));
    return thread;
  }

  #settle(thread: Thread, answer: WorkerAnswer): void {
    const batch = thread.batches.get(answer.batchId) ?? [];
    thread.batches.delete(answer.batchId);
    if (answer.error === undefined) for (const queued of batch) queued.resolve();
    else this.#rejectAll(batch, this.#crash(answer.error));
    this.#dispatchSoon();
  }

  /** A thread that ended may have half written its slots: its jobs fail, they are not run again. */
  #drop(thread: Thread, reason: string): void {
    const at = this.#threads.indexOf(thread);
    if (at >= 0 && !this.#closed) this.#threads.splice(at, 1);
    for (const batch of thread.batches.values()) this.#rejectAll(batch, this.#crash(reason));
    thread.batches.clear();
    this.#dispatch();
  }

  #crash(reason: string): InternalError {
    return new InternalError('WORKER_CRASHED', `a worker thread failed: ${reason}`);
  }

  #rejectAll(jobs: readonly QueuedJob[], error: Error): void {
    for (const queued of jobs) queued.reject(error);
  }
}

export interface WorkerPoolOptions {
  readonly slab: Slab;
  /** Threads; 0 runs the verbs on the calling thread. */
  readonly workers: number;
  /** Kernels for the slab; those that are missing are done without. @defaultValue what this machine can run */
  readonly kernels?: SlabKernels | undefined;
}

/** Loads what a pool is made of. */
export async function loadPoolParts(options: WorkerPoolOptions): Promise<PoolParts> {
  const { slab, workers, kernels = compileSlabKernels() } = options;
  if (workers > 0) return { kernels, inline: undefined };
  return { kernels, inline: await createVerbTools(slab.memory, kernels) };
}

/** Makes the pool of a run. Whoever makes it closes it. */
export async function createWorkerPool(options: WorkerPoolOptions): Promise<WorkerPool> {
  return new WorkerPool(options.slab, options.workers, await loadPoolParts(options));
}
