/** Opens the banks of a snapshot: their places, checksums and page maps. */
import { crc32, crc32c } from '../../core/crc32.ts';
import { BackupError, FormatError, type RepositoryError } from '../../core/errors.ts';
import { isAccessFailure, isSystemFailure } from '../../core/systemErrors.ts';
import { BANK_EXTRA_PAGES, BANK_MAX_PAGES, PAGE_BYTES } from '../format/layout.ts';
import { hasKeySet } from '../format/records.ts';
import type { BankDescriptor } from '../format/snapshotSlots.ts';
import { OLD_BANK_MAX_PAGES, UNSUPPORTED_HINT } from '../format/versions.ts';
import type { Storage } from '../../store/storage.ts';
import type { OpenBank } from './pageReader.ts';

const CRC_CHUNK_BYTES = 1024 * 1024;
const MAP_OFFSET = 4;
const AT_BANK_KEY_SET = 0xc04;
const AT_BANK_ENCRYPTED_BYTES = 0xc14;

/** Reads of a container in which some places may be lost. */
export class PlaceReader {
  /** The first bad sector. */
  failure: RepositoryError | undefined;
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  get name(): string {
    return this.#storage.name;
  }

  /**
   * Reads into `target`; false when the place cannot be read. A bad sector must not end the search:
   * a copy lies elsewhere.
   */
  async isReadable(target: Uint8Array, offsetBytes: number): Promise<boolean> {
    try {
      await this.#storage.read(target, offsetBytes);
      return true;
    } catch (error) {
      if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
      if (isSystemFailure(error)) this.failure ??= error;
      return false;
    }
  }
}

/**
 * True when no two banks of a snapshot slot share bytes. Without this check a small file could
 * claim endless metadata.
 */
export function areDisjoint(banks: readonly BankDescriptor[]): boolean {
  const sorted = banks.toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  return sorted.every((bank, k) => {
    const next = sorted[k + 1];
    return !next || bank.offsetBytes + bank.sizeBytes <= next.offsetBytes;
  });
}

/** Where a bank may lie, and which rules hold for it. */
export interface BankLimits {
  readonly startBytes: number;
  readonly endBytes: number;
  /** True for a format version before 12. */
  readonly isOld: boolean;
}

/** Checks one bank. Returns the open bank, or a text that says what is wrong. */
export async function openBank(
  places: PlaceReader,
  bank: BankDescriptor,
  limits: BankLimits,
): Promise<OpenBank | string> {
  const { offsetBytes, sizeBytes } = bank;
  const { startBytes, endBytes, isOld } = limits;
  const aligned = offsetBytes % PAGE_BYTES === 0 && sizeBytes % PAGE_BYTES === 0;
  const maxPages = isOld ? OLD_BANK_MAX_PAGES : BANK_MAX_PAGES;
  const maxBytes = (maxPages + BANK_EXTRA_PAGES) * PAGE_BYTES;
  const fits = offsetBytes >= startBytes && offsetBytes + sizeBytes <= endBytes;
  if (!aligned || !fits || sizeBytes > maxBytes || sizeBytes <= BANK_EXTRA_PAGES * PAGE_BYTES) {
    return `place ${offsetBytes}+${sizeBytes} B is outside the file or not aligned`;
  }
  let [crc, oldCrc] = [0, 0];
  let head = Buffer.alloc(0);
  const chunk = Buffer.allocUnsafeSlow(Math.min(CRC_CHUNK_BYTES, sizeBytes));
  for (let at = 0; at < sizeBytes; at += chunk.length) {
    const piece = chunk.subarray(0, Math.min(chunk.length, sizeBytes - at));
    if (!(await places.isReadable(piece, offsetBytes + at))) return 'cannot be read';
    crc = crc32c(piece, crc);
    if (isOld) oldCrc = crc32(piece, oldCrc);
    if (at === 0) head = Buffer.from(piece.subarray(0, PAGE_BYTES));
  }
  if (crc !== bank.crc && !(isOld && oldCrc === bank.crc)) return 'checksum differs';
  if (hasKeySet(head, AT_BANK_KEY_SET) || head.readUInt32LE(AT_BANK_ENCRYPTED_BYTES) !== 0) {
    throw new FormatError('FORMAT_UNSUPPORTED', `${places.name}: its metadata are encrypted`, {
      hint: UNSUPPORTED_HINT,
    });
  }
  const pageCount = head.readUInt16LE(0);
  const sparePages = sizeBytes / PAGE_BYTES - pageCount;
  const isRoomy = isOld ? sparePages > 0 : sparePages === BANK_EXTRA_PAGES;
  if (pageCount > BANK_MAX_PAGES || !isRoomy) return `${pageCount} pages in ${sizeBytes} B`;
  return { offsetBytes, pageCount, pageMap: head.subarray(MAP_OFFSET, MAP_OFFSET + pageCount) };
}
