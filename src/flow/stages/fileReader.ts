/**
 * Third stage for disks that are files. Worker threads read blocks into raw slots; they compute the
 * fingerprint of each piece while the piece is in their cache. A block that they cannot read is
 * read through the device, which reports the reason.
 */
import type { DataBlock, HashedBlock, UnchangedRun, WantedBlock, ZeroRun } from '../records.ts';
import { type BlockReaderOptions, BlockReads, zeroBlock } from './blockReader.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { Slot } from '../slab.ts';
import type { Stage } from '../connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';

/** Options of {@link createFileReader}. */
export interface FileReaderOptions extends Omit<BlockReaderOptions, 'readers'> {
  /** {@link BlockDevice.fileDescriptor} of the disk. */
  readonly fileDescriptor: number;
  /**
   * Threads that read. They are not the threads that compress: those would wait for the disk too.
   */
  readonly fileReadPool: WorkerPool;
}

/** Output of a file reader. An unchanged run comes from the change finder and passes. */
export type FileRecord = DataBlock | HashedBlock | ZeroRun | UnchangedRun;

/** Blocks in the stage for each thread: a batch at work and the next one waiting. */
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
 * Ownership: acquires one raw slot for each wanted block, in record order. It passes the slot on in
 * a {@link HashedBlock} or {@link DataBlock}, or releases it.
 *
 * Errors of the stream: as of `createBlockReader`.
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
