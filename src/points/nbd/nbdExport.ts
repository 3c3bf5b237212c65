/** A disk of a restore point as clients of NBD see it. */
import { BackupError } from '../../core/errors.ts';
import { blockCountOf } from '../../core/units.ts';
import type { PointDisk } from '../pointDisk.ts';
import { NBD_ERROR, NbdFailure } from './protocol.ts';
import type { ServedDisk, ServedExtent } from './servedDisk.ts';

/** Blocks that are loaded ahead of a client that reads in order. */
const READ_AHEAD_BLOCKS = 4;

export class NbdExport implements ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly writer = undefined;
  readonly #disk: PointDisk;
  /** Start and end of each range of data, ascending. */
  readonly #data: Float64Array;
  /** Block after the last read. A read that starts there is one in order. */
  #nextIndex = -1;

  private constructor(
    disk: PointDisk,
    names: { readonly name: string; readonly description: string },
    data: Float64Array,
  ) {
    this.name = names.name;
    this.description = names.description;
    this.sizeBytes = disk.virtualSizeBytes;
    this.blockSizeBytes = disk.blockSizeBytes;
    this.#disk = disk;
    this.#data = data;
  }

  /** Reads the extents of the disk, so that no request waits for metadata. */
  static async create(
    disk: PointDisk,
    names: { readonly name: string; readonly description: string },
    signal?: AbortSignal,
  ): Promise<NbdExport> {
    const bounds: number[] = [];
    for await (const { offsetBytes, lengthBytes, zero } of disk.extents({ signal })) {
      if (!zero) bounds.push(offsetBytes, offsetBytes + lengthBytes);
    }
    return new NbdExport(disk, names, Float64Array.from(bounds));
  }

  /**
   * Extents from `offsetBytes` on, which end exactly at `offsetBytes + lengthBytes`. The range must
   * lie in the disk.
   */
  *extents(offsetBytes: number, lengthBytes: number): Generator<ServedExtent> {
    const endBytes = offsetBytes + lengthBytes;
    let at = offsetBytes;
    for (let k = this.#rangeAt(offsetBytes); at < endBytes; k += 2) {
      const from = Math.min(this.#data[k] ?? Infinity, endBytes);
      const to = Math.min(this.#data[k + 1] ?? Infinity, endBytes);
      if (from > at) yield { lengthBytes: from - at, zero: true };
      if (to > from) yield { lengthBytes: to - Math.max(at, from), zero: false };
      at = Math.max(at, to);
    }
  }

  /** @throws {@link NbdFailure} `EIO` for a damaged block; zeros are never given instead */
  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const bytes = await this.#disk.read(offsetBytes, lengthBytes).catch((error: unknown) => {
      throw readFailure(error);
    });
    this.#readAhead(offsetBytes, lengthBytes);
    return bytes;
  }

  #readAhead(offsetBytes: number, lengthBytes: number): void {
    const first = Math.floor(offsetBytes / this.blockSizeBytes);
    const next = blockCountOf(offsetBytes + lengthBytes, this.blockSizeBytes);
    const isInOrder = first === this.#nextIndex || first === this.#nextIndex - 1;
    this.#nextIndex = next;
    if (isInOrder) this.#disk.prefetch(next, READ_AHEAD_BLOCKS);
  }

  /** Position of the first range that ends after `offsetBytes`. */
  #rangeAt(offsetBytes: number): number {
    let [low, high] = [0, this.#data.length / 2];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#data[2 * middle + 1] ?? 0) <= offsetBytes) low = middle + 1;
      else high = middle;
    }
    return 2 * low;
  }
}

function readFailure(error: unknown): NbdFailure {
  const text = error instanceof Error ? error.message : String(error);
  // A file that was cut short fails at many blocks, each time with another place after its name.
  const isCut = error instanceof BackupError && error.code === 'FORMAT_TRUNCATED';
  return new NbdFailure(NBD_ERROR.eio, text, isCut ? text.slice(0, text.indexOf(': ')) : text);
}
