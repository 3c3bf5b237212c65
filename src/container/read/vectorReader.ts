/**
 * Reads vectors and blobs: checks root, chain and counts, then gives records by index or in order.
 *
 * Before format version 12 a vector is a list of linked pages ("MetaVec"), since then it has tables
 * of page ids ("MetaVec2").
 */
import { FormatError } from '../../core/errors.ts';
import { BLOB_PAGE_BYTES, NO_PAGE, PAGE_BYTES, readPageId, viewOf } from '../format/layout.ts';
import type { PageReader } from './pageReader.ts';
import { TABLE_WORDS, type TableRule, tablePagesFor, wordOf } from '../format/vectorTables.ts';

/** Number of group ids in the header of the fifth table page by the ×4 rule. */
const FIFTH_GROUP = 12;

/** Bytes of the link at the start of a data page. */
const LINK_BYTES = 8;

/** Where the data pages of a vector are: their ids, or the tables that name them. */
type PagePlaces =
  | { readonly pageIds: readonly number[] }
  | { readonly tableIds: readonly number[]; readonly rule: TableRule };

function pageHeaderBytes({ vectors }: PageReader): number {
  return vectors === 'linked' ? LINK_BYTES : 0;
}

function recordsPerPage(pages: PageReader, recordBytes: number): number {
  return Math.floor((PAGE_BYTES - pageHeaderBytes(pages)) / recordBytes);
}

export class VectorReader {
  readonly count: number;
  readonly #pages: PageReader;
  readonly #recordBytes: number;
  readonly #perPage: number;
  /** Offset of the first record in a data page. */
  readonly #recordsAt: number;
  readonly #places: PagePlaces;

  private constructor(pages: PageReader, recordBytes: number, count: number, places: PagePlaces) {
    this.#pages = pages;
    this.#recordBytes = recordBytes;
    this.#recordsAt = pageHeaderBytes(pages);
    this.#perPage = recordsPerPage(pages, recordBytes);
    this.count = count;
    this.#places = places;
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
    const dataPages = Math.ceil(count / recordsPerPage(pages, recordBytes));
    if (!Number.isSafeInteger(count) || dataPages > pages.totalPages) {
      throw new FormatError('FORMAT_BOUNDS', `${pages.name}: ${what}: count ${count}`);
    }
    const places =
      pages.vectors === 'linked'
        ? { pageIds: await walkLinked(pages, root, dataPages, what) }
        : await findTables(pages, root, dataPages, what);
    return new VectorReader(pages, recordBytes, count, places);
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
    const at = this.#recordsAt + (index % this.#perPage) * this.#recordBytes;
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
        const at = this.#recordsAt + (index - first) * this.#recordBytes;
        yield [index, page.subarray(at, at + this.#recordBytes)];
      }
    }
  }

  async #dataPage(dataIndex: number): Promise<Buffer> {
    const places = this.#places;
    if ('pageIds' in places) return await this.#pages.read(places.pageIds[dataIndex] ?? Number.NaN);
    const word = wordOf(places.rule, dataIndex);
    const tableId = places.tableIds[Math.floor(word / TABLE_WORDS)] ?? Number.NaN;
    const table = await this.#pages.read(tableId);
    return await this.#pages.read(readPageId(viewOf(table), 8 * (word % TABLE_WORDS)));
  }
}

/** Ids of the first `dataPages` pages of a list. A page that comes twice is a loop. */
async function walkLinked(
  pages: PageReader,
  root: number,
  dataPages: number,
  what: string,
): Promise<number[]> {
  const ids = new Set<number>();
  for (let id = root; ids.size < dataPages; ) {
    if (id === NO_PAGE || ids.has(id)) {
      throw new FormatError(
        'FORMAT_STRUCTURE',
        `${pages.name}: ${what}: ${ids.size} pages are linked, ${dataPages} are needed`,
      );
    }
    ids.add(id);
    id = readPageId(viewOf(await pages.read(id)), 0);
  }
  return [...ids];
}

async function findTables(
  pages: PageReader,
  root: number,
  dataPages: number,
  what: string,
): Promise<PagePlaces> {
  const tableIds = await walkTables(pages, root, 4 * tablePagesFor(dataPages), what);
  const rule = await detectRule(pages, tableIds);
  const lastWord = dataPages === 0 ? 0 : wordOf(rule, dataPages - 1);
  if (lastWord < TABLE_WORDS * tableIds.length) return { tableIds, rule };
  throw new FormatError(
    'FORMAT_STRUCTURE',
    `${pages.name}: ${what}: ${tableIds.length} table pages for ${dataPages} data pages`,
  );
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
