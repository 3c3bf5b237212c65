/**
 * Writes metadata pages into banks. Pages are appended in order and never changed, except three
 * roots with fixed ids: 0:0 directory, 0:1 block store, 0:2 free index. These roots wait in the
 * first bank. A full bank is written at once, so memory stays at two banks for any size of the
 * metadata.
 */
import type { EncodeRecord } from '../format/indexTree.ts';
import { crc32c } from '../../core/crc32.ts';
import { FormatError, invariant } from '../../core/errors.ts';
import {
  BANK_EXTRA_PAGES,
  BANK_MAX_PAGES,
  BANK_MIN_PAGES,
  BLOB_PAGE_BYTES,
  makePageId,
  NO_PAGE,
  PAGE_BYTES,
  viewOf,
  writePageId,
} from '../format/layout.ts';
import type { BankDescriptor } from '../format/snapshotSlots.ts';
import type { Storage } from '../../store/storage.ts';
import { encodeTablePage, tablePagesFor } from '../format/vectorTables.ts';

const FULL_BANK_BYTES = (BANK_MAX_PAGES + BANK_EXTRA_PAGES) * PAGE_BYTES;
const FIRST_BANK_BYTES = (2 * BANK_MIN_PAGES + BANK_EXTRA_PAGES) * PAGE_BYTES;
const COPY_BYTES = 1024 * 1024;

export class MetadataWriter {
  readonly #storage: Storage;
  readonly #maxBanks: number;
  readonly #startBytes: number;
  readonly #banks: BankDescriptor[] = [];
  /**
   * Images of the first and of the current bank: header page, pages, room for the zero page after
   * them. The first one grows: a container with few blocks has few pages.
   */
  #firstBank: Buffer = Buffer.alloc(FIRST_BANK_BYTES);
  #bank: Buffer = this.#firstBank;
  #bankIndex = 0;
  #pageCount: number;

  /** @param reservedPages - number of pages of bank 0 that {@link setReserved} fills later. */
  constructor(storage: Storage, startBytes: number, maxBanks: number, reservedPages: number) {
    this.#storage = storage;
    this.#startBytes = startBytes;
    this.#maxBanks = maxBanks;
    this.#pageCount = reservedPages;
  }

  /** Id of the page that is appended after `ahead` more pages. */
  nextPageId(ahead = 0): number {
    const flat = this.#bankIndex * BANK_MAX_PAGES + this.#pageCount + ahead;
    return makePageId(Math.floor(flat / BANK_MAX_PAGES), flat % BANK_MAX_PAGES);
  }

  /**
   * Appends one page. `fill` gets the page filled with zeros.
   *
   * @returns the id of the page
   */
  async append(fill: (page: Buffer) => void): Promise<number> {
    if (this.#pageCount === BANK_MAX_PAGES) await this.#nextBank();
    this.#makeRoom();
    const pageId = this.nextPageId();
    fill(this.#pageAt(this.#bank, this.#pageCount));
    this.#pageCount++;
    return pageId;
  }

  setReserved(page: number, bytes: Uint8Array): void {
    this.#pageAt(this.#firstBank, page).set(bytes);
  }

  /**
   * Writes a vector of fixed-size records.
   *
   * @param reservedRoot - page of bank 0 for the root; without it the root is appended.
   * @returns the id of the root page.
   */
  async vector(
    recordBytes: number,
    count: number,
    encode: EncodeRecord,
    reservedRoot?: number,
  ): Promise<number> {
    const dataIds = await this.#dataPages(recordBytes, count, encode);
    const tables = tablePagesFor(dataIds.length);
    const firstId = reservedRoot === undefined ? 0 : 1;
    const tableIds = Array.from({ length: tables }, (_, k) =>
      k < firstId ? makePageId(0, reservedRoot ?? 0) : this.nextPageId(k - firstId),
    );
    for (let table = 0; table < tables; table++) {
      const page = encodeTablePage(
        table,
        tableIds,
        (index) => dataIds[index] ?? NO_PAGE,
        dataIds.length,
      );
      if (table < firstId) this.setReserved(reservedRoot ?? 0, page);
      else await this.append((out) => out.set(page));
    }
    return tableIds[0] ?? NO_PAGE;
  }

  /** Writes bytes over linked pages; returns the id of the first page. */
  async blob(bytes: Uint8Array): Promise<number> {
    const pages = Math.max(1, Math.ceil(bytes.length / BLOB_PAGE_BYTES));
    const firstId = this.nextPageId();
    for (let k = 0; k < pages; k++) {
      const nextId = k + 1 < pages ? this.nextPageId(1) : NO_PAGE;
      await this.append((page) => {
        writePageId(viewOf(page), 0, nextId);
        page.writeUInt32LE(k === 0 ? bytes.length : 0, 8);
        page.set(bytes.subarray(k * BLOB_PAGE_BYTES, (k + 1) * BLOB_PAGE_BYTES), 12);
      });
    }
    return firstId;
  }

  /**
   * Writes the last banks. Returns the descriptors of all banks and the offset of the first byte
   * after them.
   */
  async finish(): Promise<{ banks: BankDescriptor[]; endBytes: number }> {
    if (this.#bankIndex > 0) {
      await this.#writeBank(this.#bank, this.#bankIndex, this.#pageCount);
      await this.#writeBank(this.#firstBank, 0, BANK_MAX_PAGES);
    } else {
      await this.#writeBank(this.#firstBank, 0, this.#pageCount);
    }
    const last = this.#banks.at(-1);
    return { banks: this.#banks, endBytes: last ? last.offsetBytes + last.sizeBytes : 0 };
  }

  async #dataPages(recordBytes: number, count: number, encode: EncodeRecord): Promise<number[]> {
    const perPage = Math.floor(PAGE_BYTES / recordBytes);
    const ids: number[] = [];
    for (let from = 0; from < count; from += perPage) {
      const until = Math.min(from + perPage, count);
      const id = await this.append((page) => {
        for (let index = from; index < until; index++) {
          const at = (index - from) * recordBytes;
          encode(index, page.subarray(at, at + recordBytes));
        }
      });
      ids.push(id);
    }
    return ids;
  }

  /** Makes room for one more page and the zero page after it. */
  #makeRoom(): void {
    if ((this.#pageCount + 1 + BANK_EXTRA_PAGES) * PAGE_BYTES <= this.#bank.length) return;
    const grown = Buffer.alloc(Math.min(2 * this.#bank.length, FULL_BANK_BYTES));
    grown.set(this.#bank);
    if (this.#bank === this.#firstBank) this.#firstBank = grown;
    this.#bank = grown;
  }

  #pageAt(bank: Buffer, page: number): Buffer {
    return bank.subarray((page + 1) * PAGE_BYTES, (page + 2) * PAGE_BYTES);
  }

  async #nextBank(): Promise<void> {
    if (this.#bankIndex > 0) {
      await this.#writeBank(this.#bank, this.#bankIndex, this.#pageCount);
      this.#bank.fill(0);
    } else {
      this.#bank = Buffer.alloc(FULL_BANK_BYTES);
    }
    this.#bankIndex++;
    this.#pageCount = 0;
    if (this.#bankIndex >= this.#maxBanks) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.#storage.name}: the metadata does not fit the banks`,
      );
    }
  }

  /** All banks before `bankIndex` are full, so the place of this one is known. */
  async #writeBank(image: Buffer, bankIndex: number, usedPages: number): Promise<void> {
    const pageCount = Math.max(BANK_MIN_PAGES, usedPages);
    invariant(usedPages <= BANK_MAX_PAGES, 'bank overflow');
    image.writeUInt16LE(pageCount, 0);
    image.fill(0, 4, 4 + usedPages);
    image.fill(1, 4 + usedPages, 4 + pageCount);
    const bytes = image.subarray(0, (pageCount + BANK_EXTRA_PAGES) * PAGE_BYTES);
    const offsetBytes = this.#startBytes + bankIndex * FULL_BANK_BYTES;
    await this.#storage.write([bytes], offsetBytes);
    this.#banks[bankIndex] = { crc: crc32c(bytes), offsetBytes, sizeBytes: bytes.length };
  }
}

/**
 * Copies finished banks to the place right after them. The copy belongs to the second snapshot
 * slot.
 */
export async function copyBanks(
  storage: Storage,
  banks: readonly BankDescriptor[],
  startBytes: number,
  endBytes: number,
): Promise<{ banks: BankDescriptor[]; endBytes: number }> {
  const shiftBytes = endBytes - startBytes;
  const buffer = Buffer.alloc(Math.min(COPY_BYTES, shiftBytes));
  for (let at = startBytes; at < endBytes; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, endBytes - at));
    await storage.read(piece, at);
    await storage.write([piece], at + shiftBytes);
  }
  return {
    banks: banks.map((bank) => ({ ...bank, offsetBytes: bank.offsetBytes + shiftBytes })),
    endBytes: endBytes + shiftBytes,
  };
}
