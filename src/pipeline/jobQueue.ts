/**
 * Jobs that wait for a thread, and how they are cut into batches.
 *
 * A batch holds jobs of one kind: fingerprints are ten times shorter than what is digested, and a batch of
 * digests pays the more the fuller it is. A busy thread gets a second batch of digests only when it is
 * full; what is left waits until a thread is idle, and meanwhile more jobs join it.
 */
import { MAX_LANES } from './laneDigests.ts';
import { VERB_HASH, type VerbJob } from './verbJobs.ts';

/** A message pays for this many jobs, and the kernel hashes as many blocks at once. */
const MAX_BATCH_JOBS = MAX_LANES;

export interface QueuedJob {
  readonly job: VerbJob;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class JobQueue {
  readonly #hashes: QueuedJob[] = [];
  readonly #digests: QueuedJob[] = [];

  push(queued: QueuedJob): void {
    (queued.job.verb === VERB_HASH ? this.#hashes : this.#digests).push(queued);
  }

  /** Removes the next batch for a thread; empty when it had better wait. `idleCount`: idle threads, this one included. */
  take(isIdle: boolean, idleCount: number): QueuedJob[] {
    const jobs = this.#hashes.length > 0 ? this.#hashes : this.#digests;
    if (jobs === this.#digests && !isIdle && jobs.length < MAX_BATCH_JOBS) return [];
    const share = Math.ceil(jobs.length / Math.max(1, idleCount));
    return jobs.splice(0, Math.min(MAX_BATCH_JOBS, share));
  }

  /** Removes everything. */
  drain(): QueuedJob[] {
    return [...this.#hashes.splice(0), ...this.#digests.splice(0)];
  }
}
