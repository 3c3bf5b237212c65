/**
 * Fingerprints of a disk at one restore point: 64 bits per container block, 0 for a zero block.
 *
 * Sparse: a page covers 512 blocks and exists only where a fingerprint is not 0. Clones share pages until
 * one side writes. The stored form (item `fingerprints_<disk>`) is the plain little-endian array.
 */
import { FINGERPRINT_BYTES } from '../compute/kernels/slabFingerprints.ts';
import { blockLengthAt } from '../core/units.ts';

const PAGE_BLOCKS = 512;

interface Page {
  readonly words: BigUint64Array;
  shared: boolean;
}

export class FingerprintMap {
  #pages: Map<number, Page>;

  constructor(pages: Map<number, Page> = new Map()) {
    this.#pages = pages;
  }

  /** Fingerprint of block `index`; 0n for a zero block or one beyond the disk. */
  get(index: number): bigint {
    const page = this.#pages.get(Math.floor(index / PAGE_BLOCKS));
    return page?.words[index % PAGE_BLOCKS] ?? 0n;
  }

  set(index: number, fingerprint: bigint): void {
    const pageIndex = Math.floor(index / PAGE_BLOCKS);
    if (fingerprint === 0n && !this.#pages.has(pageIndex)) return;
    this.#writable(pageIndex)[index % PAGE_BLOCKS] = fingerprint;
  }

  /** Marks blocks `[from, to)` as zero. */
  clear(from: number, to: number): void {
    for (const index of this.nonZeroIn(from, to)) this.set(index, 0n);
  }

  /** Indexes of non-zero blocks in `[from, to)`, ascending. Cost follows written pages, not the range. */
  *nonZeroIn(from: number, to: number): Generator<number> {
    const last = Math.ceil(to / PAGE_BLOCKS);
    for (const pageIndex of this.#pageIndexesIn(Math.floor(from / PAGE_BLOCKS), last)) {
      const start = Math.max(from, pageIndex * PAGE_BLOCKS);
      const end = Math.min(to, (pageIndex + 1) * PAGE_BLOCKS);
      for (let index = start; index < end; index++) if (this.get(index) !== 0n) yield index;
    }
  }

  /** A copy that shares unwritten pages with this map. */
  clone(): FingerprintMap {
    for (const page of this.#pages.values()) page.shared = true;
    return new FingerprintMap(new Map(this.#pages));
  }

  /** Writes the stored form of blocks from `firstBlock` on into `target`; returns false when all are zero. */
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

  /** Takes over the stored form of blocks from `firstBlock` on. */
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

/** A disk as the parent restore point holds it. */
export interface ParentDisk {
  readonly sizeBytes: number;
  readonly fingerprints: FingerprintMap;
  /** Blocks whose stored bytes are known to be damaged: they never count as unchanged. */
  readonly damaged?: ReadonlySet<number> | undefined;
}

/**
 * True when the parent's rule (its block, cut or zero-extended) already gives the right bytes: both are
 * zero, or fingerprint and length agree. A block whose stored bytes are damaged is never unchanged.
 * `fingerprint` is 0n for a block that is zero now.
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
