/**
 * Worker threads that do the jobs of a pool. One message carries one batch, and a thread has at
 * most two batches.
 */
import type { Worker } from 'node:worker_threads';
import { InternalError } from '../core/errors.ts';
import { startThread } from '../core/installation.ts';
import type { WorkerAnswer, WorkerBatch, WorkerSetup } from './blockWorker.ts';
import type { JobQueue, QueuedJob } from './jobQueue.ts';
import { type JobRunner, jobsOf, rejectAll } from './jobRunner.ts';
import { encodeJobs } from './workerJobs.ts';

/** One batch at work and one waiting, so that the worker never idles between two batches. */
const MAX_BATCHES_PER_WORKER = 2;
/** Longest wait for a full batch: a block takes a thread about 2 ms. */
const GATHER_MS = 5;

interface Thread {
  readonly worker: Worker;
  readonly batches: Map<number, readonly QueuedJob[]>;
}

function crash(reason: string): InternalError {
  return new InternalError('WORKER_CRASHED', `a worker thread failed: ${reason}`);
}

export class ThreadRunner implements JobRunner {
  readonly #queue: JobQueue;
  readonly #count: number;
  readonly #makeSetup: () => WorkerSetup;
  readonly #threads: Thread[] = [];
  #hasStarted = false;
  #isClosed = false;
  /** Reason for the error text when no thread exists. */
  #whyNone = 'no worker thread is left';
  #isDue = false;
  #gathering: NodeJS.Timeout | undefined;
  #nextBatchId = 0;

  /** @param makeSetup - called when the threads start. */
  constructor(queue: JobQueue, count: number, makeSetup: () => WorkerSetup) {
    this.#queue = queue;
    this.#count = count;
    this.#makeSetup = makeSetup;
  }

  /** Starts the threads, or as many as the system allows. Jobs fail when it allows none. */
  start(): void {
    if (this.#hasStarted || this.#isClosed) return;
    this.#hasStarted = true;
    try {
      const setup = this.#makeSetup();
      while (this.#threads.length < this.#count) this.#threads.push(this.#startThread(setup));
    } catch (error) {
      this.#whyNone = `none could be started: ${(error as Error).message}`;
    }
  }

  /**
   * Jobs that are queued in one turn of the event loop leave together. Without the wait, the first
   * of eight blocks would leave as a batch of its own.
   */
  wake(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.#dispatch();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#gathering);
    await Promise.all(this.#threads.map((thread) => thread.worker.terminate()));
  }

  #dispatch(isLate = false): void {
    if (this.#isClosed) return;
    this.start();
    this.#sendAll(isLate);
    if (!this.#queue.isGathering) return;
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#dispatch(true);
    }, GATHER_MS);
  }

  /** Sends queued jobs to the least busy thread, one batch at a time. */
  #sendAll(isLate: boolean): void {
    for (;;) {
      const thread = this.#threads.reduce<Thread | undefined>(
        (best, other) => (best && best.batches.size <= other.batches.size ? best : other),
        undefined,
      );
      if (!thread) {
        rejectAll(this.#queue.drain(), crash(this.#whyNone));
        return;
      }
      if (thread.batches.size >= MAX_BATCHES_PER_WORKER) return;
      const idleCount = this.#threads.filter((other) => other.batches.size === 0).length;
      const batch = this.#queue.take({ isIdle: thread.batches.size === 0, idleCount, isLate });
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

  #startThread(setup: WorkerSetup): Thread {
    const worker = startThread(import.meta.url, './blockWorker.js', setup);
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
    else rejectAll(batch, crash(answer.error));
    this.wake();
  }

  /**
   * A thread that ended may have left half-written slots. So its jobs fail; they are not tried
   * again.
   */
  #drop(thread: Thread, reason: string): void {
    const at = this.#threads.indexOf(thread);
    if (at < 0 || this.#isClosed) {
      this.#rejectBatches(thread, reason);
      return;
    }
    this.#threads.splice(at, 1);
    this.#whyNone = `the last one ended: ${reason}`;
    this.#rejectBatches(thread, reason);
    this.#dispatch();
  }

  #rejectBatches(thread: Thread, reason: string): void {
    for (const batch of thread.batches.values()) rejectAll(batch, crash(reason));
    thread.batches.clear();
  }
}
