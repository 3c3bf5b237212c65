/** A runner does the jobs of a pool: with threads of its own, or on the calling thread. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { JobQueue, QueuedJob } from './jobQueue.ts';
import { runJobs } from './runJobs.ts';
import type { WorkerJob, ThreadTools } from './workerJobs.ts';

export interface JobRunner {
  /** Gets ready before the first job comes. Without this call the first job waits for it. */
  start(): void;
  /** Tells the runner that a job has joined the queue. */
  wake(): void;
  /** Takes no more jobs from the queue. */
  close(): Promise<void>;
}

export function jobsOf(batch: readonly QueuedJob[]): WorkerJob[] {
  return batch.map((queued) => queued.job);
}

export function rejectAll(jobs: readonly QueuedJob[], error: Error): void {
  for (const queued of jobs) queued.reject(error);
}

/** Does the jobs on the calling thread, one in each turn of the event loop. */
export class InlineRunner implements JobRunner {
  readonly #queue: JobQueue;
  readonly #tools: ThreadTools;
  #isBusy = false;

  constructor(queue: JobQueue, tools: ThreadTools) {
    this.#queue = queue;
    this.#tools = tools;
  }

  start(): void {}

  wake(): void {
    if (!this.#isBusy) void this.#work();
  }

  async close(): Promise<void> {}

  async #work(): Promise<void> {
    this.#isBusy = true;
    await nextTurn();
    for (;;) {
      const batch = this.#queue.take({ isIdle: true, idleCount: 1, isLate: true });
      if (batch.length === 0) break;
      try {
        for (const _ of runJobs(this.#tools, jobsOf(batch))) await nextTurn();
        for (const queued of batch) queued.resolve();
      } catch (error) {
        rejectAll(batch, error as Error);
      }
    }
    this.#isBusy = false;
  }
}
