/**
 * A job crosses the thread boundary as nine numbers. Its results stay in the slab; see
 * resultRecord.ts.
 */
import type { BlockCodecs } from './blockCodecs.ts';
import type { LaneDigests } from './kernels/laneDigests.ts';
import type { SlabFingerprints } from './kernels/slabFingerprints.ts';
import type { ReadCodec } from './storedForm.ts';

export const JOB_HASH = 0;
export const JOB_PACK = 1;
export const JOB_UNPACK = 2;
export const JOB_READ = 3;
export const JOB_FINGERPRINT_RANGE = 4;
/** As `unpack`, without the digest. */
export const JOB_EXPAND = 5;

/** Codecs in the order of their numbers in a job. */
export const JOB_CODECS: readonly ReadCodec[] = ['plain', 'lz4', 'zlib', 'zstd'];

/** One job. Slots are given by index and by their byte offsets in the shared memory. */
export interface WorkerJob {
  readonly kind:
    | typeof JOB_HASH
    | typeof JOB_PACK
    | typeof JOB_UNPACK
    | typeof JOB_READ
    | typeof JOB_FINGERPRINT_RANGE
    | typeof JOB_EXPAND;
  /** Slot whose result record gets the results. */
  readonly resultIndex: number;
  /**
   * Byte offset and length of the source: in the slab, or in the file for `read` and
   * `fingerprintRange`. For `pack` the source slot has room up to the next cluster.
   */
  readonly sourceOffset: number;
  readonly sourceBytes: number;
  readonly targetOffset: number;
  /**
   * Room in the target for `pack`, `read` and `fingerprintRange`; plain length for
   * `unpack` and `expand`.
   */
  readonly targetBytes: number;
  /** For `unpack` and `expand`: number of the codec of the source in {@link JOB_CODECS}. */
  readonly codecNumber: number;
  /** For `read` and `fingerprintRange`: the open file of this process; otherwise -1. */
  readonly fileDescriptor: number;
  /** For `fingerprintRange`: length of each block of the source except the last. */
  readonly blockSizeBytes: number;
}

const JOB_WORDS = 9;

/** Tools of one thread for its jobs. */
export interface ThreadTools {
  readonly codecs: BlockCodecs;
  readonly digests: LaneDigests;
  readonly fingerprints: SlabFingerprints;
  readonly memory: SharedArrayBuffer;
}

export function encodeJobs(jobs: readonly WorkerJob[]): number[] {
  return jobs.flatMap((job) => [
    job.kind,
    job.resultIndex,
    job.sourceOffset,
    job.sourceBytes,
    job.targetOffset,
    job.targetBytes,
    job.codecNumber,
    job.fileDescriptor,
    job.blockSizeBytes,
  ]);
}

export function decodeJobs(words: readonly number[]): WorkerJob[] {
  return Array.from({ length: words.length / JOB_WORDS }, (_, k) => {
    const at = k * JOB_WORDS;
    const word = (place: number): number => words[at + place] ?? 0;
    return {
      kind: word(0) as WorkerJob['kind'],
      resultIndex: word(1),
      sourceOffset: word(2),
      sourceBytes: word(3),
      targetOffset: word(4),
      targetBytes: word(5),
      codecNumber: word(6),
      fileDescriptor: word(7),
      blockSizeBytes: word(8),
    };
  });
}
