/**
 * Opens the newest readable snapshot of a container: header, snapshot slots, banks with their
 * checksums. A damaged snapshot slot or bank is replaced by the other snapshot slot's copy, if that
 * holds the same snapshot. Otherwise the older snapshot is used. Damage is reported, not hidden.
 */
import { FormatError, IntegrityError, type RepositoryError } from '../../core/errors.ts';
import { maxBanksOf, PAGE_BYTES, slotBytesFor } from '../format/layout.ts';
import {
  type BankDescriptor,
  decodeHeader,
  decodeSlot,
  type ReadHeader,
  type SlotState,
  type SnapshotSlot,
  toldMaxBanks,
} from '../format/snapshotSlots.ts';
import { isOldVersion, OLD_BANK_GUESSES, OLD_MAX_BANKS, vectorFormOf } from '../format/versions.ts';
import type { Storage } from '../../store/storage.ts';
import { areDisjoint, openBank, PlaceReader } from './bankReader.ts';
import { type OpenBank, PageReader } from './pageReader.ts';

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
