/** Writes the items and the block store of a container as metadata pages. */
import { blockCountOf, blockLengthAt } from '../../core/units.ts';
import { createHash } from 'node:crypto';
import type { FileMap, PatchList } from './blockMaps.ts';
import type { BlockStore } from './blockStore.ts';
import { writeIndex } from '../format/indexTree.ts';
import {
  DEDUP_RECORD_BYTES,
  DIRECTORY_ITEM_BYTES,
  FIB_BLOCK_BYTES,
  FREE_RECORD_BYTES,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  NO_PAGE,
  PATCH_BLOCK_BYTES,
  STORE_BLOCK_BYTES,
  TABLE_BLOCKS,
  TABLE_DESCRIPTOR_BYTES,
  viewOf,
  writeSize,
} from '../format/layout.ts';
import type { MetadataWriter } from './metadataWriter.ts';
import { encodeProperties, type Property } from '../format/properties.ts';
import {
  type BlockReference,
  type DirectoryItem,
  encodeDirectoryItem,
  encodeFibBlock,
  encodePatchBlock,
  encodeStoreBlock,
  encodeTableDescriptor,
  type TableDescriptor,
  ZERO_BLOCK_ID,
} from '../format/records.ts';
import type { SnapshotRoots } from '../format/snapshotSlots.ts';

/** Pages of bank 0 for the three roots whose places readers take for granted. */
const DIRECTORY_PAGE = 0;
const STORE_PAGE = 1;
const FREE_PAGE = 2;
export const RESERVED_PAGES = 3;

interface NamedItem {
  readonly name: string;
  readonly properties?: readonly Property[];
}

export interface FolderItem extends NamedItem {
  readonly kind: 'folder';
  readonly items: readonly WriterItem[];
}

export interface FileItem extends NamedItem {
  readonly kind: 'file';
  readonly sizeBytes: number;
  readonly map: FileMap;
}

export interface IncrementItem extends NamedItem {
  readonly kind: 'increment';
  readonly sizeBytes: number;
  readonly patches: PatchList;
}

export type WriterItem = FolderItem | FileItem | IncrementItem;

class SnapshotWriter {
  readonly #metadata: MetadataWriter;
  readonly #store: BlockStore;
  readonly #blockSizeBytes: number;
  readonly #zeroDigests = new Map<number, Uint8Array>();

  constructor(metadata: MetadataWriter, store: BlockStore, blockSizeBytes: number) {
    this.#metadata = metadata;
    this.#store = store;
    this.#blockSizeBytes = blockSizeBytes;
  }

  async directory(items: readonly WriterItem[], reservedRoot?: number): Promise<number> {
    const records: DirectoryItem[] = [];
    for (const item of items) records.push(await this.#item(item));
    return await this.#metadata.vector(
      DIRECTORY_ITEM_BYTES,
      records.length,
      (index, out) => encodeDirectoryItem(records[index] as DirectoryItem, out),
      reservedRoot,
    );
  }

  async #item(item: WriterItem): Promise<DirectoryItem> {
    const propertiesRoot = item.properties
      ? await this.#metadata.blob(encodeProperties(item.properties))
      : NO_PAGE;
    const common = { name: item.name, propertiesRoot, sizeBytes: 0, patchedBytes: 0 };
    switch (item.kind) {
      case 'folder': {
        const vectorRoot = await this.directory(item.items);
        return { ...common, type: ITEM_FOLDER, vectorRoot, count: item.items.length };
      }
      case 'file': {
        const { sizeBytes } = item;
        const count = blockCountOf(sizeBytes, this.#blockSizeBytes);
        const vectorRoot = await this.#fileMap(item, count);
        return { ...common, type: ITEM_FILE, vectorRoot, count, sizeBytes };
      }
      case 'increment': {
        const { sizeBytes, patches } = item;
        const [vectorRoot, patchedBytes] = await this.#patches(item);
        const count = patches.count;
        return { ...common, type: ITEM_INCREMENT, vectorRoot, count, sizeBytes, patchedBytes };
      }
    }
  }

  async #fileMap(item: FileItem, blockCount: number): Promise<number> {
    const tables: TableDescriptor[] = [];
    const tableCount = Math.ceil(blockCount / TABLE_BLOCKS);
    for (let table = 0; table < tableCount; table++) {
      if (!item.map.isSparseTable(table))
        tables[table] = await this.#table(item, table, blockCount);
    }
    const sparse = { vectorRoot: NO_PAGE, blockSizeBytes: this.#blockSizeBytes, blockCount: 0 };
    return await this.#metadata.vector(TABLE_DESCRIPTOR_BYTES, tableCount, (index, out) =>
      encodeTableDescriptor(tables[index] ?? sparse, out),
    );
  }

  /**
   * A table of one block holds the length of that block as its block size. A genuine file does so.
   */
  async #table(item: FileItem, table: number, blockCount: number): Promise<TableDescriptor> {
    const firstBlock = table * TABLE_BLOCKS;
    const count = Math.min(TABLE_BLOCKS, blockCount - firstBlock);
    const vectorRoot = await this.#metadata.vector(FIB_BLOCK_BYTES, count, (k, out) =>
      encodeFibBlock(
        this.#reference(item, firstBlock + k, item.map.blockIdAt(firstBlock + k)),
        out,
      ),
    );
    const blockSizeBytes =
      count === 1
        ? blockLengthAt(firstBlock, item.sizeBytes, this.#blockSizeBytes)
        : this.#blockSizeBytes;
    return { vectorRoot, blockSizeBytes, blockCount: count };
  }

  async #patches(item: IncrementItem): Promise<[number, number]> {
    const { patches } = item;
    let patchedBytes = 0;
    const root = await this.#metadata.vector(PATCH_BLOCK_BYTES, patches.count, (k, out) => {
      const reference = this.#reference(item, patches.indexOf(k), patches.blockIdOf(k));
      patchedBytes += reference.lengthBytes;
      encodePatchBlock(reference, out);
    });
    return [root, patchedBytes];
  }

  #reference(item: { readonly sizeBytes: number }, index: number, blockId: number): BlockReference {
    const lengthBytes = blockLengthAt(index, item.sizeBytes, this.#blockSizeBytes);
    const digest =
      blockId === ZERO_BLOCK_ID ? this.#zeroDigest(lengthBytes) : this.#store.digestOf(blockId);
    return { index, lengthBytes, blockId, digest };
  }

  /**
   * MD5 of that many zero bytes. Only the block size and the lengths of short last blocks occur.
   */
  #zeroDigest(lengthBytes: number): Uint8Array {
    let digest = this.#zeroDigests.get(lengthBytes);
    if (!digest) {
      digest = createHash('md5').update(Buffer.alloc(lengthBytes)).digest();
      this.#zeroDigests.set(lengthBytes, digest);
    }
    return digest;
  }
}

/** Writes the directory, the block store and both indexes; returns their roots. */
export async function writeSnapshot(
  metadata: MetadataWriter,
  items: readonly WriterItem[],
  store: BlockStore,
  blockSizeBytes: number,
): Promise<SnapshotRoots> {
  const writer = new SnapshotWriter(metadata, store, blockSizeBytes);
  const directoryRoot = await writer.directory(items, DIRECTORY_PAGE);
  const storeRoot = await metadata.vector(
    STORE_BLOCK_BYTES,
    store.count,
    (blockId, out) => encodeStoreBlock(store.record(blockId), out),
    STORE_PAGE,
  );
  const free = store.freeIds();
  const encodeFree = (k: number, out: Buffer): void => {
    const blockId = free[k] ?? 0;
    out.writeUInt32LE(store.allocatedBytesOf(blockId), 0);
    writeSize(viewOf(out), 4, blockId);
  };
  const freeRoot = await writeIndex(
    metadata,
    FREE_RECORD_BYTES,
    free.length,
    encodeFree,
    FREE_PAGE,
  );
  const byDigest = store.idsByDigest();
  const encodeDedup = (k: number, out: Buffer): void => {
    const blockId = byDigest[k] ?? 0;
    out.set(store.digestOf(blockId), 0);
    writeSize(viewOf(out), 16, blockId);
  };
  const dedupRoot = await writeIndex(metadata, DEDUP_RECORD_BYTES, byDigest.length, encodeDedup);
  return {
    directoryRoot,
    directoryCount: items.length,
    storeRoot,
    storeCount: store.count,
    freeRoot,
    dedupRoot,
  };
}
