/**
 * Computes from metadata, before anything is written, what a merge copies and how large its
 * container becomes.
 */
import type { ContainerReader } from '../../container/read/containerReader.ts';
import {
  BANK_EXTRA_PAGES,
  BANK_MIN_PAGES,
  dataStartOf,
  DEDUP_RECORD_BYTES,
  PAGE_BYTES,
  PATCH_BLOCK_BYTES,
  PRODUCTION_SLOT_FORMAT,
  STORE_BLOCK_BYTES,
} from '../../container/format/layout.ts';
import { FINGERPRINT_BYTES } from '../../compute/kernels/slabFingerprints.ts';
import type { MergedDisk } from '../../repository/retention/mergedView.ts';

/** Bytes of an empty container: header, snapshot slots, and two copies of the smallest bank. */
const EMPTY_BYTES: number =
  dataStartOf(PRODUCTION_SLOT_FORMAT) + 2 * (BANK_MIN_PAGES + BANK_EXTRA_PAGES) * PAGE_BYTES;
/** Bytes of metadata per record. Banks are written twice. */
const BYTES_PER_RECORD: number =
  2 * (PATCH_BLOCK_BYTES + STORE_BLOCK_BYTES + DEDUP_RECORD_BYTES) + FINGERPRINT_BYTES;

export interface MergeSize {
  /** Stored bytes that the merge reads and checks, by disk id. */
  readonly copiedBytes: ReadonlyMap<string, number>;
  /** Estimated size of the new container. */
  readonly fileBytes: number;
}

/** Stored blocks that were counted. A block that several places share is stored once. */
class SeenBlocks {
  readonly #seen = new Map<ContainerReader, Uint8Array>();

  /** Returns true the first time a block is added. */
  add(reader: ContainerReader, blockId: number): boolean {
    let seen = this.#seen.get(reader);
    if (!seen) {
      seen = new Uint8Array(reader.store.count);
      this.#seen.set(reader, seen);
    }
    const isNew = seen[blockId] === 0;
    seen[blockId] = 1;
    return isNew;
  }
}

/** @throws {@link FormatError} when a record names a stored block that does not exist */
export async function measureMerge(
  disks: readonly MergedDisk[],
  signal: AbortSignal,
): Promise<MergeSize> {
  const seen = new SeenBlocks();
  const copiedBytes = new Map<string, number>();
  let fileBytes = EMPTY_BYTES;
  for (const { disk, records } of disks) {
    let diskBytes = 0;
    for await (const { block } of records()) {
      signal.throwIfAborted();
      fileBytes += BYTES_PER_RECORD;
      if (!block) continue;
      const { storedBytes, allocatedBytes } = await block.reader.storeBlock(block.blockId);
      diskBytes += storedBytes;
      if (seen.add(block.reader, block.blockId)) fileBytes += allocatedBytes;
    }
    copiedBytes.set(disk.diskId, diskBytes);
  }
  return { copiedBytes, fileBytes };
}
