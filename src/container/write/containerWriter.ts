/**
 * Writes one VBK or VIB: blocks as they come, metadata at the end, then both snapshot slots.
 *
 * Before the first snapshot slot is on stable storage the file holds no valid snapshot.
 * Not verified against Veeam's own software; docs/format-vbk.md says who verified what.
 */
import { FormatError, invariant, UsageError } from '../../core/errors.ts';
import { createStageStats, type StageStats } from '../../core/stats.ts';
import { blockCountOf, blockLengthAt, formatBytes, KIB, MIB, roundUp } from '../../core/units.ts';
import type { PackedBlock } from '../../flow/records.ts';
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import { CLUSTER_BYTES } from '../../compute/storedForm.ts';
import { AppendQueue } from './appendQueue.ts';
import { FileMap, PatchList } from './blockMaps.ts';
import { BlockStore } from './blockStore.ts';
import {
  dataStartOf,
  MAX_BLOCK_BYTES,
  MAX_NAME_BYTES,
  maxBanksOf,
  PAGE_BYTES,
  PRODUCTION_SLOT_FORMAT,
  SLOT_FORMATS,
  slotOffsetOf,
} from '../format/layout.ts';
import { copyBanks, MetadataWriter } from './metadataWriter.ts';
import type { Property } from '../format/properties.ts';
import { RESERVED_PAGES, writeSnapshot, type WriterItem } from './snapshotWriter.ts';
import {
  type BankDescriptor,
  encodeHeader,
  encodedSlotBytes,
  encodeSlot,
  productionHeader,
  type SnapshotRoots,
  type SnapshotSlot,
} from '../format/snapshotSlots.ts';
import type { Storage } from '../../store/storage.ts';

export interface ContainerWriterOptions {
  /** Block size of every file in the container: 256 KiB, 512 KiB, 1 MiB, 2 MiB, 4 MiB or 8 MiB. */
  readonly blockSizeBytes: number;
  /** @defaultValue 9, as in Veeam's own files. 0 and 5 make small files for tests. */
  readonly slotFormat?: number | undefined;
  /** Counts the time and the bytes of block writes. */
  readonly stats?: StageStats | undefined;
}

export const BLOCK_SIZES_BYTES: readonly number[] = [
  256 * KIB,
  512 * KIB,
  MIB,
  2 * MIB,
  4 * MIB,
  8 * MIB,
];

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function checkBlockSize(blockSizeBytes: number): void {
  if (BLOCK_SIZES_BYTES.includes(blockSizeBytes)) return;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `block size ${formatBytes(blockSizeBytes)} is not supported`,
    {
      hint: 'use 256KiB, 512KiB, 1MiB, 2MiB, 4MiB or 8MiB',
    },
  );
}

function checkName(name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > MAX_NAME_BYTES || !/^[\x20-\x2e\x30-\x7e]+$/.test(name)) {
    throw new FormatError('FORMAT_BOUNDS', `item name ${JSON.stringify(name)} cannot be stored`);
  }
}

/** A folder of the container, to which items are added. */
export interface FolderHandle {
  readonly items: WriterItem[];
}

export class ContainerWriter {
  readonly blockSizeBytes: number;
  readonly store: BlockStore = new BlockStore();
  readonly #storage: Storage;
  readonly #slotFormat: number;
  readonly #codecs: BlockCodecs;
  readonly #queue: AppendQueue;
  readonly #items: WriterItem[] = [];
  #endBytes: number;
  #version = 0;
  #commitFailure: Error | undefined;

  private constructor(storage: Storage, options: ContainerWriterOptions, codecs: BlockCodecs) {
    const { blockSizeBytes, slotFormat = PRODUCTION_SLOT_FORMAT } = options;
    this.#storage = storage;
    this.blockSizeBytes = blockSizeBytes;
    this.#slotFormat = slotFormat;
    this.#codecs = codecs;
    this.#endBytes = dataStartOf(slotFormat);
    this.#queue = new AppendQueue(storage, this.#endBytes, options.stats ?? createStageStats());
  }

  /**
   * Starts a container in an empty storage: writes the header and makes room for the snapshot
   * slots. `storage` stays the caller's, who closes it after `commit` or `settle`.
   */
  static async create(storage: Storage, options: ContainerWriterOptions): Promise<ContainerWriter> {
    const { blockSizeBytes, slotFormat = PRODUCTION_SLOT_FORMAT } = options;
    invariant(
      blockSizeBytes % 512 === 0 && blockSizeBytes >= 512 && blockSizeBytes <= MAX_BLOCK_BYTES,
      `block size ${blockSizeBytes}`,
    );
    invariant(SLOT_FORMATS.includes(slotFormat), `slot format ${slotFormat}`);
    const writer = new ContainerWriter(storage, options, await createBlockCodecs());
    await storage.write([encodeHeader(productionHeader(blockSizeBytes, slotFormat))], 0);
    await storage.write([Buffer.alloc(1)], dataStartOf(slotFormat) - 1);
    return writer;
  }

  /** Bytes of the file so far, with the queued writes. */
  get endBytes(): number {
    return this.#endBytes;
  }

  /** First error of a block write or of a commit. Nothing can be added after it. */
  get failure(): Error | undefined {
    return this.#commitFailure ?? this.#queue.failure;
  }

  /**
   * Takes one packed block with its slot of the slab. The slot is released when its bytes are
   * written. When an equal block (MD5, fingerprint and length) is already stored, it is released
   * immediately.
   *
   * @param onWritten - called when the slot is free again.
   * @returns the block id, and whether the block is new in this container.
   */
  append(
    block: PackedBlock,
    onWritten: () => void = () => {},
  ): { blockId: number; isNew: boolean } {
    const key = {
      digest: block.digest,
      fingerprint: block.fingerprint,
      sourceBytes: block.lengthBytes,
    };
    const known = this.store.find(key);
    if (known !== undefined) {
      this.store.use(known);
      block.slot.release();
      onWritten();
      return { blockId: known, isNew: false };
    }
    const { codec, storedBytes } = block;
    const offsetBytes = this.#take(storedBytes);
    const blockId = this.store.add({
      ...key,
      codec,
      storedBytes,
      offsetBytes,
      isDeduplicated: true,
    });
    const bytes = block.slot.bytes.subarray(0, roundUp(storedBytes, CLUSTER_BYTES));
    this.#queue.push(bytes, () => {
      block.slot.release();
      onWritten();
    });
    return { blockId, isNew: true };
  }

  /** Adds a folder at the top of the tree. @throws `FORMAT_BOUNDS` for a bad name */
  addFolder(name: string, properties: readonly Property[]): FolderHandle {
    checkName(name);
    const items: WriterItem[] = [];
    this.#items.push({ kind: 'folder', name, properties, items });
    return { items };
  }

  /** Adds a file. Its blocks were appended before. @throws as {@link addFolder} */
  addFile(
    folder: FolderHandle,
    file: { name: string; sizeBytes: number; map: FileMap; properties?: readonly Property[] },
  ): void {
    checkName(file.name);
    folder.items.push({ kind: 'file', ...file });
  }

  /** Adds the changes of one disk. `sizeBytes` is the size of the whole disk at this point. */
  addIncrement(
    folder: FolderHandle,
    item: { name: string; sizeBytes: number; patches: PatchList; properties?: readonly Property[] },
  ): void {
    checkName(item.name);
    folder.items.push({ kind: 'increment', ...item });
  }

  /**
   * Adds a small file from memory. `blockAt` gives the plain bytes of a block, undefined for zeros;
   * it may return the same buffer again for the next block. With `compress: false` the file is
   * stored plain and outside the deduplication index, as Veeam does with summary.xml.
   */
  async addContent(
    folder: FolderHandle,
    options: { name: string; sizeBytes: number; compress: boolean },
    blockAt: (index: number, lengthBytes: number) => Buffer | undefined,
  ): Promise<void> {
    const { name, sizeBytes, compress } = options;
    const map = new FileMap();
    for (let index = 0; index < blockCountOf(sizeBytes, this.blockSizeBytes); index++) {
      const lengthBytes = blockLengthAt(index, sizeBytes, this.blockSizeBytes);
      const plain = blockAt(index, lengthBytes);
      if (plain) map.set(index, await this.#appendPlain(plain, lengthBytes, compress));
    }
    this.addFile(folder, { name, sizeBytes, map });
  }

  /** Waits until the bytes appended before this call are handed to the operating system. */
  async drain(): Promise<void> {
    await this.#queue.drain();
  }

  /** Waits until the storage is no longer used. Needed before it is closed without a commit. */
  async settle(): Promise<void> {
    await this.#queue.settle();
  }

  /**
   * Makes everything added so far the content of the container.
   *
   * Order: data, sync; banks and their copy, sync; one snapshot slot, sync; the other one, sync.
   * The first one is the slot that readers would not choose now; its sync is the commit. Banks of
   * earlier commits stay untouched. After a failed commit it is unknown which snapshot the file
   * holds, so the writer takes nothing more.
   */
  async commit(): Promise<void> {
    if (this.failure) throw this.failure;
    try {
      await this.#commit();
    } catch (error) {
      this.#commitFailure = error as Error;
      throw error;
    }
  }

  async #commit(): Promise<void> {
    await this.#queue.settle();
    await this.#storage.sync();
    const startBytes = roundUp(this.#endBytes, PAGE_BYTES);
    const first = await this.#writeBanks(startBytes);
    const second = this.#storage.canReadBack
      ? await copyBanks(this.#storage, first.banks, startBytes, first.endBytes)
      : await this.#writeBanks(first.endBytes);
    await this.#storage.sync();
    const { roots } = first;
    const common = { version: this.#version + 1, endOfFileBytes: second.endBytes, roots };
    const [next, last] = this.#version === 0 ? [0, 1] : [1, 0];
    const bytes = Buffer.alloc(encodedSlotBytes(this.#slotFormat));
    await this.#writeSnapshotSlot(next, { ...common, banks: first.banks }, bytes);
    await this.#writeSnapshotSlot(last, { ...common, banks: second.banks }, bytes);
    this.#version++;
    this.#endBytes = second.endBytes;
    this.#queue.moveTo(second.endBytes);
  }

  /** Pages name each other by their place in the banks, so a second call writes the same bytes. */
  async #writeBanks(
    startBytes: number,
  ): Promise<{ banks: BankDescriptor[]; endBytes: number; roots: SnapshotRoots }> {
    const maxBanks = maxBanksOf(this.#slotFormat);
    const metadata = new MetadataWriter(this.#storage, startBytes, maxBanks, RESERVED_PAGES);
    const roots = await writeSnapshot(metadata, this.#items, this.store, this.blockSizeBytes);
    return { ...(await metadata.finish()), roots };
  }

  /**
   * After a commit both snapshot slots hold the same version, and readers choose slot 1. So a later
   * commit writes slot 2 first: until its sync, slot 1 still gives the old snapshot.
   */
  async #writeSnapshotSlot(slotIndex: number, slot: SnapshotSlot, bytes: Buffer): Promise<void> {
    const offsetBytes = slotOffsetOf(this.#slotFormat, slotIndex);
    await this.#storage.write([encodeSlot(slot, this.#slotFormat, bytes)], offsetBytes);
    await this.#storage.sync();
  }

  #take(storedBytes: number): number {
    const offsetBytes = this.#endBytes;
    this.#endBytes += roundUp(storedBytes, CLUSTER_BYTES);
    return offsetBytes;
  }

  async #appendPlain(plain: Buffer, lengthBytes: number, compress: boolean): Promise<number> {
    const room = roundUp(lengthBytes, CLUSTER_BYTES);
    const source = Buffer.alloc(room);
    plain.copy(source, 0, 0, lengthBytes);
    const packed = Buffer.alloc(room);
    const form = compress
      ? this.#codecs.pack(source, lengthBytes, packed)
      : ({ codec: 'plain', storedBytes: lengthBytes } as const);
    const key = {
      digest: this.#codecs.digest(source.subarray(0, lengthBytes)),
      fingerprint: this.#codecs.fingerprint(source.subarray(0, lengthBytes)),
      sourceBytes: lengthBytes,
    };
    const known = compress ? this.store.find(key) : undefined;
    if (known !== undefined) {
      this.store.use(known);
      return known;
    }
    const offsetBytes = this.#take(form.storedBytes);
    const bytes = (form.codec === 'lz4' ? packed : source).subarray(
      0,
      roundUp(form.storedBytes, CLUSTER_BYTES),
    );
    await new Promise<void>((resolve) => this.#queue.push(bytes, resolve));
    if (this.failure) throw this.failure;
    return this.store.add({ ...key, ...form, offsetBytes, isDeduplicated: compress });
  }
}
