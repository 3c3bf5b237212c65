/**
 * Jobs that wait for a thread, and how they are cut into batches.
 *
 * A batch holds jobs of one kind: fingerprints and reads are ten times shorter than what is digested, a look at
 * several blocks is as long as a batch of them, and a batch of digests pays the more the fuller it is. A busy
 * thread gets a second batch of digests only when it is full; what is left waits until a thread is idle, and
 * meanwhile more jobs join it.
 */
import { MAX_LANES } from './kernels/laneDigests.ts';
import { JOB_HASH, JOB_FINGERPRINT_RANGE, JOB_READ, type WorkerJob } from './workerJobs.ts';

/** A message pays for this many jobs, and the kernel hashes as many blocks at once. */
const MAX_BATCH_JOBS = MAX_LANES;
/** Of short jobs half of that, so that a thread has its next batch while the answer to one is on its way. */
const MAX_SHORT_JOBS = MAX_BATCH_JOBS / 2;

export interface QueuedJob {
  readonly job: WorkerJob;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class JobQueue {
  readonly #short: QueuedJob[] = [];
  readonly #peeks: QueuedJob[] = [];
  readonly #digests: QueuedJob[] = [];

  push(queued: QueuedJob): void {
    this.#queueOf(queued.job).push(queued);
  }

  /** Removes the next batch for a thread; empty when it had better wait. `idleCount`: idle threads, this one included. */
  take(isIdle: boolean, idleCount: number): QueuedJob[] {
    if (this.#short.length > 0) return takeShare(this.#short, MAX_SHORT_JOBS, idleCount);
    if (this.#peeks.length > 0) return this.#peeks.splice(0, 1);
    if (!isIdle && this.#digests.length < MAX_BATCH_JOBS) return [];
    return takeShare(this.#digests, MAX_BATCH_JOBS, idleCount);
  }

  /** Takes back a job that waits; false when it has left. */
  remove(queued: QueuedJob): boolean {
    const jobs = this.#queueOf(queued.job);
    const at = jobs.indexOf(queued);
    if (at >= 0) jobs.splice(at, 1);
    return at >= 0;
  }

  /** Removes everything. */
  drain(): QueuedJob[] {
    return [...this.#short.splice(0), ...this.#peeks.splice(0), ...this.#digests.splice(0)];
  }

  #queueOf({ verb }: WorkerJob): QueuedJob[] {
    if (verb === JOB_FINGERPRINT_RANGE) return this.#peeks;
    return verb === JOB_HASH || verb === JOB_READ ? this.#short : this.#digests;
  }
}

/** At most `most` jobs, and no more than an idle thread's share. */
function takeShare(jobs: QueuedJob[], most: number, idleCount: number): QueuedJob[] {
  const share = Math.ceil(jobs.length / Math.max(1, idleCount));
  return jobs.splice(0, Math.min(most, share));
}
