/**
 * Reads one VBK or VIB, ours or foreign: items, properties, maps, stored blocks. Strict and bounded: every
 * count, size and offset is checked before use, and memory stays at a few pages plus what is returned.
 */
import { FormatError } from '../core/errors.ts';
import { blockCountOf, blockLengthAt } from '../core/units.ts';
import type { StoredCodec } from '../pipeline/blocks.ts';
import type { BlockVerbs } from '../pipeline/blockVerbs.ts';
import { LZ4_HEADER_BYTES } from '../pipeline/storedBlock.ts';
import { checkPlainBlock } from './blockCheck.ts';
import {
  COMPRESSION_LZ4,
  dataStartOf,
  DIRECTORY_ITEM_BYTES,
  FIB_BLOCK_BYTES,
  ITEM_EXTERNAL,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  ITEM_PATCH,
  NO_PAGE,
  PATCH_BLOCK_BYTES,
  STORE_BLOCK_BYTES,
  TABLE_BLOCKS,
  TABLE_DESCRIPTOR_BYTES,
} from './layout.ts';
import { decodeProperties, type Property } from './properties.ts';
import {
  type BlockReference,
  decodeDirectoryItem,
  decodeFibBlock,
  decodePatchBlock,
  decodeStoreBlock,
  decodeTableDescriptor,
  type DirectoryItem,
  isKnownCompression,
  type StoreBlock,
  ZERO_BLOCK_ID,
} from './records.ts';
import { type OpenSnapshot, openSnapshot } from './snapshotReader.ts';
import type { Storage } from './storage.ts';
import { readBlob, VectorReader } from './vectorReader.ts';

export type ItemKind = 'folder' | 'external' | 'file' | 'patch' | 'increment' | 'unknown';

export interface ContainerItem {
  /** Names from the top, joined by "/". */
  readonly path: string;
  readonly kind: ItemKind;
  readonly properties: readonly Property[] | undefined;
  readonly record: DirectoryItem;
}

/** Where the stored bytes of a block lie, checked against the file. */
export interface StoredExtent {
  readonly blockId: number;
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly sourceBytes: number;
  readonly codec: StoredCodec;
  readonly digest: Uint8Array;
}

const KINDS: Readonly<Record<number, ItemKind>> = {
  [ITEM_FOLDER]: 'folder',
  [ITEM_EXTERNAL]: 'external',
  [ITEM_FILE]: 'file',
  [ITEM_PATCH]: 'patch',
  [ITEM_INCREMENT]: 'increment',
};
const MAX_FOLDER_DEPTH = 16;

export class ContainerReader {
  readonly snapshot: OpenSnapshot;
  readonly storage: Storage;
  readonly store: VectorReader;

  private constructor(storage: Storage, snapshot: OpenSnapshot, store: VectorReader) {
    this.storage = storage;
    this.snapshot = snapshot;
    this.store = store;
  }

  /** Opens a container; `storage` is closed with it. Errors: see {@link openSnapshot}. */
  static async open(storage: Storage): Promise<ContainerReader> {
    try {
      const snapshot = await openSnapshot(storage);
      const { storeRoot, storeCount } = snapshot.slot.roots;
      const { pages } = snapshot;
      const store = await VectorReader.open(
        pages,
        storeRoot,
        STORE_BLOCK_BYTES,
        storeCount,
        'block store',
      );
      return new ContainerReader(storage, snapshot, store);
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  get name(): string {
    return this.storage.name;
  }

  get blockSizeBytes(): number {
    return this.snapshot.header.blockSizeBytes;
  }

  /** Bytes of the file that belong to the snapshot. */
  get endBytes(): number {
    return this.snapshot.slot.endOfFileBytes;
  }

  async close(): Promise<void> {
    await this.storage.close();
  }

  /** All items, parents before children. */
  async items(): Promise<ContainerItem[]> {
    const { directoryRoot, directoryCount } = this.snapshot.slot.roots;
    const items: ContainerItem[] = [];
    await this.#folder(directoryRoot, directoryCount, '', 0, items);
    return items;
  }

  /**
   * References of a file or increment in ascending order. For a file only stored blocks are named; for an
   * increment also those that became zero (block id -1).
   */
  references(item: ContainerItem): AsyncGenerator<BlockReference> {
    return item.kind === 'increment' ? this.#patches(item) : this.#storedBlocks(item);
  }

  /** What a file's map says of block `index`. */
  async fileBlock(item: ContainerItem, index: number): Promise<BlockReference> {
    const tables = await this.#tables(item);
    const table = Math.floor(index / TABLE_BLOCKS);
    const fibs = await this.#fibs(item, tables, table);
    const record = await fibs?.record(index % TABLE_BLOCKS);
    if (record) return this.#checkedFib(item, index, record);
    const lengthBytes = blockLengthAt(index, item.record.sizeBytes, this.blockSizeBytes);
    return { index, lengthBytes, blockId: ZERO_BLOCK_ID, digest: new Uint8Array(16) };
  }

  /** Place and form of a stored block, checked. @throws FORMAT_BOUNDS, FORMAT_STRUCTURE, FORMAT_UNSUPPORTED */
  async storedExtent(blockId: number): Promise<StoredExtent> {
    const block = await this.storeBlock(blockId);
    if (!isKnownCompression(block.compression)) {
      throw new FormatError(
        'FORMAT_UNSUPPORTED',
        `${this.name}: block ${blockId} is compressed by method ${block.compression}`,
      );
    }
    const codec = block.compression === COMPRESSION_LZ4 ? 'lz4' : 'plain';
    const { offsetBytes, storedBytes, sourceBytes, digest } = block;
    const lengthFits =
      codec === 'plain' ? storedBytes === sourceBytes : storedBytes > LZ4_HEADER_BYTES;
    if (block.usageCount === 0 || !lengthFits) this.#badBlock(blockId, block);
    return { blockId, offsetBytes, storedBytes, sourceBytes, codec, digest };
  }

  /** A record of the block store with its place checked; free extents are returned too. */
  async storeBlock(blockId: number): Promise<StoreBlock> {
    const block = decodeStoreBlock(await this.store.record(blockId));
    if (!block) {
      throw new FormatError('FORMAT_STRUCTURE', `${this.name}: block ${blockId}: unknown format`);
    }
    const { slotFormat, clusterAlign } = this.snapshot.header;
    const { offsetBytes, allocatedBytes, storedBytes, sourceBytes } = block;
    const cluster = 512 * 2 ** clusterAlign;
    const inFile =
      offsetBytes >= dataStartOf(slotFormat) && offsetBytes + allocatedBytes <= this.endBytes;
    const aligned = offsetBytes % cluster === 0 && allocatedBytes % cluster === 0;
    const sizesFit = storedBytes <= allocatedBytes && sourceBytes <= this.blockSizeBytes;
    if (!inFile || !aligned || !sizesFit || allocatedBytes === 0) this.#badBlock(blockId, block);
    return block;
  }

  /** Reads and checks one stored block on this thread: lengths, CRC, digest. */
  async readBlock(reference: BlockReference, verbs: BlockVerbs): Promise<Buffer> {
    const extent = await this.storedExtent(reference.blockId);
    const stored = Buffer.allocUnsafeSlow(extent.storedBytes);
    await this.storage.read(stored, extent.offsetBytes);
    const plain = Buffer.allocUnsafeSlow(extent.sourceBytes);
    const status = verbs.unpack(stored, extent.codec, plain);
    const digest = status === 0 ? verbs.digest(plain) : plain;
    checkPlainBlock(this.name, extent, { status, digest }, reference);
    return plain;
  }

  /**
   * Whole content of a file that is at most `maxBytes` long, for XML items.
   *
   * @throws {@link FormatError} `FORMAT_BOUNDS` when it is longer
   */
  async readFile(item: ContainerItem, maxBytes: number, verbs: BlockVerbs): Promise<Buffer> {
    const { sizeBytes } = item.record;
    if (item.kind !== 'file' || !(sizeBytes <= maxBytes)) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.name}: ${item.path}: ${sizeBytes} B, at most ${maxBytes} B expected`,
      );
    }
    const content = Buffer.alloc(sizeBytes);
    for await (const reference of this.references(item)) {
      const plain = await this.readBlock(reference, verbs);
      plain.copy(content, reference.index * this.blockSizeBytes);
    }
    return content;
  }

  async #folder(
    root: number,
    count: number,
    parent: string,
    depth: number,
    items: ContainerItem[],
  ): Promise<void> {
    if (depth > MAX_FOLDER_DEPTH) {
      throw new FormatError('FORMAT_STRUCTURE', `${this.name}: ${parent}: folders too deep`);
    }
    const { pages } = this.snapshot;
    const what = `folder ${parent || '/'}`;
    const vector = await VectorReader.open(pages, root, DIRECTORY_ITEM_BYTES, count, what);
    for await (const [index, bytes] of vector.records()) {
      const record = decodeDirectoryItem(bytes);
      if (!record || /[/\0]/.test(record.name) || items.length > pages.totalPages * 21) {
        throw new FormatError('FORMAT_STRUCTURE', `${this.name}: ${what}: item ${index}`);
      }
      const path = parent ? `${parent}/${record.name}` : record.name;
      const kind = KINDS[record.type] ?? 'unknown';
      const properties = await this.#properties(record, path);
      items.push({ path, kind, properties, record });
      if (kind === 'folder') {
        await this.#folder(record.vectorRoot, record.count, path, depth + 1, items);
      }
    }
  }

  async #properties(record: DirectoryItem, path: string): Promise<Property[] | undefined> {
    if (record.propertiesRoot === NO_PAGE) return undefined;
    const what = `${path}: properties`;
    return decodeProperties(await readBlob(this.snapshot.pages, record.propertiesRoot, what));
  }

  async #tables(item: ContainerItem): Promise<VectorReader> {
    const { sizeBytes, count, vectorRoot } = item.record;
    const blockCount = blockCountOf(sizeBytes, this.blockSizeBytes);
    if (item.kind !== 'file' || !(count === blockCount)) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.name}: ${item.path}: ${count} blocks for ${sizeBytes} B`,
      );
    }
    const tableCount = Math.ceil(blockCount / TABLE_BLOCKS);
    const { pages } = this.snapshot;
    return await VectorReader.open(
      pages,
      vectorRoot,
      TABLE_DESCRIPTOR_BYTES,
      tableCount,
      item.path,
    );
  }

  /** The blocks of one table, or undefined for an absent table, which is all zeros. */
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
        `${this.name}: ${item.path}: table ${table} has ${blockCount} blocks, not ${expected}`,
      );
    }
    const what = `${item.path} table ${table}`;
    const { pages } = this.snapshot;
    return await VectorReader.open(pages, vectorRoot, FIB_BLOCK_BYTES, blockCount, what);
  }

  async *#storedBlocks(item: ContainerItem): AsyncGenerator<BlockReference> {
    const tables = await this.#tables(item);
    for (let table = 0; table < tables.count; table++) {
      const fibs = await this.#fibs(item, tables, table);
      if (!fibs) continue;
      for await (const [k, bytes] of fibs.records()) {
        const reference = this.#checkedFib(item, table * TABLE_BLOCKS + k, bytes);
        if (reference.blockId !== ZERO_BLOCK_ID) yield reference;
      }
    }
  }

  async *#patches(item: ContainerItem): AsyncGenerator<BlockReference> {
    const { vectorRoot, count } = item.record;
    const { pages } = this.snapshot;
    const vector = await VectorReader.open(pages, vectorRoot, PATCH_BLOCK_BYTES, count, item.path);
    let lastIndex = -1;
    for await (const [k, bytes] of vector.records()) {
      const reference = this.#checked(item, decodePatchBlock(bytes), `patch ${k}`);
      if (!(reference.index > lastIndex)) {
        throw new FormatError('FORMAT_STRUCTURE', `${this.name}: ${item.path}: patch ${k}: order`);
      }
      lastIndex = reference.index;
      yield reference;
    }
  }

  #checkedFib(item: ContainerItem, index: number, bytes: Buffer): BlockReference {
    return this.#checked(item, decodeFibBlock(bytes, index), `block ${index}`);
  }

  #checked(
    item: ContainerItem,
    reference: BlockReference | undefined,
    what: string,
  ): BlockReference {
    const expected = reference
      ? blockLengthAt(reference.index, item.record.sizeBytes, this.blockSizeBytes)
      : 0;
    const known =
      reference &&
      (reference.blockId === ZERO_BLOCK_ID ||
        (reference.blockId >= 0 && reference.blockId < this.store.count));
    if (!reference || !known || expected === 0 || reference.lengthBytes !== expected) {
      throw new FormatError('FORMAT_BOUNDS', `${this.name}: ${item.path}: ${what}`, {
        hint: 'the map of this item is damaged or of a kind that is not supported',
      });
    }
    return reference;
  }

  #badBlock(blockId: number, block: StoreBlock): never {
    const { offsetBytes, allocatedBytes, storedBytes, sourceBytes } = block;
    throw new FormatError(
      'FORMAT_BOUNDS',
      `${this.name}: block ${blockId}: ${storedBytes} of ${allocatedBytes} B at ${offsetBytes} B for ${sourceBytes} B`,
      { details: { blockId, offsetBytes, storedBytes, sourceBytes } },
    );
  }
}

