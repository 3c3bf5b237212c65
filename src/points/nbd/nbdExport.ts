/** A disk of a restore point as clients of NBD see it. */
import type { PointDisk } from '../pointDisk.ts';
import type { ByteRange, PointExtent } from '../pointTypes.ts';
import { NBD_ERROR, NbdFailure } from './protocol.ts';
import { SequentialReads } from './sequentialReads.ts';

export class NbdExport {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
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

  /** Opens the disk and its first extents, so that errors of the chain come before clients. */
  static async create(
    disk: PointDisk,
    names: { readonly name: string; readonly description: string },
    signal?: AbortSignal,
  ): Promise<NbdExport> {
    for await (const _extent of disk.extents({ signal })) break;
    return new NbdExport(disk, names);
  }

  /**
   * Extents from `offsetBytes` on, which end exactly at `offsetBytes + lengthBytes`. The range must
   * lie in the disk.
   *
   * @param most - extents to give; the range may end before.
   */
  async extents(
    offsetBytes: number,
    lengthBytes: number,
    most: number = Infinity,
  ): Promise<PointExtent[]> {
    const found: PointExtent[] = [];
    const range = { offsetBytes, lengthBytes };
    await asNbdError(async () => {
      for await (const extent of this.#disk.extents(range)) {
        found.push(extent);
        if (found.length >= most) break;
      }
    });
    return found;
  }

  /**
   * Reads a range. `send` gets its pieces, one after the other. Nobody may change them, and they
   * are valid until `send` has settled.
   *
   * @throws {@link NbdFailure} `EIO` for a damaged block; zeros are never given instead
   */
  async read(range: ByteRange, send: (pieces: readonly Buffer[]) => Promise<void>): Promise<void> {
    const ahead = this.#reads.next(range);
    if (ahead) this.#disk.prefetch(ahead);
    // Errors of `send` are not those of the disk.
    const sent = await asNbdError(() =>
      this.#disk.withPieces(range, async (pieces) => {
        const [result] = await Promise.allSettled([send(pieces)]);
        return result;
      }),
    );
    if (sent.status === 'rejected') throw sent.reason;
  }
}

async function asNbdError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new NbdFailure(NBD_ERROR.eio, error instanceof Error ? error.message : String(error));
  }
}
