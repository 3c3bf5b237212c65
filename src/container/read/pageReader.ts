/**
 * Random access to the metadata pages of one snapshot. The checksum of every bank was checked when
 * the snapshot was opened. Page ids are checked here against banks and page maps, before any byte
 * is used. Memory: a cache of 4 MiB.
 */
import { FormatError } from '../../core/errors.ts';
import { bankOf, NO_PAGE, PAGE_BYTES, pageOf } from '../format/layout.ts';
import type { VectorForm } from '../format/versions.ts';
import type { Storage } from '../../store/storage.ts';

export interface OpenBank {
  readonly offsetBytes: number;
  readonly pageCount: number;
  /** One byte per page: 0 = used. */
  readonly pageMap: Buffer;
}

const CHUNK_PAGES = 16;
const MAX_CHUNKS = 64;

export class PageReader {
  readonly totalPages: number;
  readonly vectors: VectorForm;
  readonly #storage: Storage;
  readonly #banks: readonly OpenBank[];
  /** Ordered by use; the least recently used chunk is first. */
  readonly #chunks = new Map<number, Promise<Buffer>>();

  constructor(storage: Storage, banks: readonly OpenBank[], vectors: VectorForm = 'tables') {
    this.vectors = vectors;
    this.#storage = storage;
    this.#banks = banks;
    this.totalPages = banks.reduce((sum, bank) => sum + bank.pageCount, 0);
  }

  get name(): string {
    return this.#storage.name;
  }

  /**
   * The 4096 bytes of a page. The caller must not change them; they stay valid while it holds them.
   */
  async read(pageId: number): Promise<Buffer> {
    const bank = this.#banks[bankOf(pageId)];
    const page = pageOf(pageId);
    if (pageId === NO_PAGE || !bank || page >= bank.pageCount || bank.pageMap[page] !== 0) {
      throw new FormatError('FORMAT_BOUNDS', `${this.name}: page id ${pageId} names no used page`);
    }
    const chunkPage = Math.floor(page / CHUNK_PAGES) * CHUNK_PAGES;
    const chunk = await this.#chunk(bank, chunkPage);
    const at = (page - chunkPage) * PAGE_BYTES;
    return chunk.subarray(at, at + PAGE_BYTES);
  }

  #chunk(bank: OpenBank, firstPage: number): Promise<Buffer> {
    const offsetBytes = bank.offsetBytes + (firstPage + 1) * PAGE_BYTES;
    const known = this.#chunks.get(offsetBytes);
    if (known) {
      this.#chunks.delete(offsetBytes);
      this.#chunks.set(offsetBytes, known);
      return known;
    }
    const pages = Math.min(CHUNK_PAGES, bank.pageCount - firstPage);
    const chunk = this.#load(offsetBytes, pages * PAGE_BYTES);
    this.#chunks.set(offsetBytes, chunk);
    for (const oldest of this.#chunks.keys()) {
      if (this.#chunks.size <= MAX_CHUNKS) break;
      this.#chunks.delete(oldest);
    }
    return chunk;
  }

  async #load(offsetBytes: number, lengthBytes: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(lengthBytes);
    await this.#storage.read(bytes, offsetBytes);
    return bytes;
  }
}
