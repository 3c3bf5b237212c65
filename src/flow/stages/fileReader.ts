/**
 * Third stage for disks that are files: worker threads read blocks into raw slots and compute the fingerprint of
 * each piece while it is in their cache. What they cannot read is asked of the device, which knows how to tell why.
 */
import type { DataBlock, HashedBlock, UnchangedRun, WantedBlock, ZeroRun } from '../records.ts';
import { type BlockReaderOptions, BlockReads, zeroBlock } from './blockReader.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { Slot } from '../slab.ts';
import type { Stage } from '../connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';

export interface FileReaderOptions extends Omit<BlockReaderOptions, 'readers'> {
  /** {@link BlockDevice.fileDescriptor} of the disk. */
  readonly fileDescriptor: number;
  /** Threads that read; not those that compress, which would wait for the disk with them. */
  readonly fileReadPool: WorkerPool;
}

/** An unchanged run comes from the change finder and passes. */
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
    return this.#reads.withSlot<DataBlock | HashedBlock | ZeroRun>(
      block,
      signal,
      async (slot) =>
        (await this.#readHashed(block, slot)) ?? (await this.#reads.read(block, slot, signal)),
    );
  }

  async #readHashed(block: WantedBlock, slot: Slot): Promise<HashedBlock | ZeroRun | undefined> {
    const { fileDescriptor, fileReadPool } = this.#options;
    const { diskId, index, offsetBytes, lengthBytes } = block;
    const range = { fileDescriptor, offsetBytes, lengthBytes };
    const { isWhole, fingerprint } = await fileReadPool.read(range, slot);
    if (!isWhole) return undefined;
    if (fingerprint === 0n) return zeroBlock(block);
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
): Stage<WantedBlock | ZeroRun | UnchangedRun, FileRecord> {
  const reads = new FileReads(options);
  return new OrderedStage<WantedBlock | ZeroRun | UnchangedRun, FileRecord>({
    concurrency: Math.max(1, options.fileReadPool.workerCount) * BLOCKS_PER_THREAD,
    stats: options.stats,
    run: (record, signal) => (record.kind === 'wanted' ? reads.read(record, signal) : [record]),
  });
}
