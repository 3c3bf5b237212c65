/** A disk that clients may write to. What they write lies in an overlay. */
import { BackupError, errnoOf, isOutOfSpace } from '../../core/errors.ts';
import { CLUSTER } from '../overlay/clusterMap.ts';
import type { DiskOverlay, OverlayBase } from '../overlay/diskOverlay.ts';
import type { ByteRange, PointExtent } from '../pointTypes.ts';
import { NBD_ERROR, NbdFailure } from './protocol.ts';
import type { ServedDisk, ServedWriter } from './servedDisk.ts';

export class OverlayExport implements ServedDisk, ServedWriter {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  readonly writer: ServedWriter = this;
  readonly #base: ServedDisk;
  readonly #overlay: DiskOverlay;
  readonly #folder: string;

  /** @param folder - of the overlay, for messages. */
  constructor(base: ServedDisk, overlay: DiskOverlay, folder: string) {
    this.name = base.name;
    this.description = base.description;
    this.sizeBytes = base.sizeBytes;
    this.#base = base;
    this.#overlay = overlay;
    this.#folder = folder;
  }

  async extents(range: ByteRange, most: number = Infinity): Promise<readonly PointExtent[]> {
    const found: PointExtent[] = [];
    for (const part of this.#overlay.ranges(range.offsetBytes, range.lengthBytes)) {
      const extents =
        part.state === CLUSTER.base
          ? await this.#base.extents(part, most)
          : [{ ...part, zero: part.state === CLUSTER.zero }];
      for (const extent of extents) addExtent(found, extent);
      // The base left out the end of this part. An extent of the next part must not cover it.
      if (endOf(extents.at(-1)) < endOf(part)) return found.slice(0, most);
      // The last one is complete when another one follows.
      if (found.length > most) return found.slice(0, most);
    }
    return found;
  }

  async read(range: ByteRange, send: (pieces: readonly Buffer[]) => Promise<void>): Promise<void> {
    const { offsetBytes, lengthBytes } = range;
    const parts = [...this.#overlay.ranges(offsetBytes, lengthBytes)];
    if (parts.every(({ state }) => state === CLUSTER.base)) {
      await this.#base.read(range, send);
      return;
    }
    const read = (): Promise<Buffer> => this.#overlay.read(offsetBytes, lengthBytes);
    await send([await this.#guard('read', read)]);
  }

  heldBytes(range: ByteRange): number {
    return this.#base.heldBytes(range);
  }

  async write(offsetBytes: number, bytes: Buffer): Promise<void> {
    await this.#guard('write', () => this.#overlay.write(offsetBytes, bytes));
  }

  async zero(offsetBytes: number, lengthBytes: number, takesSpace: boolean): Promise<void> {
    await this.#guard('write', () => this.#overlay.zero(offsetBytes, lengthBytes, takesSpace));
  }

  isZeroFast(offsetBytes: number, lengthBytes: number): boolean {
    const { first, end } = this.#overlay.wholeClusters(offsetBytes, lengthBytes);
    return first < end;
  }

  async flush(): Promise<void> {
    await this.#guard('flush', () => this.#overlay.flush());
  }

  async #guard<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw error instanceof NbdFailure ? error : this.#failure(what, error);
    }
  }

  #failure(what: string, error: unknown): NbdFailure {
    const errno = errnoOf(error);
    if (isOutOfSpace(error) || errno === 'EFBIG') {
      const text = `no space left for the overlay in ${this.#folder}`;
      return new NbdFailure(NBD_ERROR.enospc, text);
    }
    const reason = error instanceof BackupError ? error.message : (errno ?? String(error));
    return new NbdFailure(NBD_ERROR.eio, `${what} of the overlay in ${this.#folder}: ${reason}`);
  }
}

function endOf(range: ByteRange | undefined): number {
  return range ? range.offsetBytes + range.lengthBytes : 0;
}

/** Adds an extent to its neighbour, or after it. */
function addExtent(extents: PointExtent[], { offsetBytes, lengthBytes, zero }: PointExtent): void {
  const last = extents.at(-1);
  if (last?.zero !== zero) extents.push({ offsetBytes, lengthBytes, zero });
  else extents[extents.length - 1] = { ...last, lengthBytes: last.lengthBytes + lengthBytes };
}

/** A served disk as the base of an overlay. */
export function overlayBaseOf(disk: ServedDisk): OverlayBase {
  return {
    sizeBytes: disk.sizeBytes,
    read: async (offsetBytes, lengthBytes) => {
      let bytes = Buffer.alloc(0);
      await disk.read({ offsetBytes, lengthBytes }, async (pieces) => {
        bytes = Buffer.concat(pieces, lengthBytes);
        await Promise.resolve();
      });
      return bytes;
    },
  };
}
