/**
 * Third stage for disks that are files: worker threads read blocks into raw slots and compute the fingerprint of
 * each piece while it is in their cache. Where there is a parent point, they first look at the fingerprint
 * alone, and blocks that the parent holds are never read into a slot. What they cannot read is asked of
 * the device, which knows how to tell why.
 */
import type { DataBlock, HashedBlock, UnchangedRun, WantedBlock, ZeroRun } from './blocks.ts';
import { type BlockReaderOptions, BlockReads, zeroBlock } from './blockReader.ts';
import { isUnchanged, type ParentDisk } from './fingerprintMap.ts';
import { OrderedStage } from './orderedStage.ts';
import type { Slot } from './slab.ts';
import type { Stage } from './stage.ts';
import type { FileRange, WorkerPool } from './workerPool.ts';

export interface FileReaderOptions extends Omit<BlockReaderOptions, 'readers'> {
  /** {@link BlockDevice.fileDescriptor} of the disk. */
  readonly fileDescriptor: number;
  /** Threads that read; not those that compress, which would wait for the disk with them. */
  readonly intake: WorkerPool;
  /** The disk at the parent restore point, when this is a comparison. Must not change meanwhile. */
  readonly parent?: ParentDisk | undefined;
}

export type FileRecord = DataBlock | HashedBlock | ZeroRun | UnchangedRun;

/** Blocks in hand per thread: a batch at work, the next one waiting. */
const BLOCKS_PER_THREAD = 8;

class FileReads {
  readonly #options: FileReaderOptions;
  readonly #reads: BlockReads;

  constructor(options: FileReaderOptions) {
    this.#options = options;
    this.#reads = new BlockReads(options);
  }

  read(block: WantedBlock, signal: AbortSignal): Promise<readonly [FileRecord]> {
    return this.#reads.withSlot<FileRecord>(block, signal, async (slot) => {
      const { offsetBytes, lengthBytes } = block;
      const range = { fileDescriptor: this.#options.fileDescriptor, offsetBytes, lengthBytes };
      return (
        (await this.#findUnchanged(block, range, slot)) ??
        (await this.#readHashed(block, range, slot)) ??
        (await this.#reads.read(block, slot, signal))
      );
    });
  }

  /** The block as zero or unchanged, if it is one of them. */
  async #findUnchanged(
    block: WantedBlock,
    range: FileRange,
    slot: Slot,
  ): Promise<ZeroRun | UnchangedRun | undefined> {
    const { task, parent, intake } = this.#options;
    if (!parent) return undefined;
    const { isWhole, fingerprint } = await intake.peek(range, slot);
    if (!isWhole) return undefined;
    if (fingerprint === 0n) return zeroBlock(block);
    const { diskId, index, offsetBytes, lengthBytes } = block;
    if (!isUnchanged(parent, index, fingerprint, lengthBytes, task.blockSizeBytes))
      return undefined;
    return { kind: 'unchanged', diskId, index, offsetBytes, lengthBytes, blockCount: 1 };
  }

  async #readHashed(
    block: WantedBlock,
    range: FileRange,
    slot: Slot,
  ): Promise<HashedBlock | ZeroRun | undefined> {
    const { isWhole, fingerprint } = await this.#options.intake.read(range, slot);
    if (!isWhole) return undefined;
    if (fingerprint === 0n) return zeroBlock(block);
    const { diskId, index, offsetBytes, lengthBytes } = block;
    return { kind: 'hashed', diskId, index, offsetBytes, lengthBytes, slot, fingerprint };
  }
}

/**
 * Makes the reader of one disk that is a file.
 *
 * Ownership: acquires one raw slot per wanted block, in record order, and passes it on in a
 * {@link HashedBlock} or {@link DataBlock}, or releases it.
 */
export function createFileReader(
  options: FileReaderOptions,
): Stage<WantedBlock | ZeroRun, FileRecord> {
  const reads = new FileReads(options);
  return new OrderedStage<WantedBlock | ZeroRun, FileRecord>({
    concurrency: options.intake.workerCount * BLOCKS_PER_THREAD,
    stats: options.stats,
    run: (record, signal) => (record.kind === 'zero' ? [record] : reads.read(record, signal)),
  });
}
