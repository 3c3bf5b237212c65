/**
 * Encodes and decodes the storage header and the snapshot slots. Layout: docs/format-vbk.md,
 * "Header and snapshot slots".
 */
import { crc32, crc32c } from '../../core/crc32.ts';
import { FormatError } from '../../core/errors.ts';
import {
  BANK_DESCRIPTOR_BYTES,
  CLUSTER_ALIGN,
  FORMAT_VERSION,
  MAX_BLOCK_BYTES,
  maxBanksOf,
  NO_PAGE,
  PAGE_BYTES,
  readPageId,
  readSize,
  SLOT_FIXED_BYTES,
  SLOT_FORMATS,
  slotBytesOf,
  viewOf,
  writePageId,
  writeSize,
} from './layout.ts';
import { isReadableVersion, UNSUPPORTED_HINT } from './versions.ts';

/** Header of a file to read. */
export interface ReadHeader extends StorageHeader {
  readonly formatVersion: number;
}

export interface StorageHeader {
  readonly slotFormat: number;
  readonly blockSizeBytes: number;
  readonly clusterAlign: number;
}

export interface BankDescriptor {
  readonly crc: number;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}

/** Root pages of a snapshot, and the number of records under them. */
export interface SnapshotRoots {
  readonly directoryRoot: number;
  readonly directoryCount: number;
  readonly storeRoot: number;
  readonly storeCount: number;
  readonly freeRoot: number;
  readonly dedupRoot: number;
}

export interface SnapshotSlot {
  /** Number of the commit. The snapshot with the higher number counts. */
  readonly version: number;
  readonly endOfFileBytes: number;
  readonly roots: SnapshotRoots;
  readonly banks: readonly BankDescriptor[];
}

const AT_DIGEST_TYPE = 0x0c;
const AT_SLOT_FORMAT = 0x107;
const AT_BLOCK_SIZE = 0x10b;
const AT_CLUSTER_ALIGN = 0x10f;
const DIGEST_TYPE = 'md5';

export function encodeHeader(header: StorageHeader): Buffer {
  const page = Buffer.alloc(PAGE_BYTES);
  page.writeUInt32LE(FORMAT_VERSION, 0);
  page.writeUInt32LE(1, 4);
  page.writeUInt32LE(DIGEST_TYPE.length, 8);
  page.write(DIGEST_TYPE, AT_DIGEST_TYPE, 'latin1');
  page.writeUInt32LE(header.slotFormat, AT_SLOT_FORMAT);
  page.writeUInt32LE(header.blockSizeBytes, AT_BLOCK_SIZE);
  page.writeUInt8(header.clusterAlign, AT_CLUSTER_ALIGN);
  return page;
}

/** @throws {@link FormatError} `FORMAT_TRUNCATED` for a file without a whole first page */
export function checkLength(file: string, sizeBytes: number): void {
  if (sizeBytes >= PAGE_BYTES) return;
  throw new FormatError(
    'FORMAT_TRUNCATED',
    `${file}: is not a VBK or VIB container, it has only ${sizeBytes} B`,
    { hint: 'name a .vbk or .vib file; if this file was one, it is lost: use a copy' },
  );
}

/** @throws {@link FormatError} `FORMAT_BAD_MAGIC`, `FORMAT_UNSUPPORTED`, `FORMAT_BOUNDS` */
export function decodeHeader(page: Buffer, name: string): ReadHeader {
  const formatVersion = page.readUInt32LE(0);
  const digestType = page.toString('latin1', AT_DIGEST_TYPE, AT_DIGEST_TYPE + DIGEST_TYPE.length);
  const isContainer =
    page.readUInt32LE(4) === 1 &&
    page.readUInt32LE(8) === DIGEST_TYPE.length &&
    digestType === DIGEST_TYPE;
  if (!isContainer) {
    throw new FormatError('FORMAT_BAD_MAGIC', `${name}: is not a VBK or VIB container`, {
      hint: 'name a .vbk or .vib file; one of a sealed repository is read by its repository only (--repo, --key-file); of any other the first page is damaged',
    });
  }
  const slotFormat = page.readUInt32LE(AT_SLOT_FORMAT);
  if (!isReadableVersion(formatVersion) || !SLOT_FORMATS.includes(slotFormat)) {
    throw new FormatError(
      'FORMAT_UNSUPPORTED',
      `${name}: format version ${formatVersion} with slot format ${slotFormat}; this tool reads versions 9 to 13 with slot formats 0, 5 and 9`,
      { hint: UNSUPPORTED_HINT },
    );
  }
  const blockSizeBytes = page.readUInt32LE(AT_BLOCK_SIZE);
  const clusterAlign = page.readUInt8(AT_CLUSTER_ALIGN);
  const blockSizeFits =
    blockSizeBytes >= 512 && blockSizeBytes % 512 === 0 && blockSizeBytes <= MAX_BLOCK_BYTES;
  if (!blockSizeFits || clusterAlign > 12) {
    throw new FormatError(
      'FORMAT_BOUNDS',
      `${name}: block size ${blockSizeBytes} B, cluster align ${clusterAlign}`,
    );
  }
  return { formatVersion, slotFormat, blockSizeBytes, clusterAlign };
}

/** Snapshot slot formats above 5 use CRC-32C. The others use the CRC-32 of zlib. */
function slotCrc(slotFormat: number, body: Buffer): number {
  return slotFormat > 5 ? crc32c(body) : crc32(body);
}

/** Bytes of a snapshot slot with all descriptors, without the padding up to the page end. */
export function encodedSlotBytes(slotFormat: number): number {
  return SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * maxBanksOf(slotFormat);
}

/**
 * Encodes the whole snapshot slot with all descriptors, without the padding up to the page end.
 *
 * @param bytes - filled and returned: zeros, or a slot with the same number of banks.
 */
export function encodeSlot(
  slot: SnapshotSlot,
  slotFormat: number,
  bytes: Buffer = Buffer.alloc(encodedSlotBytes(slotFormat)),
): Buffer {
  const maxBanks = maxBanksOf(slotFormat);
  const view = viewOf(bytes);
  const { roots, banks } = slot;
  view.setUint32(0x04, 1, true);
  writeSize(view, 0x08, slot.version);
  writeSize(view, 0x10, slot.endOfFileBytes);
  view.setUint32(0x18, banks.length, true);
  writePageId(view, 0x1c, roots.directoryRoot);
  writeSize(view, 0x24, roots.directoryCount);
  writePageId(view, 0x2c, roots.storeRoot);
  writeSize(view, 0x34, roots.storeCount);
  writePageId(view, 0x3c, roots.freeRoot);
  writePageId(view, 0x44, roots.dedupRoot);
  for (const offset of [0x4c, 0x54, 0x5c, 0x64]) writePageId(view, offset, NO_PAGE);
  view.setUint32(0x74, maxBanks, true);
  view.setUint32(0x78, banks.length, true);
  for (const [index, bank] of banks.entries()) {
    const at = SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * index;
    view.setUint32(at, bank.crc, true);
    writeSize(view, at + 4, bank.offsetBytes);
    view.setUint32(at + 12, bank.sizeBytes, true);
  }
  view.setUint32(0, slotCrc(slotFormat, bytes.subarray(4)), true);
  return bytes;
}

/**
 * A decoded snapshot slot, or why it is not usable. `empty` is normal; the other reasons are
 * damage.
 */
export type SlotState = SnapshotSlot | 'empty' | 'bad limits' | 'bad checksum' | 'unreadable';

/**
 * Decodes one snapshot slot. Its content is used only after its checksum was found right.
 *
 * @param maxBanks - room for banks that the slot must tell.
 * @param isOld - a format version that may use either checksum.
 */
export function decodeSlot(
  bytes: Buffer,
  slotFormat: number,
  maxBanks: number = maxBanksOf(slotFormat),
  isOld = false,
): SlotState {
  const view = viewOf(bytes);
  const storedBanks = view.getUint32(0x78, true);
  if (view.getUint32(0x04, true) === 0) return 'empty';
  if (view.getUint32(0x74, true) !== maxBanks || storedBanks > maxBanks) return 'bad limits';
  const body = bytes.subarray(4, SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * maxBanks);
  const stored = view.getUint32(0, true);
  const isSound = slotCrc(slotFormat, body) === stored || (isOld && crc32(body) === stored);
  if (!isSound) return 'bad checksum';
  const banks: BankDescriptor[] = [];
  for (let index = 0; index < storedBanks; index++) {
    const at = SLOT_FIXED_BYTES + BANK_DESCRIPTOR_BYTES * index;
    banks.push({
      crc: view.getUint32(at, true),
      offsetBytes: readSize(view, at + 4),
      sizeBytes: view.getUint32(at + 12, true),
    });
  }
  return {
    version: readSize(view, 0x08),
    endOfFileBytes: readSize(view, 0x10),
    roots: {
      directoryRoot: readPageId(view, 0x1c),
      directoryCount: readSize(view, 0x24),
      storeRoot: readPageId(view, 0x2c),
      storeCount: readSize(view, 0x34),
      freeRoot: readPageId(view, 0x3c),
      dedupRoot: readPageId(view, 0x44),
    },
    banks,
  };
}

/** Room for banks that a snapshot slot tells. Checked by {@link decodeSlot} only. */
export function toldMaxBanks(bytes: Buffer): number {
  return viewOf(bytes).getUint32(0x74, true);
}

/** Bytes to read for one snapshot slot. */
export function slotReadBytes(slotFormat: number): number {
  return slotBytesOf(slotFormat);
}

/** Header of a container that the product writes. */
export function productionHeader(blockSizeBytes: number, slotFormat: number): StorageHeader {
  return { slotFormat, blockSizeBytes, clusterAlign: CLUSTER_ALIGN };
}
