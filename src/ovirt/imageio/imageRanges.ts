/** Moves ranges of one image over connections of our own, on the calling thread or in threads. */
import type { Range, RangeAnswer } from './rangeAnswer.ts';
import type { RangeConnectionOptions } from './rangeConnection.ts';
import { RangePool } from './rangePool.ts';
import type { RangeResult, SlabTarget } from './rangeThread.ts';
import type { RangeThreads, ThreadedImage } from './rangeThreads.ts';

/** Memory for a part of a range. It stays the caller's. */
export interface ReadTarget {
  readonly bytes: Uint8Array;
  /** Byte offset in the slab of the state of a fingerprint; undefined when none is wanted. */
  readonly stateOffset?: number | undefined;
}

/** How a range is moved. */
export interface MoveOptions {
  /** Threads that move the bytes, when these lie in the slab of the threads. */
  readonly threads?: RangeThreads | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The bytes that came, in the order of their targets. */
export type ReadRange = Pick<RangeResult, 'receivedBytes' | 'fingerprints'>;

export class ImageRanges {
  readonly #options: RangeConnectionOptions;
  readonly #pool: RangePool;
  /** Opened by the first request that threads serve. */
  #threaded: ThreadedImage | undefined;
  #isClosed = false;

  /** @param limit - most connections, at least 1 */
  constructor(options: RangeConnectionOptions, limit: number) {
    this.#options = options;
    this.#pool = new RangePool(options, limit);
  }

  /** Most ranges that are moved at once. */
  get limit(): number {
    return this.#pool.limit;
  }

  /**
   * Fills the targets, one after the other, with the bytes from `range.offsetBytes` on. Without
   * threads the result has no fingerprints.
   */
  async read(
    targets: readonly ReadTarget[],
    range: Range,
    what: string,
    { threads, signal }: MoveOptions,
  ): Promise<RangeResult> {
    const image = this.#imageIn(threads, range.targets);
    if (image) return await image.fetch(targets.map(placeOf), range.offsetBytes, what, signal);
    return withoutFingerprints(await this.#pool.fetch(range, what, signal));
  }

  async write(
    bytes: Uint8Array,
    offsetBytes: number,
    what: string,
    { threads, signal }: MoveOptions,
  ): Promise<Pick<RangeResult, 'status' | 'text'>> {
    const image = this.#imageIn(threads, [bytes]);
    if (image) return await image.put(placeOf({ bytes }), offsetBytes, what, signal);
    return await this.#pool.put(bytes, offsetBytes, what, signal);
  }

  /** Ends all connections. Requests under way fail. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#pool.close();
    await this.#threaded?.close();
  }

  /** Undefined when the calling thread has to move these bytes. */
  #imageIn(
    threads: RangeThreads | undefined,
    parts: readonly Uint8Array[],
  ): ThreadedImage | undefined {
    if (!threads?.holdsAll(parts)) return undefined;
    if (!this.#threaded && !this.#isClosed) {
      // The server counts connections, so those that rest in the pool end first.
      this.#pool.closeIdle();
      this.#threaded = threads.open(this.#options, this.limit);
    }
    return this.#threaded;
  }
}

function placeOf({ bytes, stateOffset }: ReadTarget): SlabTarget {
  return { placeOffset: bytes.byteOffset, lengthBytes: bytes.length, stateOffset };
}

function withoutFingerprints(answer: RangeAnswer): RangeResult {
  const { status, isRange, receivedBytes, text } = answer;
  return { status, isRange, receivedBytes, text, fingerprints: [] };
}
