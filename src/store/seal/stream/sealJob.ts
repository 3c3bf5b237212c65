/** Messages between the thread that seals and the thread of the session. */
import { invariant } from '../../../core/errors.ts';

/** Data given to the thread at its start. It holds the key of the file, which is secret. */
export interface SealSetup {
  readonly file: string;
  readonly key: Uint8Array;
  readonly header: Uint8Array;
  /** Memory number 0. */
  readonly ring: SharedArrayBuffer;
}

/**
 * Chunks that follow each other, all of them full and none of them the last one. Ranges of memory
 * are numbers, because a message that carries arrays costs many times as much.
 */
export interface SealJob {
  readonly first: number;
  readonly count: number;
  /** Their plain bytes, one range after the other: number of the memory, offset, length. */
  readonly plain: readonly number[];
  /** Memory that no job had before. It gets the next numbers. */
  readonly added: readonly SharedArrayBuffer[];
}

/** One answer for each job, in order. `error` is the text of an unexpected failure. */
export interface SealAnswer {
  readonly error?: string | undefined;
}

/** Numbers of the memory that the thread knows. */
export class MemoryNumbers {
  readonly #known = new Map<SharedArrayBuffer, number>();
  #added: SharedArrayBuffer[] = [];

  constructor(ring: SharedArrayBuffer) {
    this.#known.set(ring, 0);
  }

  /** @param pieces - in shared memory. */
  jobOf(first: number, count: number, pieces: readonly Uint8Array[]): SealJob {
    const plain = pieces.flatMap(({ buffer, byteOffset, length }) => [
      this.#numberOf(buffer as SharedArrayBuffer),
      byteOffset,
      length,
    ]);
    const added = this.#added;
    this.#added = [];
    return { first, count, plain, added };
  }

  #numberOf(memory: SharedArrayBuffer): number {
    const known = this.#known.get(memory);
    if (known !== undefined) return known;
    const number = this.#known.size;
    this.#known.set(memory, number);
    this.#added.push(memory);
    return number;
  }
}

/** The pieces that a job names. @param memories - by number */
export function piecesOf({ plain }: SealJob, memories: readonly SharedArrayBuffer[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < plain.length; at += 3) {
    const memory = memories[plain[at] ?? -1];
    invariant(memory, 'a job that names unknown memory');
    pieces.push(new Uint8Array(memory, plain[at + 1], plain[at + 2]));
  }
  return pieces;
}
