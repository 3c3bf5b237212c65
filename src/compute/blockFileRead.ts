/**
 * A worker thread reads a block in pieces. Each piece stays in the processor's cache while its
 * fingerprint is computed.
 */
import { readSync } from 'node:fs';
import { KIB } from '../core/units.ts';
import type { RunningFingerprint } from './kernels/slabFingerprints.ts';
import type { WorkerJob, ThreadTools } from './workerJobs.ts';

/** Bytes of one piece: a quarter of the second-level cache of common server processors. */
const PIECE_BYTES = 256 * KIB;
const ZEROS: Buffer = Buffer.alloc(PIECE_BYTES);

class Reading {
  readonly #tools: ThreadTools;
  readonly #job: WorkerJob;
  readonly #pieceBytes: number;
  /**
   * True when the pieces follow each other in the target. False when they all use the same room.
   */
  readonly #isKept: boolean;

  constructor(tools: ThreadTools, job: WorkerJob) {
    this.#tools = tools;
    this.#job = job;
    this.#pieceBytes = Math.min(PIECE_BYTES, job.targetBytes);
    this.#isKept = job.targetBytes >= job.sourceBytes;
  }

  fingerprint(stateOffset: number): bigint | undefined {
    const { sourceBytes } = this.#job;
    let at = 0;
    for (; at < sourceBytes; at += this.#pieceBytes) {
      const piece = this.#read(at);
      if (!piece) return undefined;
      if (!piece.equals(ZEROS.subarray(0, piece.length))) break;
    }
    if (at >= sourceBytes) return 0n;
    const running = this.#tools.fingerprints.start(stateOffset);
    // The leading pieces of zeros were not fingerprinted, so all pieces are read once more.
    return this.#fingerprintAll(running, at === 0);
  }

  /** @param isFirstRead - true when the first piece is already in the target. */
  #fingerprintAll(running: RunningFingerprint, isFirstRead: boolean): bigint | undefined {
    for (let at = 0; at < this.#job.sourceBytes; at += this.#pieceBytes) {
      if (!(at === 0 && isFirstRead) && !this.#read(at)) return undefined;
      running.take(this.#placeOf(at), this.#lengthAt(at));
    }
    return running.finish();
  }

  #read(at: number): Buffer | undefined {
    const { sourceOffset, fileDescriptor } = this.#job;
    const piece = Buffer.from(this.#tools.memory, this.#placeOf(at), this.#lengthAt(at));
    try {
      const bytesRead = readSync(fileDescriptor, piece, 0, piece.length, sourceOffset + at);
      return bytesRead === piece.length ? piece : undefined;
    } catch {
      return undefined;
    }
  }

  #placeOf(at: number): number {
    return this.#job.targetOffset + (this.#isKept ? at : 0);
  }

  #lengthAt(at: number): number {
    return Math.min(this.#pieceBytes, this.#job.sourceBytes - at);
  }
}

/**
 * Reads `sourceBytes` at `sourceOffset` of the file into the slab at `targetOffset`. When
 * `targetBytes` is smaller than `sourceBytes`, the pieces overwrite each other and only the
 * fingerprint counts. `targetBytes` is then a multiple of 32.
 *
 * @returns the fingerprint; 0 for a block of zeros; undefined when not all bytes could be read.
 *   The caller then reads the block again in a way that tells the reason.
 */
export function readBlock(
  tools: ThreadTools,
  job: WorkerJob,
  stateOffset: number,
): bigint | undefined {
  return new Reading(tools, job).fingerprint(stateOffset);
}
