/**
 * Opens the newest readable snapshot of a container: header, snapshot slots, banks with their
 * checksums. A damaged snapshot slot or bank is replaced by the other snapshot slot's copy, if that
 * holds the same snapshot. Otherwise the older snapshot is used. Damage is reported, not hidden.
 */
import { crc32, crc32c } from '../../core/crc32.ts';
import {
  BackupError,
  FormatError,
  IntegrityError,
  type RepositoryError,
} from '../../core/errors.ts';
import { isAccessFailure, isSystemFailure } from '../../core/systemErrors.ts';
import {
  BANK_EXTRA_PAGES,
  BANK_MAX_PAGES,
  maxBanksOf,
  PAGE_BYTES,
  slotBytesFor,
} from '../format/layout.ts';
import { hasKeySet } from '../format/records.ts';
import {
  isOldVersion,
  OLD_BANK_GUESSES,
  OLD_BANK_MAX_PAGES,
  OLD_MAX_BANKS,
  UNSUPPORTED_HINT,
  vectorFormOf,
} from '../format/versions.ts';
import { type OpenBank, PageReader } from './pageReader.ts';
import {
  type BankDescriptor,
  decodeHeader,
  decodeSlot,
  type ReadHeader,
  type SlotState,
  type SnapshotSlot,
  toldMaxBanks,
} from '../format/snapshotSlots.ts';
import type { Storage } from '../storage.ts';

const CRC_CHUNK_BYTES = 1024 * 1024;
const MAP_OFFSET = 4;
const AT_BANK_KEY_SET = 0xc04;
const AT_BANK_ENCRYPTED_BYTES = 0xc14;

export interface SlotReport {
  /** 1 or 2. */
  readonly slotNumber: number;
  readonly state: 'valid' | 'empty' | 'bad limits' | 'bad checksum' | 'unreadable';
  readonly version: number | undefined;
  readonly bankCount: number;
}

export interface OpenOptions {
  /**
   * Opens a file that is cut off, when its metadata lies before the cut. Reads of stored blocks
   * after the cut fail with `FORMAT_TRUNCATED`. @defaultValue false
   */
  readonly allowCut?: boolean | undefined;
}

export interface OpenSnapshot {
  readonly header: ReadHeader;
  /** Offset of the first byte after header and snapshot slots. */
  readonly dataStartBytes: number;
  readonly slot: SnapshotSlot;
  /** 1 or 2: the snapshot slot that is read. */
  readonly slotNumber: number;
  readonly pages: PageReader;
  readonly fileBytes: number;
  readonly slots: readonly SlotReport[];
  /** Damage that was found, one line each; empty for an undamaged container. */
  readonly damage: readonly string[];
  /** The first place that the device could not read (EIO), although a copy of it was good. */
  readonly readFailure: RepositoryError | undefined;
}

interface Candidate {
  readonly slotNumber: number;
  readonly slot: SnapshotSlot;
}

function report(state: SlotState, slotNumber: number): SlotReport {
  if (typeof state === 'string') return { slotNumber, state, version: undefined, bankCount: 0 };
  const { version, banks } = state;
  return { slotNumber, state: 'valid', version, bankCount: banks.length };
}

/** Reads of a container in which some places may be lost. */
class PlaceReader {
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
function areDisjoint(banks: readonly BankDescriptor[]): boolean {
  const sorted = banks.toSorted((a, b) => a.offsetBytes - b.offsetBytes);
  return sorted.every((bank, k) => {
    const next = sorted[k + 1];
    return !next || bank.offsetBytes + bank.sizeBytes <= next.offsetBytes;
  });
}

/** Checks one bank. Returns the open bank, or a text that says what is wrong. */
async function openBank(
  places: PlaceReader,
  bank: BankDescriptor,
  limits: { readonly startBytes: number; readonly endBytes: number; readonly isOld: boolean },
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

/**
 * True when both snapshot slots describe the same snapshot. Then the banks of one can replace those
 * of the other.
 */
function isTwin(a: SnapshotSlot, b: SnapshotSlot): boolean {
  return (
    a.version === b.version &&
    a.banks.length === b.banks.length &&
    JSON.stringify(a.roots) === JSON.stringify(b.roots)
  );
}

class SnapshotOpener {
  readonly damage: string[] = [];
  readonly places: PlaceReader;
  readonly #header: ReadHeader;
  readonly #isOld: boolean;
  #maxBanks: number;
  readonly #fileBytes: number;
  readonly #allowCut: boolean;

  constructor(
    storage: Storage,
    header: ReadHeader,
    fileBytes: number,
    { allowCut = false }: OpenOptions,
  ) {
    this.places = new PlaceReader(storage);
    this.#header = header;
    this.#isOld = isOldVersion(header.formatVersion);
    this.#maxBanks = maxBanksOf(header.slotFormat);
    this.#fileBytes = fileBytes;
    this.#allowCut = allowCut;
  }

  get dataStartBytes(): number {
    return PAGE_BYTES + 2 * slotBytesFor(this.#maxBanks);
  }

  /**
   * Both snapshot slots. Slots of old versions have as many bank descriptors as the first tells.
   */
  async readSnapshotSlots(): Promise<SlotState[]> {
    if (this.#isOld) await this.#findMaxBanks();
    return [await this.#readSnapshotSlot(1), await this.#readSnapshotSlot(2)];
  }

  async #findMaxBanks(): Promise<void> {
    const first = Buffer.alloc(PAGE_BYTES);
    const isReadable = await this.places.isReadable(first, PAGE_BYTES);
    const told = isReadable ? toldMaxBanks(first) : 0;
    const sane = told > 0 && told <= OLD_MAX_BANKS ? [told] : [];
    for (const maxBanks of [...sane, ...OLD_BANK_GUESSES]) {
      const states = [await this.#slotState(1, maxBanks), await this.#slotState(2, maxBanks)];
      if (states.every((state) => typeof state === 'string')) continue;
      this.#maxBanks = maxBanks;
      return;
    }
  }

  async #slotState(slotNumber: number, maxBanks: number): Promise<SlotState> {
    const slotBytes = slotBytesFor(maxBanks);
    const bytes = Buffer.allocUnsafeSlow(slotBytes);
    const offsetBytes = PAGE_BYTES + (slotNumber - 1) * slotBytes;
    if (!(await this.places.isReadable(bytes, offsetBytes))) return 'unreadable';
    return decodeSlot(bytes, this.#header.slotFormat, maxBanks, this.#isOld);
  }

  async #readSnapshotSlot(slotNumber: number): Promise<SlotState> {
    const state = await this.#slotState(slotNumber, this.#maxBanks);
    if (state === 'bad limits' || state === 'bad checksum' || state === 'unreadable') {
      this.damage.push(`snapshot slot ${slotNumber}: ${state}`);
    }
    return state;
  }

  /** All banks of a candidate; undefined when a bank and its copy are lost. */
  async banks(candidate: Candidate, others: readonly Candidate[]): Promise<OpenBank[] | undefined> {
    const { slot, slotNumber } = candidate;
    if (slot.endOfFileBytes > this.#fileBytes) {
      this.damage.push(
        `snapshot slot ${slotNumber}: needs ${slot.endOfFileBytes} B, the file has ${this.#fileBytes} B`,
      );
      if (!this.#allowCut) return undefined;
    }
    if (!areDisjoint(slot.banks)) {
      this.damage.push(`snapshot slot ${slotNumber}: banks overlap`);
      return undefined;
    }
    const twin = others.find((other) => other !== candidate && isTwin(other.slot, slot));
    const opened: OpenBank[] = [];
    for (const [index, bank] of slot.banks.entries()) {
      const open =
        (await this.#bank(bank, slot, `snapshot slot ${slotNumber} bank ${index}`)) ??
        (twin && (await this.#bank(twin.slot.banks[index] ?? bank, slot, `copy of bank ${index}`)));
      if (!open) return undefined;
      opened.push(open);
    }
    return opened;
  }

  async #bank(
    bank: BankDescriptor,
    slot: SnapshotSlot,
    what: string,
  ): Promise<OpenBank | undefined> {
    const limits = {
      startBytes: this.dataStartBytes,
      endBytes: slot.endOfFileBytes,
      isOld: this.#isOld,
    };
    const open = await openBank(this.places, bank, limits);
    if (typeof open !== 'string') return open;
    this.damage.push(`${what}: ${open}`);
    return undefined;
  }
}

function noSnapshot(
  name: string,
  slots: readonly SlotReport[],
  damage: readonly string[],
  isCut: boolean,
): Error {
  if (slots.every((slot) => slot.state === 'empty')) {
    return new FormatError('FORMAT_TRUNCATED', `${name}: holds no committed snapshot`, {
      hint: 'the session that wrote it was stopped before the commit; the file can be removed',
    });
  }
  if (isCut) {
    return new FormatError('FORMAT_TRUNCATED', `${name}: is cut off (${damage.join('; ')})`, {
      hint: 'restore the file from a copy if there is one',
    });
  }
  return new IntegrityError(
    'INTEGRITY_CRC_MISMATCH',
    `${name}: no readable snapshot (${damage.join('; ')})`,
    { hint: 'restore the file from a copy if there is one' },
  );
}

/**
 * Opens the newest readable snapshot of a container. `storage` stays the caller's.
 *
 * @throws {@link FormatError} `FORMAT_BAD_MAGIC`, `FORMAT_UNSUPPORTED`, `FORMAT_TRUNCATED`,
 *   `FORMAT_BOUNDS`
 * @throws {@link IntegrityError} `INTEGRITY_CRC_MISMATCH`
 * @throws {@link RepositoryError} `REPOSITORY_IO` when a place and its copy cannot be read
 */
export async function openSnapshot(
  storage: Storage,
  options: OpenOptions = {},
): Promise<OpenSnapshot> {
  const fileBytes = await storage.sizeBytes();
  const page = Buffer.alloc(PAGE_BYTES);
  await storage.read(page, 0);
  const header = decodeHeader(page, storage.name);
  const opener = new SnapshotOpener(storage, header, fileBytes, options);
  const states = await opener.readSnapshotSlots();
  const { dataStartBytes } = opener;
  const slots = states.map((state, index) => report(state, index + 1));
  const candidates = states
    .flatMap((state, index): Candidate[] =>
      typeof state === 'string' ? [] : [{ slotNumber: index + 1, slot: state }],
    )
    .sort((a, b) => b.slot.version - a.slot.version || a.slotNumber - b.slotNumber);
  for (const candidate of candidates) {
    const banks = await opener.banks(candidate, candidates);
    if (!banks) continue;
    const { slot, slotNumber } = candidate;
    const pages = new PageReader(storage, banks, vectorFormOf(header.formatVersion));
    const { damage, places } = opener;
    return {
      header,
      dataStartBytes,
      slot,
      slotNumber,
      pages,
      fileBytes,
      slots,
      damage,
      readFailure: places.failure,
    };
  }
  // The device could not give the bytes back. That says nothing about them.
  if (opener.places.failure) throw opener.places.failure;
  const isCut =
    fileBytes < dataStartBytes ||
    candidates.some((candidate) => candidate.slot.endOfFileBytes > fileBytes);
  throw noSnapshot(storage.name, slots, opener.damage, isCut);
}
