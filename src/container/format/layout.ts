/**
 * Numbers of the VBK/VIB container. We write format version 13; versions.ts has what others read
 * differently. No I/O, no policy.
 *
 * docs/format-vbk.md gives the source of each fact: seen in a genuine file, confirmed by an
 * independent reader, reported by others, or our own choice. Not verified against Veeam's own
 * software.
 */
import { roundUp } from '../../core/units.ts';

/** Bytes of a metadata page. Snapshot slots and banks are placed at multiples of it. */
export const PAGE_BYTES = 4096;
export const FORMAT_VERSION = 13;
export const CLUSTER_ALIGN = 3;

/** Format of the snapshot slots in Veeam's own files. Formats 0 and 5 occur in small test files. */
export const PRODUCTION_SLOT_FORMAT = 9;
export const SLOT_FORMATS: readonly number[] = [0, 5, 9];

/** Bytes of a snapshot slot before its bank descriptors. */
export const SLOT_FIXED_BYTES = 0x7c;
export const BANK_DESCRIPTOR_BYTES = 16;

/** Pages of a bank: at least this many, and at most as many as its page map has entries. */
export const BANK_MIN_PAGES = 32;
export const BANK_MAX_PAGES = 1024;
/** A bank has one header page before its pages and one zero page after them. */
export const BANK_EXTRA_PAGES = 2;

/** Page id that means "no page". */
export const NO_PAGE = -1;
const BANK_FACTOR = 2 ** 32;

/** Blocks of one table of a file map, for every block size. */
export const TABLE_BLOCKS = 1088;

export const DIRECTORY_ITEM_BYTES = 192;
export const TABLE_DESCRIPTOR_BYTES = 24;
export const FIB_BLOCK_BYTES = 46;
export const PATCH_BLOCK_BYTES = 53;
export const STORE_BLOCK_BYTES = 60;
export const FREE_RECORD_BYTES = 12;
export const DEDUP_RECORD_BYTES = 24;

export const MAX_NAME_BYTES = 128;
/** Bytes of a blob in one page, after its 12-byte header; dissect reads no more. */
export const BLOB_PAGE_BYTES: number = PAGE_BYTES - 12;

export const ITEM_FOLDER = 1;
export const ITEM_EXTERNAL = 2;
export const ITEM_FILE = 3;
export const ITEM_PATCH = 4;
export const ITEM_INCREMENT = 5;

export const BLOCK_NORMAL = 0;
export const BLOCK_SPARSE = 1;

export const COMPRESSION_PLAIN = -1;
export const COMPRESSION_LZ4 = 7;
export const COMPRESSION_RLE = 2;

/** Largest block that the product reads or writes. */
export const MAX_BLOCK_BYTES: number = 8 * 1024 * 1024;

/**
 * Number of bank descriptors in a snapshot slot from format version 12 on. It follows from the slot
 * format, never from the content of the slot.
 */
export function maxBanksOf(slotFormat: number): number {
  return slotFormat === 0 ? 0xf8 : 0x7f00;
}

/** Bytes that a snapshot slot with room for `maxBanks` banks takes in the file. */
export function slotBytesFor(maxBanks: number): number {
  return roundUp(SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * maxBanks, PAGE_BYTES);
}

/** Bytes that one snapshot slot takes in a file that we write. */
export function slotBytesOf(slotFormat: number): number {
  return slotBytesFor(maxBanksOf(slotFormat));
}

/** Byte offset of snapshot slot 0 or 1 in the file. */
export function slotOffsetOf(slotFormat: number, slotIndex: number): number {
  return PAGE_BYTES + slotIndex * slotBytesOf(slotFormat);
}

/** Offset of the first byte after the header and both snapshot slots. */
export function dataStartOf(slotFormat: number): number {
  return slotOffsetOf(slotFormat, 2);
}

export function makePageId(bank: number, page: number): number {
  return bank * BANK_FACTOR + page;
}

export function bankOf(pageId: number): number {
  return Math.floor(pageId / BANK_FACTOR);
}

export function pageOf(pageId: number): number {
  return pageId % BANK_FACTOR;
}

/** Reads a page id. A negative id other than "no page" becomes NaN, which fails every check. */
export function readPageId(view: DataView, offset: number): number {
  const page = view.getUint32(offset, true);
  const bank = view.getInt32(offset + 4, true);
  if (bank >= 0) return makePageId(bank, page);
  return bank === -1 && page === 0xffffffff ? NO_PAGE : Number.NaN;
}

export function writePageId(view: DataView, offset: number, pageId: number): void {
  view.setUint32(offset, pageId === NO_PAGE ? 0xffffffff : pageOf(pageId), true);
  view.setInt32(offset + 4, pageId === NO_PAGE ? -1 : bankOf(pageId), true);
}

/**
 * Reads a 64-bit number that must be a safe integer. Any other value becomes NaN, which fails every
 * check.
 */
export function readSize(view: DataView, offset: number): number {
  const value = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * BANK_FACTOR;
  return Number.isSafeInteger(value) ? value : Number.NaN;
}

export function writeSize(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value % BANK_FACTOR, true);
  view.setUint32(offset + 4, Math.floor(value / BANK_FACTOR), true);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
