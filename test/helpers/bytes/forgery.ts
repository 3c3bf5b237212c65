/** Changes metadata of a container and computes its checksums again: only one field is wrong. */
import { crc32c } from '@node-rs/crc32';
import {
  bankOf,
  maxBanksOf,
  NO_PAGE,
  PAGE_BYTES,
  pageOf,
  readPageId,
  slotOffsetOf,
  viewOf,
} from '../../../src/container/format/layout.ts';
import {
  decodeHeader,
  decodeSlot,
  encodeSlot,
  type SnapshotRoots,
  type SnapshotSlot,
  slotReadBytes,
} from '../../../src/container/format/snapshotSlots.ts';
import { isOldVersion } from '../../../src/container/format/versions.ts';
import { MemoryStorage } from './memoryStorage.ts';

export class Forgery {
  readonly bytes: Buffer;
  readonly #slotFormat: number;
  /** True for a version before 12. Only files with room for 248 banks can be forged. */
  readonly #isOld: boolean;
  #slots: SnapshotSlot[];

  /** @param content - a sound container with two valid snapshot slots; copied. */
  constructor(content: Uint8Array) {
    this.bytes = Buffer.from(content);
    const { formatVersion, slotFormat } = decodeHeader(this.bytes, 'forgery');
    this.#isOld = isOldVersion(formatVersion);
    // Slots of format 0 have that room too, and readers of old versions take their checksum.
    this.#slotFormat = this.#isOld ? 0 : slotFormat;
    this.#slots = [0, 1].map((index) => {
      const at = slotOffsetOf(this.#slotFormat, index);
      const end = at + slotReadBytes(this.#slotFormat);
      const bytes = this.bytes.subarray(at, end);
      const slot = this.#isOld
        ? decodeSlot(bytes, 9, maxBanksOf(0), true)
        : decodeSlot(bytes, this.#slotFormat);
      if (typeof slot === 'string') throw new Error(`slot ${index + 1}: ${slot}`);
      return slot;
    });
  }

  get slot(): SnapshotSlot {
    return this.#slots[0] as SnapshotSlot;
  }

  get roots(): SnapshotRoots {
    return this.slot.roots;
  }

  /** Page id of data page `index` (below 510) of the vector at `root`. */
  dataPage(root: number, index = 0): number {
    return readPageId(viewOf(this.#page(this.slot, root)), 8 * (2 + index));
  }

  page(pageId: number): Buffer {
    return this.#page(this.slot, pageId);
  }

  /** Changes a page in both copies of its bank. */
  editPage(pageId: number, edit: (page: Buffer) => void): this {
    for (const slot of this.#slots) edit(this.#page(slot, pageId));
    return this;
  }

  editSlots(edit: (slot: SnapshotSlot) => SnapshotSlot): this {
    this.#slots = this.#slots.map(edit);
    return this;
  }

  editRoots(change: Partial<SnapshotRoots>): this {
    return this.editSlots((slot) => ({ ...slot, roots: { ...slot.roots, ...change } }));
  }

  /** Computes all checksums again. */
  seal(): MemoryStorage {
    for (const [index, slot] of this.#slots.entries()) {
      const banks = slot.banks.map((bank) => {
        const end = bank.offsetBytes + bank.sizeBytes;
        return { ...bank, crc: crc32c(this.bytes.subarray(bank.offsetBytes, end)) };
      });
      encodeSlot({ ...slot, banks }, this.#slotFormat).copy(
        this.bytes,
        slotOffsetOf(this.#slotFormat, index),
      );
    }
    return new MemoryStorage(this.bytes);
  }

  #page(slot: SnapshotSlot, pageId: number): Buffer {
    const bank = slot.banks[bankOf(pageId)];
    if (pageId === NO_PAGE || !bank) throw new Error(`no page ${pageId}`);
    const at = bank.offsetBytes + (pageOf(pageId) + 1) * PAGE_BYTES;
    return this.bytes.subarray(at, at + PAGE_BYTES);
  }
}
