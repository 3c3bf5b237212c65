/**
 * Reads vectors and blobs: checks root, chain and counts, then gives records by index or in order.
 */
import { FormatError } from '../../core/errors.ts';
import { BLOB_PAGE_BYTES, NO_PAGE, PAGE_BYTES, readPageId, viewOf } from '../format/layout.ts';
import type { PageReader } from './pageReader.ts';
import { TABLE_WORDS, type TableRule, tablePagesFor, wordOf } from '../format/vectorTables.ts';

/** Number of group ids in the header of the fifth table page by the ×4 rule. */
const FIFTH_GROUP = 12;

export class VectorReader {
  readonly count: number;
  readonly #pages: PageReader;
  readonly #recordBytes: number;
  readonly #perPage: number;
  readonly #tableIds: readonly number[];
  readonly #rule: TableRule;

  private constructor(
    pages: PageReader,
    recordBytes: number,
    count: number,
    tableIds: readonly number[],
    rule: TableRule,
  ) {
    this.#pages = pages;
    this.#recordBytes = recordBytes;
    this.#perPage = Math.floor(PAGE_BYTES / recordBytes);
    this.count = count;
    this.#tableIds = tableIds;
    this.#rule = rule;
  }

  /**
   * Opens a vector of `count` records of `recordBytes` each.
   *
   * @param what - name of the vector for error texts.
   * @throws {@link FormatError} `FORMAT_BOUNDS` when the count needs more pages than there are
   * @throws {@link FormatError} `FORMAT_STRUCTURE` for a wrong root, or a chain of table pages
   *   that loops or ends early
   */
  static async open(
    pages: PageReader,
    root: number,
    recordBytes: number,
    count: number,
    what: string,
  ): Promise<VectorReader> {
    const dataPages = Math.ceil(count / Math.floor(PAGE_BYTES / recordBytes));
    if (!Number.isSafeInteger(count) || dataPages > pages.totalPages) {
      throw new FormatError('FORMAT_BOUNDS', `${pages.name}: ${what}: count ${count}`);
    }
    const tableIds = await walkTables(pages, root, 4 * tablePagesFor(dataPages), what);
    const rule = await detectRule(pages, tableIds);
    const lastWord = dataPages === 0 ? 0 : wordOf(rule, dataPages - 1);
    if (lastWord >= TABLE_WORDS * tableIds.length) {
      throw new FormatError(
        'FORMAT_STRUCTURE',
        `${pages.name}: ${what}: ${tableIds.length} table pages for ${dataPages} data pages`,
      );
    }
    return new VectorReader(pages, recordBytes, count, tableIds, rule);
  }

  /** Number of pages that the records need. */
  get pageCount(): number {
    return Math.ceil(this.count / this.#perPage);
  }

  /** Record `index`: a view that the caller must not change. */
  async record(index: number): Promise<Buffer> {
    if (!(index >= 0 && index < this.count)) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.#pages.name}: record ${index} of ${this.count}`,
      );
    }
    const page = await this.#dataPage(Math.floor(index / this.#perPage));
    const at = (index % this.#perPage) * this.#recordBytes;
    return page.subarray(at, at + this.#recordBytes);
  }

  /** Records `[from, to)` in order, with their index. The views must not be changed. */
  async *records(from = 0, to: number = this.count): AsyncGenerator<[number, Buffer]> {
    const end = Math.min(to, this.count);
    const firstPage = Math.floor(from / this.#perPage);
    for (let first = firstPage * this.#perPage; first < end; first += this.#perPage) {
      const page = await this.#dataPage(first / this.#perPage);
      const until = Math.min(first + this.#perPage, end);
      for (let index = Math.max(first, from); index < until; index++) {
        const at = (index - first) * this.#recordBytes;
        yield [index, page.subarray(at, at + this.#recordBytes)];
      }
    }
  }

  async #dataPage(dataIndex: number): Promise<Buffer> {
    const word = wordOf(this.#rule, dataIndex);
    const tableId = this.#tableIds[Math.floor(word / TABLE_WORDS)] ?? Number.NaN;
    const table = await this.#pages.read(tableId);
    return await this.#pages.read(readPageId(viewOf(table), 8 * (word % TABLE_WORDS)));
  }
}

/**
 * Ids of the table pages. A chain longer than `maxTables` loops, or has more pages than the count
 * needs.
 */
async function walkTables(
  pages: PageReader,
  root: number,
  maxTables: number,
  what: string,
): Promise<number[]> {
  const ids: number[] = [];
  for (let id = root; id !== NO_PAGE; ) {
    if (ids.length >= maxTables) {
      throw new FormatError('FORMAT_STRUCTURE', `${pages.name}: ${what}: chain of tables loops`);
    }
    const view = viewOf(await pages.read(id));
    if (ids.length === 0 && readPageId(view, 8) !== root) {
      throw new FormatError(
        'FORMAT_STRUCTURE',
        `${pages.name}: ${what}: page ${root} is not a root`,
      );
    }
    ids.push(id);
    id = readPageId(view, 0);
  }
  return ids;
}

/**
 * Above four table pages two layouts exist. The header of the fifth page tells which one this is.
 */
async function detectRule(pages: PageReader, tableIds: readonly number[]): Promise<TableRule> {
  const fifth = tableIds[4];
  if (fifth === undefined) return 'geometric';
  const view = viewOf(await pages.read(fifth));
  for (let k = 0; k < FIFTH_GROUP; k++) {
    if (readPageId(view, 8 * (1 + k)) !== (tableIds[4 + k] ?? NO_PAGE)) return 'period3';
  }
  return tableIds.length > 5 ? 'geometric' : 'period3';
}

/**
 * Reads a byte string over linked pages.
 *
 * @throws {@link FormatError} `FORMAT_BOUNDS`, `FORMAT_STRUCTURE`
 */
export async function readBlob(pages: PageReader, root: number, what: string): Promise<Buffer> {
  const first = await pages.read(root);
  const sizeBytes = viewOf(first).getUint32(8, true);
  const pageCount = Math.max(1, Math.ceil(sizeBytes / BLOB_PAGE_BYTES));
  if (pageCount > pages.totalPages) {
    throw new FormatError('FORMAT_BOUNDS', `${pages.name}: ${what}: ${sizeBytes} B`);
  }
  const parts: Buffer[] = [];
  let id = root;
  for (let k = 0; k < pageCount; k++) {
    const page = await pages.read(id);
    parts.push(page.subarray(PAGE_BYTES - BLOB_PAGE_BYTES));
    id = readPageId(viewOf(page), 0);
  }
  if (id !== NO_PAGE) {
    throw new FormatError('FORMAT_STRUCTURE', `${pages.name}: ${what}: longer than ${sizeBytes} B`);
  }
  return Buffer.concat(parts).subarray(0, sizeBytes);
}
