/**
 * Jobs that wait for a thread, and how they are cut into batches.
 *
 * There are three queues, and a batch comes from one of them. `hash`, `read` and `expand` are
 * short: they take a tenth to a half of the time of `pack` and `unpack`, which compute a digest.
 * One `fingerprintRange` takes as long as a whole batch of short jobs. The kernel computes a full
 * batch of digests faster per block than a part of one. So a busy thread gets a second batch of
 * digests only when that batch is full. Fewer `pack` jobs wait a moment, also for an idle thread:
 * batches would be small while blocks come slowly. An `unpack` job never waits for others, because
 * a reader waits for it.
 */
import { MAX_LANES } from './kernels/laneDigests.ts';
import {
  JOB_EXPAND,
  JOB_HASH,
  JOB_FINGERPRINT_RANGE,
  JOB_PACK,
  JOB_READ,
  type WorkerJob,
} from './workerJobs.ts';

/** Most jobs of one message. The MD5 kernel hashes the same number of blocks at a time. */
const MAX_BATCH_JOBS = MAX_LANES;
/**
 * Most short jobs of one message: half a batch. A thread then has its next batch already while the
 * answer to the last one is on its way.
 */
const MAX_SHORT_JOBS = MAX_BATCH_JOBS / 2;
const SHORT_KINDS: ReadonlySet<number> = new Set([JOB_HASH, JOB_READ, JOB_EXPAND]);
/** Blocks that a compressor has in work at once, for all threads together: two full batches. */
export const PACK_WINDOW_BLOCKS: number = 2 * MAX_BATCH_JOBS;

export interface QueuedJob {
  readonly job: WorkerJob;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Facts that decide what a thread gets. */
export interface ThreadState {
  readonly isIdle: boolean;
  /** Number of idle threads, this one included. */
  readonly idleCount: number;
  /** True when `pack` jobs have waited for others long enough. */
  readonly isLate: boolean;
}

export class JobQueue {
  readonly #short: QueuedJob[] = [];
  readonly #ranges: QueuedJob[] = [];
  readonly #digests: QueuedJob[] = [];
  /** Jobs of a batch that is worth a wait. With many threads a larger one would leave some idle. */
  readonly #goal: number;

  /** @param packedCount - packed slots of the slab. About half of them wait for their write. */
  constructor(threadCount: number, packedCount: number) {
    const jobsAtOnce = Math.min(PACK_WINDOW_BLOCKS, packedCount / 2);
    const share = Math.floor(jobsAtOnce / Math.max(1, threadCount));
    this.#goal = Math.min(MAX_BATCH_JOBS, Math.max(1, share));
  }

  /** True while `pack` jobs wait for others, and nothing else waits. */
  get isGathering(): boolean {
    const others = this.#short.length + this.#ranges.length;
    return others === 0 && this.#digests.length > 0 && this.#gathers();
  }

  push(queued: QueuedJob): void {
    this.#queueOf(queued.job).push(queued);
  }

  /**
   * Removes the next batch for a thread. Empty when the thread should wait.
   */
  take({ isIdle, idleCount, isLate }: ThreadState): QueuedJob[] {
    if (this.#short.length > 0) return takeShare(this.#short, MAX_SHORT_JOBS, idleCount);
    if (this.#ranges.length > 0) return this.#ranges.splice(0, 1);
    if (!isIdle && this.#digests.length < MAX_BATCH_JOBS) return [];
    if (!isLate && this.#gathers()) return [];
    const least = isLate ? 1 : this.#goal;
    return takeShare(this.#digests, MAX_BATCH_JOBS, idleCount, least);
  }

  /** Takes back a waiting job. False when it has already left. */
  remove(queued: QueuedJob): boolean {
    const jobs = this.#queueOf(queued.job);
    const at = jobs.indexOf(queued);
    if (at >= 0) jobs.splice(at, 1);
    return at >= 0;
  }

  /** Removes and returns all jobs. */
  drain(): QueuedJob[] {
    return [...this.#short.splice(0), ...this.#ranges.splice(0), ...this.#digests.splice(0)];
  }

  #gathers(): boolean {
    return this.#digests[0]?.job.kind === JOB_PACK && this.#digests.length < this.#goal;
  }

  #queueOf({ kind }: WorkerJob): QueuedJob[] {
    if (kind === JOB_FINGERPRINT_RANGE) return this.#ranges;
    return SHORT_KINDS.has(kind) ? this.#short : this.#digests;
  }
}

/** Removes at most `most` jobs: one idle thread's share, but at least `least`. */
function takeShare(jobs: QueuedJob[], most: number, idleCount: number, least = 1): QueuedJob[] {
  const share = Math.ceil(jobs.length / Math.max(1, idleCount));
  return jobs.splice(0, Math.min(most, Math.max(least, share)));
}
