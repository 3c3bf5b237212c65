/**
 * Third stage for devices whose threads read into the slab. They compute the fingerprint of a block
 * while it is in their cache.
 */
import type { DataBlock, HashedBlock, WantedBlock, ZeroRun } from '../records.ts';
import type { Stage } from '../connect.ts';
import { OrderedStage } from '../orderedStage.ts';
import { type BlockReaderOptions, BlockReads, type ReadHashed } from './blockReader.ts';

export interface HashedReaderOptions extends BlockReaderOptions {
  readonly readHashed: ReadHashed;
}

/**
 * Makes the reader of one disk. Ownership and errors are those of `createBlockReader`. A block
 * without a fingerprint leaves as a {@link DataBlock}.
 */
export function createHashedReader(
  options: HashedReaderOptions,
): Stage<WantedBlock | ZeroRun, DataBlock | HashedBlock | ZeroRun> {
  const { stats, readers = 4, readHashed } = options;
  const reads = new BlockReads(options);
  return new OrderedStage<WantedBlock | ZeroRun, DataBlock | HashedBlock | ZeroRun>({
    concurrency: readers,
    stats,
    run: (record, signal) =>
      record.kind === 'zero'
        ? [record]
        : reads.withSlot<DataBlock | HashedBlock | ZeroRun>(record, signal, (slot) =>
            reads.readHashed(record, slot, signal, readHashed),
          ),
  });
}
