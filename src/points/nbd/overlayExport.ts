/** A disk that clients may write to. What they write lies in an overlay. */
import { BackupError, errnoOf, isOutOfSpace } from '../../core/errors.ts';
import { CLUSTER } from '../overlay/clusterMap.ts';
import type { DiskOverlay } from '../overlay/diskOverlay.ts';
import { NBD_ERROR, NbdFailure } from './protocol.ts';
import type { ServedDisk, ServedExtent, ServedWriter } from './servedDisk.ts';

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

  *extents(offsetBytes: number, lengthBytes: number): Generator<ServedExtent> {
    let open: ServedExtent | undefined;
    for (const part of this.#parts(offsetBytes, lengthBytes)) {
      if (open && open.zero !== part.zero) {
        yield open;
        open = undefined;
      }
      open = { zero: part.zero, lengthBytes: part.lengthBytes + (open?.lengthBytes ?? 0) };
    }
    if (open) yield open;
  }

  async read(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    return await this.#guard('read', () => this.#overlay.read(offsetBytes, lengthBytes));
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

  *#parts(offsetBytes: number, lengthBytes: number): Generator<ServedExtent> {
    for (const range of this.#overlay.ranges(offsetBytes, lengthBytes)) {
      if (range.state === CLUSTER.base) {
        yield* this.#base.extents(range.offsetBytes, range.lengthBytes);
      } else yield { lengthBytes: range.lengthBytes, zero: range.state === CLUSTER.zero };
    }
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
