/**
 * Checks of a container's metadata that plain reading does not need: usage counters, both indexes,
 * and that no two stored blocks overlap. Memory: 20 bytes for each stored block.
 */
import { BackupError, FormatError } from '../../core/errors.ts';
import { isSystemFailure } from '../../core/systemErrors.ts';
import type { ContainerReader } from './containerReader.ts';
import type { ContainerItem } from '../format/items.ts';
import { walkIndex } from '../format/indexTree.ts';
import {
  DEDUP_RECORD_BYTES,
  FIB_BLOCK_BYTES,
  FREE_RECORD_BYTES,
  NO_PAGE,
  PAGE_BYTES,
  readSize,
  viewOf,
} from '../format/layout.ts';
import { type BlockStoreRow, ZERO_BLOCK_ID } from '../format/records.ts';

const MAX_PROBLEMS = 100;

class StructureCheck {
  readonly problems: string[] = [];
  readonly #reader: ContainerReader;
  readonly #usage: Uint32Array;
  readonly #offsets: Float64Array;
  /**
   * For each block: the start of its key in its index. The indexes have another order than the
   * store, so the keys are kept here.
   */
  readonly #keys: Uint32Array;
  readonly #maxReferences: number;
  readonly #refuses: boolean;
  #references = 0;
  #freeCount = 0;
  #dedupCount = 0;

  constructor(reader: ContainerReader, refuses: boolean) {
    this.#refuses = refuses;
    this.#reader = reader;
    const perPage = Math.floor(PAGE_BYTES / FIB_BLOCK_BYTES);
    this.#maxReferences = reader.snapshot.pages.totalPages * perPage;
    this.#usage = new Uint32Array(reader.store.count);
    this.#offsets = new Float64Array(reader.store.count);
    this.#keys = new Uint32Array(reader.store.count);
  }

  async run(items: readonly ContainerItem[]): Promise<void> {
    for (const item of items) {
      if (item.kind === 'file' || item.kind === 'increment') {
        await this.#guard(() => this.#countReferences(item));
      }
    }
    await this.#guard(() => this.#checkStore());
    await this.#guard(() => this.#checkOverlap());
    const { freeRoot, dedupRoot } = this.#reader.snapshot.slot.roots;
    await this.#guard(() => this.#checkIndex('free', freeRoot, this.#freeCount));
    await this.#guard(() => this.#checkIndex('dedup', dedupRoot, this.#dedupCount));
  }

  #report(problem: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(problem);
  }

  async #guard(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (isSystemFailure(error) || !(error instanceof BackupError)) throw error;
      if (this.#refuses && error.code === 'FORMAT_UNSUPPORTED') throw error;
      this.#report(error.message);
    }
  }

  /**
   * Counts the references of an item, and checks that each names a block of the same length and
   * digest.
   */
  async #countReferences(item: ContainerItem): Promise<void> {
    for await (const { index, blockId, digest, lengthBytes } of this.#reader.references(item)) {
      if (++this.#references > this.#maxReferences) {
        throw new FormatError('FORMAT_BOUNDS', `${item.path}: items share the pages of their maps`);
      }
      if (blockId === ZERO_BLOCK_ID) continue;
      this.#usage[blockId] = (this.#usage[blockId] ?? 0) + 1;
      const block = await this.#reader.storeBlock(blockId);
      const same =
        block.sourceBytes === lengthBytes && Buffer.from(digest).equals(Buffer.from(block.digest));
      if (!same) this.#report(`${item.path} block ${index}: is not stored block ${blockId}`);
    }
  }

  async #checkStore(): Promise<void> {
    for (let blockId = 0; blockId < this.#usage.length; blockId++) {
      const block = await this.#reader.storeBlock(blockId);
      this.#offsets[blockId] = block.offsetBytes;
      if (block.usageCount === 0) this.#freeCount++;
      if (block.isDeduplicated) this.#dedupCount++;
      this.#keys[blockId] = keyOf(block);
      const used = this.#usage[blockId] ?? 0;
      if (block.usageCount !== used) {
        this.#report(`stored block ${blockId}: used ${used} times, counted ${block.usageCount}`);
      }
    }
  }

  async #checkOverlap(): Promise<void> {
    const order = Uint32Array.from(this.#offsets.keys()).sort(
      (a, b) => (this.#offsets[a] ?? 0) - (this.#offsets[b] ?? 0),
    );
    let endBytes = 0;
    for (const blockId of order) {
      const { offsetBytes, allocatedBytes } = await this.#reader.storeBlock(blockId);
      if (offsetBytes < endBytes) this.#report(`stored block ${blockId}: overlaps another one`);
      endBytes = Math.max(endBytes, offsetBytes + allocatedBytes);
    }
  }

  /**
   * Checks that every record of an index has the key of its block, and that their number is right.
   */
  async #checkIndex(kind: 'free' | 'dedup', root: number, expected: number): Promise<void> {
    if (root === NO_PAGE) {
      if (kind === 'free' && expected > 0) this.#report(`${kind} index: missing`);
      return;
    }
    const keyBytes = kind === 'free' ? 4 : 16;
    const recordBytes = kind === 'free' ? FREE_RECORD_BYTES : DEDUP_RECORD_BYTES;
    const { pages } = this.#reader.snapshot;
    let count = 0;
    for await (const record of walkIndex((pageId) => pages.read(pageId), root, recordBytes)) {
      const blockId = readSize(viewOf(record), keyBytes);
      if (this.#keys[blockId] !== record.readUInt32LE(0)) {
        this.#report(`${kind} index: record ${count} is not of block ${blockId}`);
      }
      if (++count > expected) break;
    }
    if (count !== expected) this.#report(`${kind} index: ${count} records, ${expected} expected`);
  }
}

/** Start of the key of a block in its index; 0 for a block in no index. */
function keyOf(block: BlockStoreRow): number {
  if (block.usageCount === 0) return block.allocatedBytes;
  return block.isDeduplicated ? Buffer.from(block.digest).readUInt32LE(0) : 0;
}

/**
 * Checks the metadata. Returns one line for each problem, at most 100; none for a sound container.
 *
 * @param refuses - data that nobody here can read are an error instead of a problem.
 * @throws {@link FormatError} `FORMAT_UNSUPPORTED` with `refuses`
 * @throws {@link RepositoryError} `REPOSITORY_IO`
 */
export async function checkStructure(
  reader: ContainerReader,
  items: readonly ContainerItem[],
  refuses = false,
): Promise<string[]> {
  const check = new StructureCheck(reader, refuses);
  await check.run(items);
  return check.problems;
}
