/**
 * Fifth stage: computes digest, LZ4 form and CRC of the blocks that will be stored. Worker threads
 * do the work, from raw into packed slots. A block that LZ4 does not make at least one cluster
 * smaller stays plain, in its raw slot.
 */
import { PACK_WINDOW_BLOCKS } from '../../compute/jobQueue.ts';
import { clockOf, countCpu, type StageStats } from '../../core/stats.ts';
import type { HashedBlock, PackedBlock, UnchangedRun, ZeroRun } from '../records.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { SlabLease } from '../slab.ts';
import type { Stage } from '../connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';

/** Options of {@link createCompressor}. */
export interface CompressorOptions {
  readonly pool: WorkerPool;
  readonly lease: SlabLease<'pack'>;
  readonly stats: StageStats;
}

/**
 * Makes the compressor of one disk.
 *
 * Ownership: acquires one packed slot for each block, in record order. Exactly one of the raw and
 * the packed slot goes on in the {@link PackedBlock}; the other is released here.
 */
export function createCompressor(
  options: CompressorOptions,
): Stage<HashedBlock | ZeroRun | UnchangedRun, PackedBlock | ZeroRun | UnchangedRun> {
  const { pool, lease, stats } = options;
  const slotWait = clockOf(stats, 'waitSlotMs');

  async function pack(block: HashedBlock, signal: AbortSignal): Promise<PackedBlock[]> {
    const { diskId, index, offsetBytes, lengthBytes, slot: raw, fingerprint } = block;
    const packed = await slotWait.time(() => lease.acquirePacked(signal));
    const result = await pool.pack(raw, lengthBytes, packed);
    countCpu(stats, lengthBytes, result.workMs, pool.workerCount);
    const { codec, storedBytes, digest } = result;
    const slot = codec === 'plain' ? raw : packed;
    (codec === 'plain' ? packed : raw).release();
    return [
      {
        kind: 'packed',
        diskId,
        index,
        offsetBytes,
        lengthBytes,
        slot,
        codec,
        storedBytes,
        fingerprint,
        digest,
      },
    ];
  }

  return new OrderedStage<
    HashedBlock | ZeroRun | UnchangedRun,
    PackedBlock | ZeroRun | UnchangedRun
  >({
    concurrency: PACK_WINDOW_BLOCKS,
    stats,
    run: (record, signal) => (record.kind === 'hashed' ? pack(record, signal) : [record]),
  });
}
