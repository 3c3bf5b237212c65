/**
 * Reads one VBK or VIB, written by us or by others: items, properties, maps, stored blocks. Every
 * count, size and offset is checked before use. Memory stays at a few pages plus the returned data.
 */
import { FormatError } from '../../core/errors.ts';
import { LZ4_HEADER_BYTES, maxStoredBytes, type ReadCodec } from '../../compute/storedForm.ts';
import { loadZstd } from '../../compute/codecs/zstd.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { checkPlainBlock } from './blockCheck.ts';
import {
  DIRECTORY_ITEM_BYTES,
  ITEM_EXTERNAL,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  ITEM_PATCH,
  NO_PAGE,
  PAGE_BYTES,
  STORE_BLOCK_BYTES,
} from '../format/layout.ts';
import type { ContainerItem, ItemKind } from '../format/items.ts';
import { MapReader } from './mapReader.ts';
import { decodeProperties, type Property } from '../format/properties.ts';
import {
  type BlockReference,
  codecOf,
  compressionName,
  decodeDirectoryItem,
  decodeStoreBlock,
  type DirectoryItem,
  type BlockStoreRow,
} from '../format/records.ts';
import { type OpenOptions, type OpenSnapshot, openSnapshot } from './snapshotReader.ts';
import { UNSUPPORTED_HINT } from '../format/versions.ts';
import type { Storage } from '../../store/storage.ts';
import { readBlob, VectorReader } from './vectorReader.ts';

/** Place and form of a stored block, checked against the file. */
export interface StoredExtent {
  readonly blockId: number;
  readonly offsetBytes: number;
  readonly storedBytes: number;
  readonly sourceBytes: number;
  readonly codec: ReadCodec;
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

/** Stored bytes may exceed the plain ones, but not by much: no reader needs endless room. */
function lengthFits(codec: ReadCodec, storedBytes: number, sourceBytes: number): boolean {
  if (codec === 'plain') return storedBytes === sourceBytes;
  const leastBytes = codec === 'lz4' ? LZ4_HEADER_BYTES : 0;
  return storedBytes > leastBytes && storedBytes <= maxStoredBytes(sourceBytes);
}

export class ContainerReader {
  readonly snapshot: OpenSnapshot;
  readonly storage: Storage;
  readonly store: VectorReader;
  readonly #maps: MapReader;
  #propertyBytes = 0;

  private constructor(storage: Storage, snapshot: OpenSnapshot, store: VectorReader) {
    this.storage = storage;
    this.snapshot = snapshot;
    this.store = store;
    this.#maps = new MapReader(snapshot.pages, this.blockSizeBytes, store.count);
  }

  /**
   * Opens a container. The reader owns `storage` from now on and closes it, also when opening
   * fails. Errors: see {@link openSnapshot}.
   */
  static async open(storage: Storage, options: OpenOptions = {}): Promise<ContainerReader> {
    try {
      const snapshot = await openSnapshot(storage, options);
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

  /** All items of the container, parents before children. */
  async items(): Promise<ContainerItem[]> {
    const { directoryRoot, directoryCount } = this.snapshot.slot.roots;
    const items: ContainerItem[] = [];
    this.#propertyBytes = 0;
    await this.#folder(directoryRoot, directoryCount, '', 0, items);
    return items;
  }

  /**
   * References of a file or increment, in ascending order. A file gives only its stored blocks. An
   * increment also gives the blocks that became zero (block id -1).
   */
  references(item: ContainerItem): AsyncGenerator<BlockReference> {
    return item.kind === 'increment' ? this.#maps.patches(item) : this.#maps.storedBlocks(item);
  }

  /** As {@link references}, for blocks `[from, to)` of a file. */
  fileBlocks(item: ContainerItem, from: number, to: number): AsyncGenerator<BlockReference> {
    return this.#maps.storedBlocks(item, from, to);
  }

  /** Entry of a file's map for block `index`. */
  async fileBlock(item: ContainerItem, index: number): Promise<BlockReference> {
    return await this.#maps.fileBlock(item, index);
  }

  /**
   * Place and form of a stored block, checked.
   *
   * @throws {@link FormatError} `FORMAT_BOUNDS`, `FORMAT_STRUCTURE`, `FORMAT_UNSUPPORTED`
   * @throws {@link UsageError} `USAGE_CODEC_MISSING` when nothing here can expand zstd
   */
  async storedExtent(blockId: number): Promise<StoredExtent> {
    const block = await this.storeBlock(blockId);
    if (block.usageCount === 0) this.#badBlock(blockId, block);
    if (block.isEncrypted) this.#refuse(blockId, 'is encrypted');
    const codec = codecOf(block.compression);
    if (!codec) this.#refuse(blockId, `is compressed by ${compressionName(block.compression)}`);
    if (codec === 'zstd') await loadZstd();
    const { offsetBytes, storedBytes, sourceBytes, digest } = block;
    if (!lengthFits(codec, storedBytes, sourceBytes)) this.#badBlock(blockId, block);
    return { blockId, offsetBytes, storedBytes, sourceBytes, codec, digest };
  }

  /** A record of the block store, with its place checked. Free extents are returned too. */
  async storeBlock(blockId: number): Promise<BlockStoreRow> {
    const block = decodeStoreBlock(await this.store.record(blockId));
    if (!block) {
      throw new FormatError('FORMAT_STRUCTURE', `${this.name}: block ${blockId}: unknown format`);
    }
    const { dataStartBytes, header } = this.snapshot;
    const { offsetBytes, allocatedBytes, storedBytes, sourceBytes } = block;
    const cluster = 512 * 2 ** header.clusterAlign;
    const inFile = offsetBytes >= dataStartBytes && offsetBytes + allocatedBytes <= this.endBytes;
    const aligned = offsetBytes % cluster === 0 && allocatedBytes % cluster === 0;
    const sizesFit = storedBytes <= allocatedBytes && sourceBytes <= this.blockSizeBytes;
    if (!inFile || !aligned || !sizesFit || allocatedBytes === 0) this.#badBlock(blockId, block);
    return block;
  }

  /**
   * Reads, expands and checks one stored block on this thread: lengths, CRC, digest. The buffer
   * belongs to the caller.
   */
  async readBlock(reference: BlockReference, codecs: BlockCodecs): Promise<Buffer> {
    return await this.readStoredBlock(reference.blockId, codecs, reference);
  }

  /**
   * As {@link readBlock}, for a block that is known by its id.
   *
   * @param wanted - length and digest that the block must have too.
   */
  async readStoredBlock(
    blockId: number,
    codecs: BlockCodecs,
    wanted?: BlockReference,
  ): Promise<Buffer> {
    const extent = await this.storedExtent(blockId);
    const stored = Buffer.allocUnsafeSlow(extent.storedBytes);
    await this.storage.read(stored, extent.offsetBytes);
    const plain = Buffer.allocUnsafeSlow(extent.sourceBytes);
    const status = codecs.unpack(stored, extent.codec, plain);
    const digest = status === 0 ? codecs.digest(plain) : plain;
    checkPlainBlock(this.name, extent, { status, digest }, wanted);
    return plain;
  }

  /** Whole content of a file of at most `maxBytes`. Used for XML items. */
  async readFile(item: ContainerItem, maxBytes: number, codecs: BlockCodecs): Promise<Buffer> {
    const { sizeBytes } = item.record;
    if (item.kind !== 'file' || !(sizeBytes <= maxBytes)) {
      throw new FormatError(
        'FORMAT_BOUNDS',
        `${this.name}: ${item.path}: ${sizeBytes} B, at most ${maxBytes} B expected`,
      );
    }
    const content = Buffer.alloc(sizeBytes);
    for await (const reference of this.references(item)) {
      const plain = await this.readBlock(reference, codecs);
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
      throw new FormatError(
        'FORMAT_STRUCTURE',
        `${this.name}: ${parent}: too many folders inside each other`,
      );
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
    const { pages } = this.snapshot;
    const bytes = await readBlob(pages, record.propertiesRoot, `${path}: properties`);
    // Several items may share one dictionary, so a small file could claim endless properties. The
    // sum of all of them must not exceed the metadata.
    this.#propertyBytes += bytes.length;
    if (this.#propertyBytes > pages.totalPages * PAGE_BYTES) {
      throw new FormatError('FORMAT_BOUNDS', `${this.name}: ${path}: too many properties`);
    }
    return decodeProperties(bytes);
  }

  #refuse(blockId: number, why: string): never {
    throw new FormatError('FORMAT_UNSUPPORTED', `${this.name}: block ${blockId} ${why}`, {
      hint: UNSUPPORTED_HINT,
      details: { blockId },
    });
  }

  #badBlock(blockId: number, block: BlockStoreRow): never {
    const { offsetBytes, allocatedBytes, storedBytes, sourceBytes } = block;
    throw new FormatError(
      'FORMAT_BOUNDS',
      `${this.name}: block ${blockId}: ${storedBytes} of ${allocatedBytes} B at ${offsetBytes} B for ${sourceBytes} B`,
      { details: { blockId, offsetBytes, storedBytes, sourceBytes } },
    );
  }
}
