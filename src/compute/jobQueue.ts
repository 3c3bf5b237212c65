/**
 * Jobs that wait for a thread, and how they are cut into batches.
 *
 * There are three queues, and a batch comes from one of them. `hash` and `read` are short: they
 * take a tenth of the time of `pack` and `unpack`, which compute a digest. One `fingerprintRange`
 * takes as long as a whole batch of short jobs. The kernel computes a full batch of digests faster
 * per block than a part of one. So a busy thread gets a second batch of digests only when that
 * batch is full. Fewer jobs wait until a thread is idle; meanwhile more jobs join them.
 */
import { MAX_LANES } from './kernels/laneDigests.ts';
import { JOB_HASH, JOB_FINGERPRINT_RANGE, JOB_READ, type WorkerJob } from './workerJobs.ts';

/** Most jobs of one message. The MD5 kernel hashes the same number of blocks at a time. */
const MAX_BATCH_JOBS = MAX_LANES;
/**
 * Most short jobs of one message: half a batch. A thread then has its next batch already while the
 * answer to the last one is on its way.
 */
const MAX_SHORT_JOBS = MAX_BATCH_JOBS / 2;

export interface QueuedJob {
  readonly job: WorkerJob;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class JobQueue {
  readonly #short: QueuedJob[] = [];
  readonly #ranges: QueuedJob[] = [];
  readonly #digests: QueuedJob[] = [];

  push(queued: QueuedJob): void {
    this.#queueOf(queued.job).push(queued);
  }

  /**
   * Removes the next batch for a thread. Empty when the thread should wait.
   *
   * @param idleCount - number of idle threads, this one included.
   */
  take(isIdle: boolean, idleCount: number): QueuedJob[] {
    if (this.#short.length > 0) return takeShare(this.#short, MAX_SHORT_JOBS, idleCount);
    if (this.#ranges.length > 0) return this.#ranges.splice(0, 1);
    if (!isIdle && this.#digests.length < MAX_BATCH_JOBS) return [];
    return takeShare(this.#digests, MAX_BATCH_JOBS, idleCount);
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

  #queueOf({ kind }: WorkerJob): QueuedJob[] {
    if (kind === JOB_FINGERPRINT_RANGE) return this.#ranges;
    return kind === JOB_HASH || kind === JOB_READ ? this.#short : this.#digests;
  }
}

/** Removes at most `most` jobs, and no more than one idle thread's share. */
function takeShare(jobs: QueuedJob[], most: number, idleCount: number): QueuedJob[] {
  const share = Math.ceil(jobs.length / Math.max(1, idleCount));
  return jobs.splice(0, Math.min(most, share));
}
