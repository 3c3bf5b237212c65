/** A disk of a restore point as clients of NBD see it. */
import { BackupError } from '../../core/errors.ts';
import { blockCountOf } from '../../core/units.ts';
import type { PointDisk } from '../pointDisk.ts';
import type { ByteRange, PointExtent } from '../pointTypes.ts';
import { SequentialReads } from '../sequentialReads.ts';
import { NBD_ERROR, NbdFailure } from './protocol.ts';
import type { ServedDisk } from './servedDisk.ts';

/** A read of less than this share of a block is copied. */
const COPIED_SHARE = 1 / 8;

export class NbdExport implements ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly writer = undefined;
  readonly #disk: PointDisk;
  readonly #reads: SequentialReads;

  private constructor(
    disk: PointDisk,
    names: { readonly name: string; readonly description: string },
  ) {
    this.name = names.name;
    this.description = names.description;
    this.sizeBytes = disk.virtualSizeBytes;
    this.#disk = disk;
    this.#reads = new SequentialReads(disk.blockSizeBytes, disk.cacheBytes);
  }

  /**
   * Opens the disk and the places of its first blocks, so that errors of the chain come before
   * clients. One extent may be the whole disk, and its places are millions.
   */
  static async create(
    disk: PointDisk,
    names: { readonly name: string; readonly description: string },
    signal?: AbortSignal,
  ): Promise<NbdExport> {
    const lengthBytes = Math.min(disk.virtualSizeBytes, disk.blockSizeBytes);
    for await (const _extent of disk.extents({ lengthBytes, signal })) break;
    return new NbdExport(disk, names);
  }

  async extents(range: ByteRange, most: number = Infinity): Promise<readonly PointExtent[]> {
    const found: PointExtent[] = [];
    await asNbdError(async () => {
      for await (const extent of this.#disk.extents(range)) {
        found.push(extent);
        if (found.length >= most) break;
      }
    });
    return found;
  }

  async read(range: ByteRange, send: (pieces: readonly Buffer[]) => Promise<void>): Promise<void> {
    const ahead = this.#reads.next(range);
    if (ahead) this.#disk.prefetch(ahead);
    const isCopied = this.#isCopied(range);
    // Errors of `send` are not those of the disk.
    const sent = await asNbdError(() =>
      this.#disk.withPieces(range, async (pieces) => {
        if (isCopied) return [Buffer.concat(pieces)];
        const [result] = await Promise.allSettled([send(pieces)]);
        return result;
      }),
    );
    if (Array.isArray(sent)) await send(sent);
    else if (sent.status === 'rejected') throw sent.reason;
  }

  heldBytes(range: ByteRange): number {
    const { blockSizeBytes } = this.#disk;
    const first = Math.floor(range.offsetBytes / blockSizeBytes);
    const end = blockCountOf(range.offsetBytes + range.lengthBytes, blockSizeBytes);
    // A copy across two blocks holds the first one while the second one is loaded.
    if (this.#isCopied(range) && end - first <= 1) return range.lengthBytes;
    return (end - first) * blockSizeBytes;
  }

  /** A small part of a block is copied, so that a slow client does not hold the whole block. */
  #isCopied({ lengthBytes }: ByteRange): boolean {
    return lengthBytes < this.#disk.blockSizeBytes * COPIED_SHARE;
  }
}

async function asNbdError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw readFailure(error);
  }
}

function readFailure(error: unknown): NbdFailure {
  const text = error instanceof Error ? error.message : String(error);
  // A file that was cut short fails at many blocks, each time with another place after its name.
  const isCut = error instanceof BackupError && error.code === 'FORMAT_TRUNCATED';
  return new NbdFailure(NBD_ERROR.eio, text, isCut ? text.slice(0, text.indexOf(': ')) : text);
}
