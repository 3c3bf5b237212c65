/**
 * Numbers of the VBK/VIB container, format version 13. No I/O, no policy.
 *
 * Where each fact comes from is in docs/format-vbk.md: seen in a genuine file, confirmed by an independent
 * reader, reported by others, or our own choice. Not verified against Veeam's own software.
 */
import { roundUp } from '../../core/units.ts';

/** A page of metadata, and the unit of slot and bank placement. */
export const PAGE_BYTES = 4096;
export const FORMAT_VERSION = 13;
export const CLUSTER_ALIGN = 3;

/** Slot format of Veeam's own files; 0 and 5 occur in small test files. */
export const PRODUCTION_SLOT_FORMAT = 9;
export const SLOT_FORMATS: readonly number[] = [0, 5, 9];

/** Bytes of a slot in front of its bank descriptors. */
export const SLOT_FIXED_BYTES = 0x7c;
export const BANK_DESCRIPTOR_BYTES = 16;

/** Pages of a bank: at least this many, and no more than its page map has entries. */
export const BANK_MIN_PAGES = 32;
export const BANK_MAX_PAGES = 1024;
/** Header page in front and one zero page behind the pages of a bank. */
export const BANK_EXTRA_PAGES = 2;

/** Page id "none". */
export const NO_PAGE = -1;
const BANK_FACTOR = 2 ** 32;

/** Blocks under one table descriptor of a file map; a constant for all block sizes. */
export const TABLE_BLOCKS = 1088;

export const DIRECTORY_ITEM_BYTES = 192;
export const TABLE_DESCRIPTOR_BYTES = 24;
export const FIB_BLOCK_BYTES = 46;
export const PATCH_BLOCK_BYTES = 53;
export const STORE_BLOCK_BYTES = 60;
export const FREE_RECORD_BYTES = 12;
export const DEDUP_RECORD_BYTES = 24;

export const MAX_NAME_BYTES = 128;
/** Property bytes that fit one blob page behind its 12-byte header; dissect reads no more. */
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

/** Largest block the product reads or writes. */
export const MAX_BLOCK_BYTES: number = 8 * 1024 * 1024;

/** Bank descriptors of a slot; follows from the slot format alone, never from the slot. */
export function maxBanksOf(slotFormat: number): number {
  return slotFormat === 0 ? 0xf8 : 0x7f00;
}

/** Bytes that one slot takes in the file. */
export function slotBytesOf(slotFormat: number): number {
  return roundUp(SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * maxBanksOf(slotFormat), PAGE_BYTES);
}

/** Offset of slot 0 or 1. */
export function slotOffsetOf(slotFormat: number, slotIndex: number): number {
  return PAGE_BYTES + slotIndex * slotBytesOf(slotFormat);
}

/** First byte behind header and slots. */
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

/** Reads a page id; everything negative but "none" is returned as NaN, which no check accepts. */
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

/** Reads a u64 that has to be a safe integer; NaN when it is not, which no check accepts. */
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
