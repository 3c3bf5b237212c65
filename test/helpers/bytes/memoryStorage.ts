/** A container's file in memory. It keeps a log of writes and barriers, from which crashes are simulated. */
import type { Storage } from '../../../src/container/storage.ts';
import { FormatError } from '../../../src/core/errors.ts';

export type StorageEvent =
  | { readonly kind: 'write'; readonly offsetBytes: number; readonly bytes: Buffer }
  | { readonly kind: 'sync' };

export class MemoryStorage implements Storage {
  readonly name: string;
  readonly events: StorageEvent[] = [];
  isClosed = false;
  #bytes: Buffer;
  #sizeBytes: number;

  /** @param content - copied. */
  constructor(content: Uint8Array = new Uint8Array(0), name = 'memory.vbk') {
    this.name = name;
    this.#bytes = Buffer.from(content);
    this.#sizeBytes = content.length;
  }

  /** The file as it is now; a view. */
  get content(): Buffer {
    return this.#bytes.subarray(0, this.#sizeBytes);
  }

  async sizeBytes(): Promise<number> {
    return this.#sizeBytes;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    if (offsetBytes + target.length > this.#sizeBytes) {
      throw new FormatError('FORMAT_TRUNCATED', `${this.name}: ends inside a read`);
    }
    target.set(this.#bytes.subarray(offsetBytes, offsetBytes + target.length));
  }

  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const bytes = Buffer.concat(pieces);
    this.events.push({ kind: 'write', offsetBytes, bytes });
    this.#grow(offsetBytes + bytes.length);
    bytes.copy(this.#bytes, offsetBytes);
  }

  async sync(): Promise<void> {
    this.events.push({ kind: 'sync' });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #grow(sizeBytes: number): void {
    if (sizeBytes > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(sizeBytes, 2 * this.#bytes.length));
      this.content.copy(larger);
      this.#bytes = larger;
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, sizeBytes);
  }
}
