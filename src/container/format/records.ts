/**
 * Encodes and decodes the fixed-size records of the metadata vectors. No I/O. Layout:
 * docs/format-vbk.md.
 */
import type { ReadCodec } from '../../compute/storedForm.ts';
import {
  BLOCK_NORMAL,
  BLOCK_SPARSE,
  COMPRESSION_LZ4,
  COMPRESSION_PLAIN,
  COMPRESSION_RLE,
  FIB_BLOCK_BYTES,
  ITEM_FILE,
  ITEM_FOLDER,
  ITEM_INCREMENT,
  NO_PAGE,
  readPageId,
  readSize,
  viewOf,
  writePageId,
  writeSize,
} from './layout.ts';

/**
 * A record of the block store: the place and form of one stored block. `usageCount` 0 marks a free
 * extent.
 */
export interface BlockStoreRow {
  readonly usageCount: number;
  readonly offsetBytes: number;
  readonly allocatedBytes: number;
  readonly isDeduplicated: boolean;
  readonly digest: Uint8Array;
  /** Number of {@link compressionName}; 0 in a free extent. */
  readonly compression: number;
  readonly storedBytes: number;
  readonly sourceBytes: number;
  /** True for a block with a key set; otherwise absent. */
  readonly isEncrypted?: true | undefined;
}

/**
 * An entry of a file map or an increment for one block. `blockId` names the stored block; -1 means
 * zeros.
 */
export interface BlockReference {
  readonly index: number;
  readonly lengthBytes: number;
  readonly blockId: number;
  readonly digest: Uint8Array;
}

/** Block id of a block of zeros. It exists in memory only, never in a file. */
export const ZERO_BLOCK_ID = -1;

export interface TableDescriptor {
  readonly vectorRoot: number;
  readonly blockSizeBytes: number;
  readonly blockCount: number;
}

export interface DirectoryItem {
  readonly type: number;
  readonly name: string;
  readonly propertiesRoot: number;
  /**
   * Vector of the children of a folder, the tables of a file, or the patch records of an increment.
   */
  readonly vectorRoot: number;
  /** Number of children, blocks or patch records. */
  readonly count: number;
  /** Bytes of a file, or of the whole disk of an increment; 0 for folders. */
  readonly sizeBytes: number;
  /** Bytes covered by the patch records of an increment; 0 otherwise. */
  readonly patchedBytes: number;
}

const STORE_FORMAT = 4;
const KEY_SET_BYTES = 16;
/** Offsets of the key set in a map entry and in a patch record. */
export const FIB_KEY_SET_AT = 0x1e;
export const PATCH_KEY_SET_AT = 0x25;

export function encodeStoreBlock(block: BlockStoreRow, out: Buffer): void {
  const view = viewOf(out);
  view.setUint8(0x00, STORE_FORMAT);
  view.setUint32(0x01, block.usageCount, true);
  writeSize(view, 0x05, block.offsetBytes);
  view.setUint32(0x0d, block.allocatedBytes, true);
  view.setUint8(0x11, block.isDeduplicated ? 1 : 0);
  out.set(block.digest, 0x12);
  view.setInt8(0x22, block.compression);
  view.setUint32(0x24, block.storedBytes, true);
  view.setUint32(0x28, block.sourceBytes, true);
}

/** Returns undefined for a record whose format is unknown. */
export function decodeStoreBlock(record: Buffer): BlockStoreRow | undefined {
  const view = viewOf(record);
  if (view.getUint8(0x00) !== STORE_FORMAT) return undefined;
  return {
    usageCount: view.getUint32(0x01, true),
    offsetBytes: readSize(view, 0x05),
    allocatedBytes: view.getUint32(0x0d, true),
    isDeduplicated: view.getUint8(0x11) === 1,
    digest: Uint8Array.from(record.subarray(0x12, 0x22)),
    compression: view.getInt8(0x22),
    storedBytes: view.getUint32(0x24, true),
    sourceBytes: view.getUint32(0x28, true),
    isEncrypted: hasKeySet(record, 0x2c) || undefined,
  };
}

const CODECS: ReadonlyMap<number, ReadCodec> = new Map([
  [COMPRESSION_PLAIN, 'plain'],
  [COMPRESSION_LZ4, 'lz4'],
  [3, 'zlib'],
  [4, 'zlib'],
  [8, 'zstd'],
  [9, 'zstd'],
]);

/** How a stored block is expanded; undefined for a compression that nobody here can expand. */
export function codecOf(compression: number): ReadCodec | undefined {
  return CODECS.get(compression);
}

/** Name of a compression for people: `zlib`, `RLE`, or `method 5`. */
export function compressionName(compression: number): string {
  if (compression === COMPRESSION_RLE) return 'RLE';
  return codecOf(compression) ?? `method ${compression}`;
}

/**
 * True when the 16 bytes at `offset` name a key: the bytes that the record is about are encrypted.
 */
export function hasKeySet(record: Buffer, offset: number): boolean {
  // Called for every record of a map, so no view is made.
  for (let at = offset; at < offset + KEY_SET_BYTES; at++) if (record[at] !== 0) return true;
  return false;
}

const BLOCK_KINDS: Readonly<Record<number, string>> = {
  2: 'of the reserved type 2',
  3: 'archived outside of the file (type 3)',
  4: 'in a blob outside of the file (type 4)',
  5: 'in a blob outside of the file (type 5)',
};

/**
 * Why the block of a map entry or patch record is not in the file in a form that can be read.
 * Undefined for a normal or sparse block, and for a type that does not exist.
 */
export function unreadableBlock(record: Buffer, keySetOffset: number): string | undefined {
  return hasKeySet(record, keySetOffset) ? 'encrypted' : BLOCK_KINDS[record.readUInt8(0x04)];
}

export function encodeFibBlock(reference: BlockReference, out: Buffer): void {
  const view = viewOf(out);
  const isZero = reference.blockId === ZERO_BLOCK_ID;
  view.setUint32(0x00, reference.lengthBytes, true);
  view.setUint8(0x04, isZero ? BLOCK_SPARSE : BLOCK_NORMAL);
  out.set(reference.digest, 0x05);
  writeSize(view, 0x15, isZero ? 0 : reference.blockId);
}

/** Returns undefined for a block type other than normal and sparse. */
export function decodeFibBlock(record: Buffer, index: number): BlockReference | undefined {
  const view = viewOf(record);
  const type = view.getUint8(0x04);
  if (type !== BLOCK_NORMAL && type !== BLOCK_SPARSE) return undefined;
  return {
    index,
    lengthBytes: view.getUint32(0x00, true),
    digest: Uint8Array.from(record.subarray(0x05, 0x15)),
    blockId: type === BLOCK_SPARSE ? ZERO_BLOCK_ID : readSize(view, 0x15),
  };
}

export function encodePatchBlock(reference: BlockReference, out: Buffer): void {
  encodeFibBlock(reference, out.subarray(0, FIB_BLOCK_BYTES));
  writeSize(viewOf(out), 0x1d, reference.index);
}

/** Returns undefined for a block type other than normal and sparse. */
export function decodePatchBlock(record: Buffer): BlockReference | undefined {
  return decodeFibBlock(record, readSize(viewOf(record), 0x1d));
}

export function encodeTableDescriptor(table: TableDescriptor, out: Buffer): void {
  const view = viewOf(out);
  writePageId(view, 0, table.vectorRoot);
  writeSize(view, 8, table.blockSizeBytes);
  writeSize(view, 16, table.blockCount);
}

export function decodeTableDescriptor(record: Buffer): TableDescriptor {
  const view = viewOf(record);
  return {
    vectorRoot: readPageId(view, 0),
    blockSizeBytes: readSize(view, 8),
    blockCount: readSize(view, 16),
  };
}

export function encodeDirectoryItem(item: DirectoryItem, out: Buffer): void {
  const view = viewOf(out);
  const name = Buffer.from(item.name, 'utf8');
  view.setUint32(0x00, item.type, true);
  view.setUint32(0x04, name.length, true);
  out.set(name, 0x08);
  writePageId(view, 0x88, item.propertiesRoot);
  if (item.type === ITEM_FOLDER) {
    writePageId(view, 0x94, item.vectorRoot);
    writeSize(view, 0x9c, item.count);
    return;
  }
  const isFile = item.type === ITEM_FILE;
  view.setUint8(0x97, isFile ? 1 : 0);
  writePageId(view, 0x98, item.vectorRoot);
  writeSize(view, 0xa0, item.count);
  writeSize(view, 0xa8, item.sizeBytes);
  if (isFile) writePageId(view, 0xb0, NO_PAGE);
  else {
    writeSize(view, 0xb0, item.patchedBytes);
    writePageId(view, 0xb8, NO_PAGE);
  }
}

/**
 * Returns undefined when the length of the name is not valid. Items of unknown type are returned
 * too, so that they can be listed.
 */
export function decodeDirectoryItem(record: Buffer): DirectoryItem | undefined {
  const view = viewOf(record);
  const nameBytes = view.getUint32(0x04, true);
  if (nameBytes < 1 || nameBytes > 128) return undefined;
  const type = view.getUint32(0x00, true);
  const common = {
    type,
    name: record.toString('utf8', 0x08, 0x08 + nameBytes),
    propertiesRoot: readPageId(view, 0x88),
  };
  if (type === ITEM_FOLDER) {
    const [vectorRoot, count] = [readPageId(view, 0x94), readSize(view, 0x9c)];
    return { ...common, vectorRoot, count, sizeBytes: 0, patchedBytes: 0 };
  }
  const isIncrement = type === ITEM_INCREMENT;
  return {
    ...common,
    vectorRoot: readPageId(view, 0x98),
    count: readSize(view, 0xa0),
    sizeBytes: readSize(view, 0xa8),
    patchedBytes: isIncrement ? readSize(view, 0xb0) : 0,
  };
}
