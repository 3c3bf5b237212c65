/**
 * Recognises clients that read in order. A client may read several ranges at the same time, one on
 * each of its connections.
 */
import type { ByteRange } from './pointTypes.ts';

/** Ranges that are followed at the same time. */
const MAX_RUNS = 8;
const MAX_AHEAD_BLOCKS = 8;

interface Run {
  nextBytes: number;
  /** End of what was loaded ahead. */
  aheadBytes: number;
}

export class SequentialReads {
  readonly #blockSizeBytes: number;
  /** Bytes that may be loaded ahead, for all runs together. */
  readonly #maxBytes: number;
  /** Ordered by use; the least recently used one is first. */
  readonly #runs: Run[] = [];

  /** @param cacheBytes - bytes of blocks that the cache keeps. Half of them may be loaded ahead. */
  constructor(blockSizeBytes: number, cacheBytes: number) {
    this.#blockSizeBytes = blockSizeBytes;
    this.#maxBytes = cacheBytes / 2;
  }

  /**
   * Takes note of a read.
   *
   * @returns what to load ahead; undefined when that was done before, or for a read that continues
   *   no other
   */
  next({ offsetBytes, lengthBytes }: ByteRange): ByteRange | undefined {
    const run = this.#runOf(offsetBytes);
    const continues = run.nextBytes === offsetBytes;
    run.nextBytes = offsetBytes + lengthBytes;
    const goalBytes = this.#goalBytes();
    // Blocks that are asked for together are expanded together.
    if (!continues || run.aheadBytes - run.nextBytes > goalBytes / 2) return undefined;
    const fromBytes = Math.max(run.nextBytes, run.aheadBytes);
    run.aheadBytes = Math.max(run.aheadBytes, run.nextBytes + goalBytes);
    const aheadBytes = run.aheadBytes - fromBytes;
    return aheadBytes > 0 ? { offsetBytes: fromBytes, lengthBytes: aheadBytes } : undefined;
  }

  #goalBytes(): number {
    const share = Math.floor(this.#maxBytes / this.#runs.length / this.#blockSizeBytes);
    return Math.min(MAX_AHEAD_BLOCKS, share) * this.#blockSizeBytes;
  }

  /** The run that the read continues, or a new one. */
  #runOf(offsetBytes: number): Run {
    const at = this.#runs.findIndex(({ nextBytes }) => nextBytes === offsetBytes);
    const found = at >= 0 ? this.#runs.splice(at, 1)[0] : undefined;
    const run = found ?? { nextBytes: -1, aheadBytes: 0 };
    this.#runs.push(run);
    if (this.#runs.length > MAX_RUNS) this.#runs.shift();
    return run;
  }
}
