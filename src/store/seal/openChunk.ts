/** A chunk of a new container that waits in memory until all its bytes are written. */
import { CHUNK_BYTES, plainBytesOf } from './sealFormat.ts';

interface Range {
  readonly from: number;
  readonly until: number;
}

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/**
 * Memory of waiting chunks, used again and again. New memory for each of them would keep the
 * garbage collector busy. It is shared memory, so the thread that seals reads it where it is.
 */
export class ChunkMemory {
  readonly #free: Buffer[] = [];

  /** A whole chunk of zeros. */
  take(chunk: number): Buffer {
    if (plainBytesOf(chunk) < CHUNK_BYTES) return Buffer.alloc(plainBytesOf(chunk));
    const bytes = this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(CHUNK_BYTES));
    // A copy of zeros: fill(0) stores shared memory byte by byte.
    return bytes.fill(ZEROS);
  }

  /** @param bytes - nobody uses them any more. */
  give(bytes: Buffer): void {
    if (bytes.buffer instanceof SharedArrayBuffer) this.#free.push(bytes);
  }
}

export class OpenChunk {
  /** The whole chunk. What was not written is zero. */
  readonly bytes: Buffer;
  /** True when the file does not hold these bytes yet. */
  isDirty = false;
  #covered: Range[];

  /**
   * @param bytes - of the whole chunk.
   * @param isWritten - whether it was complete before; otherwise the bytes are zeros.
   */
  constructor(bytes: Buffer, isWritten: boolean) {
    this.bytes = bytes;
    this.#covered = isWritten ? [{ from: 0, until: bytes.length }] : [];
  }

  /** True when each byte was written. */
  get isComplete(): boolean {
    const [first] = this.#covered;
    return first !== undefined && first.from === 0 && first.until === this.bytes.length;
  }

  /** Writes parts one after the other, from `at` on. */
  write(parts: readonly Uint8Array[], at: number): void {
    let until = at;
    for (const part of parts) {
      // As fast as the machine copies; set() copies shared memory word by word.
      this.bytes.fill(part, until, until + part.length);
      until += part.length;
    }
    this.isDirty = true;
    this.#cover({ from: at, until });
  }

  #cover(added: Range): void {
    const touches = (range: Range): boolean =>
      range.from <= added.until && range.until >= added.from;
    const touched = [added, ...this.#covered.filter(touches)];
    const joined = {
      from: Math.min(...touched.map(({ from }) => from)),
      until: Math.max(...touched.map(({ until }) => until)),
    };
    this.#covered = [joined, ...this.#covered.filter((range) => !touches(range))];
  }
}
