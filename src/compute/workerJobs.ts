/**
 * How a job crosses the thread boundary: nine numbers. Its results stay in the slab; see resultRecord.ts.
 */
import type { BlockCodecs } from './blockCodecs.ts';
import type { LaneDigests } from './kernels/laneDigests.ts';
import type { SlabFingerprints } from './kernels/slabFingerprints.ts';

export const JOB_HASH = 0;
export const JOB_PACK = 1;
export const JOB_UNPACK = 2;
export const JOB_READ = 3;
export const JOB_FINGERPRINT_RANGE = 4;

/** One job: slots by index and their byte places in the shared memory. */
export interface WorkerJob {
  readonly verb:
    | typeof JOB_HASH
    | typeof JOB_PACK
    | typeof JOB_UNPACK
    | typeof JOB_READ
    | typeof JOB_FINGERPRINT_RANGE;
  /** Slot whose result record takes the numbers. */
  readonly resultIndex: number;
  /**
   * Byte offset and length of the source in the slab, or with `read` and `fingerprintRange` in the file; with `pack` the slot has
   * room up to the next cluster.
   */
  readonly sourceOffset: number;
  readonly sourceBytes: number;
  readonly targetOffset: number;
  /** Room in the target for `pack`, `read` and `fingerprintRange`, plain length for `unpack`. */
  readonly targetBytes: number;
  /** For `unpack`: 1 when the source is LZ4. */
  readonly isLz4: 0 | 1;
  /** For `read` and `fingerprintRange`: the open file of this process. */
  readonly fileDescriptor: number;
  /** For `fingerprintRange`: length of each block of the source but the last. */
  readonly blockSizeBytes: number;
}

const JOB_WORDS = 9;

/** What the verbs of a thread work with. */
export interface ThreadTools {
  readonly codecs: BlockCodecs;
  readonly digests: LaneDigests;
  readonly fingerprints: SlabFingerprints;
  readonly memory: SharedArrayBuffer;
}

export function encodeJobs(jobs: readonly WorkerJob[]): number[] {
  return jobs.flatMap((job) => [
    job.verb,
    job.resultIndex,
    job.sourceOffset,
    job.sourceBytes,
    job.targetOffset,
    job.targetBytes,
    job.isLz4,
    job.fileDescriptor,
    job.blockSizeBytes,
  ]);
}

export function decodeJobs(words: readonly number[]): WorkerJob[] {
  return Array.from({ length: words.length / JOB_WORDS }, (_, k) => {
    const at = k * JOB_WORDS;
    const word = (place: number): number => words[at + place] ?? 0;
    return {
      verb: word(0) as WorkerJob['verb'],
      resultIndex: word(1),
      sourceOffset: word(2),
      sourceBytes: word(3),
      targetOffset: word(4),
      targetBytes: word(5),
      isLz4: word(6) as 0 | 1,
      fileDescriptor: word(7),
      blockSizeBytes: word(8),
    };
  });
}
