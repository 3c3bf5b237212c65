/**
 * Jobs that wait for a thread, and how they are cut into batches.
 *
 * A batch holds jobs of one kind: fingerprints and reads are ten times shorter than what is digested, and a
 * batch of digests pays the more the fuller it is. A busy thread gets a second batch of digests only when it is
 * full; what is left waits until a thread is idle, and meanwhile more jobs join it.
 */
import { MAX_LANES } from './laneDigests.ts';
import { VERB_HASH, VERB_READ, type VerbJob } from './verbJobs.ts';

/** A message pays for this many jobs, and the kernel hashes as many blocks at once. */
const MAX_BATCH_JOBS = MAX_LANES;
/** Of short jobs half of that, so that a thread has its next batch while the answer to one is on its way. */
const MAX_SHORT_JOBS = MAX_BATCH_JOBS / 2;

export interface QueuedJob {
  readonly job: VerbJob;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class JobQueue {
  readonly #short: QueuedJob[] = [];
  readonly #digests: QueuedJob[] = [];

  push(queued: QueuedJob): void {
    const isShort = queued.job.verb === VERB_HASH || queued.job.verb === VERB_READ;
    (isShort ? this.#short : this.#digests).push(queued);
  }

  /** Removes the next batch for a thread; empty when it had better wait. `idleCount`: idle threads, this one included. */
  take(isIdle: boolean, idleCount: number): QueuedJob[] {
    const jobs = this.#short.length > 0 ? this.#short : this.#digests;
    if (jobs === this.#digests && !isIdle && jobs.length < MAX_BATCH_JOBS) return [];
    const share = Math.ceil(jobs.length / Math.max(1, idleCount));
    const most = jobs === this.#short ? MAX_SHORT_JOBS : MAX_BATCH_JOBS;
    return jobs.splice(0, Math.min(most, share));
  }

  /** Removes everything. */
  drain(): QueuedJob[] {
    return [...this.#short.splice(0), ...this.#digests.splice(0)];
  }
}
