/**
 * Reading of a block by a worker thread: in pieces that stay in the processor's cache while their fingerprint
 * is computed.
 */
import { readSync } from 'node:fs';
import { KIB } from '../core/units.ts';
import type { RunningFingerprint } from './kernels/slabFingerprints.ts';
import type { WorkerJob, ThreadTools } from './workerJobs.ts';

/** A quarter of the second-level cache of common server processors. */
const PIECE_BYTES = 256 * KIB;
const ZEROS: Buffer = Buffer.alloc(PIECE_BYTES);

class Reading {
  readonly #tools: ThreadTools;
  readonly #job: WorkerJob;
  readonly #pieceBytes: number;
  /** Pieces follow each other in the target, or all use the same room. */
  readonly #isKept: boolean;

  constructor(tools: ThreadTools, job: WorkerJob) {
    this.#tools = tools;
    this.#job = job;
    this.#pieceBytes = Math.min(PIECE_BYTES, job.targetBytes);
    this.#isKept = job.targetBytes >= job.sourceBytes;
  }

  run(stateOffset: number): bigint | undefined {
    const { sourceBytes } = this.#job;
    let at = 0;
    for (; at < sourceBytes; at += this.#pieceBytes) {
      const piece = this.#read(at);
      if (!piece) return undefined;
      if (!piece.equals(ZEROS.subarray(0, piece.length))) break;
    }
    if (at >= sourceBytes) return 0n;
    const running = this.#tools.fingerprints.start(stateOffset);
    // Zeros before the first other byte were not fingerprinted: their pieces are read once more.
    return this.#fingerprint(running, at === 0);
  }

  /** @param isFirstRead - whether the first piece is in its place. */
  #fingerprint(running: RunningFingerprint, isFirstRead: boolean): bigint | undefined {
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
 * Reads `sourceBytes` at `sourceOffset` of the file to `targetOffset` of the slab. With less room there than
 * that (`targetBytes`, a multiple of 32), pieces overwrite each other and only the fingerprint counts.
 *
 * @returns the fingerprint; 0 for a block that is all zero; undefined when not all of it could be read, for
 *   whatever reason: the caller reads it again in a way that tells the reason.
 */
export function readBlock(
  tools: ThreadTools,
  job: WorkerJob,
  stateOffset: number,
): bigint | undefined {
  return new Reading(tools, job).run(stateOffset);
}
