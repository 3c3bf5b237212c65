/**
 * Fingerprints of a disk at one restore point: 64 bits for each container block, 0 for a zero
 * block.
 *
 * The map is sparse: a page covers 512 blocks and exists only where a fingerprint is not 0. Clones
 * share pages until one of them writes. The stored form (item `fingerprints_<disk>`) is a plain
 * array of little-endian 64-bit numbers.
 */
import { FINGERPRINT_BYTES } from '../compute/kernels/slabFingerprints.ts';
import { blockLengthAt } from '../core/units.ts';

const PAGE_BLOCKS = 512;

interface Page {
  readonly words: BigUint64Array;
  shared: boolean;
}

/**
 * Fingerprints of the blocks of one disk, by block index. A fingerprint is an xxHash64 with seed 0;
 * 0n stands for a zero block. Indexes count container blocks from 0.
 */
export class FingerprintMap {
  #pages: Map<number, Page>;

  constructor(pages: Map<number, Page> = new Map()) {
    this.#pages = pages;
  }

  /** Fingerprint of block `index`; 0n for a zero block or an index beyond the disk. */
  get(index: number): bigint {
    const page = this.#pages.get(Math.floor(index / PAGE_BLOCKS));
    return page?.words[index % PAGE_BLOCKS] ?? 0n;
  }

  /** Sets the fingerprint of block `index`; 0n marks it as zero. */
  set(index: number, fingerprint: bigint): void {
    const pageIndex = Math.floor(index / PAGE_BLOCKS);
    if (fingerprint === 0n && !this.#pages.has(pageIndex)) return;
    this.#writable(pageIndex)[index % PAGE_BLOCKS] = fingerprint;
  }

  /** Marks the blocks `[from, to)` as zero. */
  clear(from: number, to: number): void {
    for (const index of this.nonZeroIn(from, to)) this.set(index, 0n);
  }

  /**
   * Indexes of the non-zero blocks in `[from, to)`, ascending. The cost follows the number of pages
   * that exist, not the length of the range.
   */
  *nonZeroIn(from: number, to: number): Generator<number> {
    const last = Math.ceil(to / PAGE_BLOCKS);
    for (const pageIndex of this.#pageIndexesIn(Math.floor(from / PAGE_BLOCKS), last)) {
      const start = Math.max(from, pageIndex * PAGE_BLOCKS);
      const end = Math.min(to, (pageIndex + 1) * PAGE_BLOCKS);
      for (let index = start; index < end; index++) if (this.get(index) !== 0n) yield index;
    }
  }

  /** Returns an independent copy. Both maps share their pages until one of them writes. */
  clone(): FingerprintMap {
    for (const page of this.#pages.values()) page.shared = true;
    return new FingerprintMap(new Map(this.#pages));
  }

  /**
   * Writes the stored form of the blocks from `firstBlock` on into `target`. The length of `target`
   * is a multiple of 8 and decides the number of blocks. Returns false when all of them are zero.
   */
  encodeInto(target: Uint8Array, firstBlock: number): boolean {
    const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
    target.fill(0);
    let any = false;
    const count = target.byteLength / FINGERPRINT_BYTES;
    for (const index of this.nonZeroIn(firstBlock, firstBlock + count)) {
      view.setBigUint64((index - firstBlock) * FINGERPRINT_BYTES, this.get(index), true);
      any = true;
    }
    return any;
  }

  /** Reads the stored form of the blocks from `firstBlock` on. Zeros in `source` change nothing. */
  decodeFrom(source: Uint8Array, firstBlock: number): void {
    const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
    const count = Math.floor(source.byteLength / FINGERPRINT_BYTES);
    for (let k = 0; k < count; k++) {
      const fingerprint = view.getBigUint64(k * FINGERPRINT_BYTES, true);
      if (fingerprint !== 0n) this.set(firstBlock + k, fingerprint);
    }
  }

  #pageIndexesIn(first: number, last: number): Iterable<number> {
    if (last - first <= this.#pages.size) {
      return Array.from({ length: last - first }, (_, k) => first + k).filter((page) =>
        this.#pages.has(page),
      );
    }
    return [...this.#pages.keys()]
      .filter((page) => page >= first && page < last)
      .sort((a, b) => a - b);
  }

  #writable(pageIndex: number): BigUint64Array {
    const page = this.#pages.get(pageIndex);
    if (page && !page.shared) return page.words;
    const words = page ? page.words.slice() : new BigUint64Array(PAGE_BLOCKS);
    this.#pages.set(pageIndex, { words, shared: false });
    return words;
  }
}

/** A disk as the parent restore point holds it. Its size may differ from the size now. */
export interface ParentDisk {
  readonly sizeBytes: number;
  readonly fingerprints: FingerprintMap;
  /**
   * Indexes of blocks whose stored bytes are known to be damaged. They never count as unchanged.
   */
  readonly damaged?: ReadonlySet<number> | undefined;
}

/**
 * True when the parent point already gives the right bytes for a block. Then the block need not be
 * stored. That is so when both are zero, or when fingerprint and length are equal. A block whose
 * stored bytes are damaged is never unchanged.
 *
 * @param fingerprint - 0n for a block that is zero now.
 * @param lengthBytes - length of the block now; the last block of a disk may be short.
 */
export function isUnchanged(
  parent: ParentDisk,
  index: number,
  fingerprint: bigint,
  lengthBytes: number,
  blockSizeBytes: number,
): boolean {
  if (parent.damaged?.has(index)) return false;
  const known = parent.fingerprints.get(index);
  if (fingerprint === 0n || known === 0n) return fingerprint === known;
  return (
    known === fingerprint && blockLengthAt(index, parent.sizeBytes, blockSizeBytes) === lengthBytes
  );
}
