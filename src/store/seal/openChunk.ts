/** A chunk of a new container that waits in memory until all its bytes are written. */
import { plainBytesOf } from './sealFormat.ts';

interface Range {
  readonly from: number;
  readonly until: number;
}

export class OpenChunk {
  /** The whole chunk. What was not written is zero. */
  readonly bytes: Buffer;
  /** True when the file does not hold these bytes yet. */
  isDirty = false;
  #covered: Range[];

  /** @param bytes - of a chunk that was complete; without them it is empty. */
  constructor(chunk: number, bytes?: Buffer) {
    this.bytes = bytes ?? Buffer.alloc(plainBytesOf(chunk));
    this.#covered = bytes ? [{ from: 0, until: bytes.length }] : [];
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
      this.bytes.set(part, until);
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
