/** Counts where on a disk data and zeros were recorded, in a few cells. */
import { blockCountOf } from '../../core/units.ts';
import type { DiskGeometry } from '../../flow/records.ts';

/** Most cells of a map. A cell is a part of the disk; all have the same size but the last. */
const MAX_CELLS = 240;
/** Levels of a cell with data, `1` to `9`. */
const LEVELS = 9;

/** Where on a disk the changes of a session lie. */
export interface BlockMap {
  /** Bytes of the disk in a cell. The last cell may be shorter. */
  readonly cellBytes: number;
  /**
   * One character a cell, in the order of the disk; empty for a disk of 0 bytes. `1` to `9`: share
   * of the bytes recorded as data, in ninths rounded up. `0`: no data, but recorded zeros. `.`:
   * unchanged.
   */
  readonly cells: string;
}

export class BlockTally {
  readonly #disk: DiskGeometry;
  readonly #cellBlocks: number;
  readonly #dataBytes: Float64Array;
  readonly #hasZeros: Uint8Array;

  constructor(disk: DiskGeometry) {
    const blocks = blockCountOf(disk.virtualSizeBytes, disk.blockSizeBytes);
    this.#disk = disk;
    this.#cellBlocks = Math.max(1, Math.ceil(blocks / MAX_CELLS));
    const cells = Math.ceil(blocks / this.#cellBlocks);
    this.#dataBytes = new Float64Array(cells);
    this.#hasZeros = new Uint8Array(cells);
  }

  /** A block was recorded as data. */
  addData(index: number, lengthBytes: number): void {
    const cell = Math.floor(index / this.#cellBlocks);
    this.#dataBytes[cell] = (this.#dataBytes[cell] ?? 0) + lengthBytes;
  }

  /** Blocks were recorded as zeros, at least one. */
  addZeros(index: number, blockCount: number): void {
    const first = Math.floor(index / this.#cellBlocks);
    const last = Math.floor((index + blockCount - 1) / this.#cellBlocks);
    this.#hasZeros.fill(1, first, last + 1);
  }

  toMap(): BlockMap {
    const cellBytes = this.#cellBlocks * this.#disk.blockSizeBytes;
    const cells = Array.from(this.#dataBytes, (dataBytes, cell) => {
      if (dataBytes === 0) return this.#hasZeros[cell] ? '0' : '.';
      const restBytes = this.#disk.virtualSizeBytes - cell * cellBytes;
      return String(Math.ceil((LEVELS * dataBytes) / Math.min(cellBytes, restBytes)));
    });
    return { cellBytes, cells: cells.join('') };
  }
}
