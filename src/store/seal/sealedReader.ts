/** A sealed container that is read. */
import { FormatError, invariant } from '../../core/errors.ts';
import type { Storage } from '../storage.ts';
import { BATCH_CHUNKS, copyInto, readChunks, type SealedPart } from './chunkReads.ts';
import type { FilePlace, KeyRing } from './keys.ts';
import {
  chunkAt,
  CHUNKS_MAGIC,
  HEADER_BYTES,
  lastChunkOf,
  plainBytesOf,
  plainSizeOf,
  plainStartOf,
} from './sealFormat.ts';

/** Opened chunks that are kept: neighbours of a read often begin where it ended. */
const KEPT_CHUNKS = 4;

export class SealedReader implements Storage {
  readonly name: string;
  readonly canReadBack: boolean;
  readonly #part: SealedPart;
  readonly #sizeBytes: number;
  /** Oldest first. */
  readonly #kept = new Map<number, Buffer>();

  private constructor(part: SealedPart, sizeBytes: number) {
    this.name = part.storage.name;
    this.canReadBack = part.storage.canReadBack;
    this.#part = part;
    this.#sizeBytes = sizeBytes;
  }

  /**
   * Reads the header. `storage` becomes the reader's, who closes it, also after an error.
   *
   * @throws {@link IntegrityError} `INTEGRITY_SEAL_BROKEN`
   * @throws {@link FormatError} `FORMAT_TRUNCATED`, `FORMAT_UNSUPPORTED`
   */
  static async open(storage: Storage, keys: KeyRing, place: FilePlace): Promise<SealedReader> {
    try {
      const header = Buffer.alloc(HEADER_BYTES);
      await storage.read(header, 0);
      const cipher = keys.openFile(CHUNKS_MAGIC, header, place);
      const endBytes = await storage.sizeBytes();
      const sizeBytes = plainSizeOf(endBytes);
      const lastChunk = lastChunkOf(sizeBytes);
      return new SealedReader({ storage, cipher, lastChunk, endBytes }, sizeBytes);
    } catch (error) {
      await storage.close().catch(() => {});
      throw error;
    }
  }

  /** Follows from the size of the sealed file. A cut shows when the last chunk is read. */
  async sizeBytes(): Promise<number> {
    return this.#sizeBytes;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    if (target.length === 0) return;
    const endBytes = offsetBytes + target.length;
    if (endBytes > this.#sizeBytes) throw this.#endsBefore(target.length, offsetBytes);
    const end = chunkAt(endBytes - 1) + 1;
    for (let chunk = chunkAt(offsetBytes); chunk < end; ) {
      chunk = await this.#readSome(chunk, end, target, offsetBytes);
    }
  }

  async write(): Promise<void> {
    invariant(false, `write to ${this.name}, which was opened for reading`);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    this.#kept.clear();
    await this.#part.storage.close();
  }

  /** @returns the first chunk that is still to be read */
  async #readSome(
    first: number,
    end: number,
    target: Uint8Array,
    offsetBytes: number,
  ): Promise<number> {
    const known = this.#kept.get(first);
    if (known) {
      copyInto(target, offsetBytes, known, plainStartOf(first));
      return first + 1;
    }
    let until = Math.min(end, first + BATCH_CHUNKS);
    if (until > first + 1 && this.#kept.has(until - 1)) until--;
    await readChunks(this.#part, first, until, (chunk, plain) => {
      const startBytes = plainStartOf(chunk);
      copyInto(target, offsetBytes, plain, startBytes);
      const isUsedUp =
        startBytes >= offsetBytes &&
        startBytes + plainBytesOf(chunk) <= offsetBytes + target.length;
      if (!isUsedUp) this.#keep(chunk, plain);
    });
    return until;
  }

  #keep(chunk: number, plain: Buffer): void {
    this.#kept.delete(chunk);
    this.#kept.set(chunk, plain);
    if (this.#kept.size <= KEPT_CHUNKS) return;
    for (const oldest of this.#kept.keys()) {
      this.#kept.delete(oldest);
      return;
    }
  }

  #endsBefore(lengthBytes: number, offsetBytes: number): FormatError {
    return new FormatError(
      'FORMAT_TRUNCATED',
      `${this.name}: ends at ${this.#sizeBytes} B, inside ${lengthBytes} B at ${offsetBytes} B`,
      { details: { offsetBytes, expectedBytes: lengthBytes } },
    );
  }
}
