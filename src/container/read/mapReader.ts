/**
 * Reads file maps and patch records. Every length, count and block id is checked before it is
 * returned.
 */
import { FormatError } from '../../core/errors.ts';
import { blockCountOf, blockLengthAt } from '../../core/units.ts';
import { UNSUPPORTED_HINT } from '../format/versions.ts';
import { DIGEST_BYTES } from '../../compute/storedForm.ts';
import type { ContainerItem } from '../format/items.ts';
import {
  FIB_BLOCK_BYTES,
  NO_PAGE,
  PATCH_BLOCK_BYTES,
  TABLE_BLOCKS,
  TABLE_DESCRIPTOR_BYTES,
} from '../format/layout.ts';
import type { PageReader } from './pageReader.ts';
import {
  type BlockReference,
  decodeFibBlock,
  decodePatchBlock,
  decodeTableDescriptor,
  FIB_KEY_SET_AT,
  PATCH_KEY_SET_AT,
  unreadableBlock,
  ZERO_BLOCK_ID,
} from '../format/records.ts';
import { VectorReader } from './vectorReader.ts';

export class MapReader {
  readonly #pages: PageReader;
  readonly #blockSizeBytes: number;
  readonly #storeCount: number;

  constructor(pages: PageReader, blockSizeBytes: number, storeCount: number) {
    this.#pages = pages;
    this.#blockSizeBytes = blockSizeBytes;
    this.#storeCount = storeCount;
  }

  /** Entry of a file's map for block `index`. */
  async fileBlock(item: ContainerItem, index: number): Promise<BlockReference> {
    const tables = await this.#tables(item);
    const fibs = await this.#fibs(item, tables, Math.floor(index / TABLE_BLOCKS));
    const record = await fibs?.record(index % TABLE_BLOCKS);
    if (record) return this.#checkedFib(item, index, record);
    const lengthBytes = blockLengthAt(index, item.record.sizeBytes, this.#blockSizeBytes);
    return { index, lengthBytes, blockId: ZERO_BLOCK_ID, digest: new Uint8Array(DIGEST_BYTES) };
  }

  async #tables(item: ContainerItem): Promise<VectorReader> {
    const { sizeBytes, count, vectorRoot } = item.record;
    const blockCount = blockCountOf(sizeBytes, this.#blockSizeBytes);
    if (item.kind !== 'file' || !(count === blockCount)) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.#pages.name}: ${item.path}: ${count} blocks for ${sizeBytes} B`,
      );
    }
    const tableCount = Math.ceil(blockCount / TABLE_BLOCKS);
    return await VectorReader.open(
      this.#pages,
      vectorRoot,
      TABLE_DESCRIPTOR_BYTES,
      tableCount,
      item.path,
    );
  }

  /** The entries of one table. Undefined for a table that is absent, which means zeros. */
  async #fibs(
    item: ContainerItem,
    tables: VectorReader,
    table: number,
  ): Promise<VectorReader | undefined> {
    const { vectorRoot, blockCount } = decodeTableDescriptor(await tables.record(table));
    if (vectorRoot === NO_PAGE) return undefined;
    const expected = Math.min(TABLE_BLOCKS, item.record.count - table * TABLE_BLOCKS);
    if (blockCount !== expected) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.#pages.name}: ${item.path}: table ${table} has ${blockCount} blocks, not ${expected}`,
      );
    }
    const what = `${item.path} table ${table}`;
    return await VectorReader.open(this.#pages, vectorRoot, FIB_BLOCK_BYTES, blockCount, what);
  }

  /** Stored blocks `[from, to)` of a file, in ascending order, without zero blocks. */
  async *storedBlocks(
    item: ContainerItem,
    from = 0,
    to: number = item.record.count,
  ): AsyncGenerator<BlockReference> {
    const tables = await this.#tables(item);
    const end = Math.min(to, item.record.count);
    let pages = 0;
    for (let table = Math.floor(from / TABLE_BLOCKS); table * TABLE_BLOCKS < end; table++) {
      const fibs = await this.#fibs(item, tables, table);
      if (!fibs) continue;
      // Without this limit, tables that share pages could make an endless disk of a small file.
      pages += fibs.pageCount;
      if (pages > this.#pages.totalPages) {
        throw new FormatError(
          'FORMAT_BOUNDS',
          `${this.#pages.name}: ${item.path}: its map needs more pages than there are`,
        );
      }
      const first = table * TABLE_BLOCKS;
      for await (const [k, bytes] of fibs.records(Math.max(0, from - first), end - first)) {
        const reference = this.#checkedFib(item, first + k, bytes);
        if (reference.blockId !== ZERO_BLOCK_ID) yield reference;
      }
    }
  }

  /** Patch records of an increment, in ascending order; block id -1 means zeros. */
  async *patches(item: ContainerItem): AsyncGenerator<BlockReference> {
    const { vectorRoot, count } = item.record;
    const vector = await VectorReader.open(
      this.#pages,
      vectorRoot,
      PATCH_BLOCK_BYTES,
      count,
      item.path,
    );
    let lastIndex = -1;
    for await (const [k, bytes] of vector.records()) {
      const what = `patch ${k}`;
      this.#refuse(item, unreadableBlock(bytes, PATCH_KEY_SET_AT), what);
      const reference = this.#checked(item, decodePatchBlock(bytes), what);
      if (!(reference.index > lastIndex)) {
        throw new FormatError(
          'FORMAT_STRUCTURE',
          `${this.#pages.name}: ${item.path}: patch ${k}: not in ascending order`,
        );
      }
      lastIndex = reference.index;
      yield reference;
    }
  }

  #checkedFib(item: ContainerItem, index: number, bytes: Buffer): BlockReference {
    const what = `block ${index}`;
    this.#refuse(item, unreadableBlock(bytes, FIB_KEY_SET_AT), what);
    return this.#checked(item, decodeFibBlock(bytes, index), what);
  }

  #refuse(item: ContainerItem, reason: string | undefined, what: string): void {
    if (reason === undefined) return;
    throw new FormatError(
      'FORMAT_UNSUPPORTED',
      `${this.#pages.name}: ${item.path}: ${what} is ${reason}`,
      { hint: UNSUPPORTED_HINT },
    );
  }

  #checked(
    item: ContainerItem,
    reference: BlockReference | undefined,
    what: string,
  ): BlockReference {
    const expected = reference
      ? blockLengthAt(reference.index, item.record.sizeBytes, this.#blockSizeBytes)
      : 0;
    const known =
      reference &&
      (reference.blockId === ZERO_BLOCK_ID ||
        (reference.blockId >= 0 && reference.blockId < this.#storeCount));
    if (!reference || !known || expected === 0 || reference.lengthBytes !== expected) {
      throw new FormatError('FORMAT_BOUNDS', `${this.#pages.name}: ${item.path}: ${what}`, {
        hint: 'the map of this item is damaged, or its kind is not supported',
      });
    }
    return reference;
  }
}
