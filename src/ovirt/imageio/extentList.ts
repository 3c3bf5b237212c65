/** Extents of one disk, 9 bytes each: a disk may have millions. */
import { TransferError } from '../../core/errors.ts';
import type { Extent } from '../../flow/records.ts';

const ZERO = 1;
const DIRTY = 2;
const KNOWS_DIRTY = 4;
const FIRST_CAPACITY = 256;

/** Contiguous extents from the start of the disk, in ascending order. */
export class ExtentList implements Iterable<Extent> {
  #ends = new Float64Array(FIRST_CAPACITY);
  #flags = new Uint8Array(FIRST_CAPACITY);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** End of the last extent; the size of the disk when the list is complete. */
  get endBytes(): number {
    return this.#count === 0 ? 0 : (this.#ends[this.#count - 1] ?? 0);
  }

  /**
   * Adds an extent.
   *
   * @throws {@link TransferError} `TRANSFER_BAD_EXTENTS` for a gap, an overlap or an empty extent
   */
  append(extent: Extent): void {
    const { offsetBytes, lengthBytes, zero, dirty } = extent;
    const endBytes = offsetBytes + lengthBytes;
    if (offsetBytes !== this.endBytes || !(lengthBytes > 0) || !Number.isSafeInteger(endBytes)) {
      throw new TransferError(
        'TRANSFER_BAD_EXTENTS',
        `bad extent of ${lengthBytes} B at ${offsetBytes} B: the one before ends at ${this.endBytes} B`,
        { hint: 'report it with the version of ovirt-imageio; nothing was stored' },
      );
    }
    if (this.#count === this.#ends.length) this.#grow();
    this.#ends[this.#count] = endBytes;
    this.#flags[this.#count] =
      (zero ? ZERO : 0) + (dirty ? DIRTY : 0) + (dirty === undefined ? 0 : KNOWS_DIRTY);
    this.#count++;
  }

  *[Symbol.iterator](): Generator<Extent> {
    for (let k = 0; k < this.#count; k++) yield this.#at(k);
  }

  /** Extents with bytes in `[startBytes, endBytes)`, not cut to it, in ascending order. */
  *between(startBytes: number, endBytes: number): Generator<Extent> {
    for (let k = this.#firstAfter(startBytes); k < this.#count; k++) {
      const extent = this.#at(k);
      if (extent.offsetBytes >= endBytes) return;
      yield extent;
    }
  }

  /** Index of the first extent that ends after `offsetBytes`. */
  #firstAfter(offsetBytes: number): number {
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#ends[middle] ?? 0) > offsetBytes) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #at(k: number): Extent {
    const offsetBytes = k === 0 ? 0 : (this.#ends[k - 1] ?? 0);
    const flags = this.#flags[k] ?? 0;
    const zero = flags % DIRTY === ZERO;
    const dirty = flags >= KNOWS_DIRTY ? flags - KNOWS_DIRTY >= DIRTY : undefined;
    return { offsetBytes, lengthBytes: (this.#ends[k] ?? 0) - offsetBytes, zero, dirty };
  }

  #grow(): void {
    const ends = new Float64Array(this.#ends.length * 2);
    const flags = new Uint8Array(ends.length);
    ends.set(this.#ends);
    flags.set(this.#flags);
    this.#ends = ends;
    this.#flags = flags;
  }
}
