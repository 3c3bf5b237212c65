/**
 * Fourth stage: computes the fingerprint of every data block that has none yet. With a parent point
 * it drops the blocks that the parent already holds. It compares by position only: same index, same
 * length, same 64-bit fingerprint.
 */
import { countCpu, type StageStats } from '../../core/stats.ts';
import {
  type DataBlock,
  type DiskTask,
  type HashedBlock,
  subRun,
  type UnchangedRun,
  type ZeroRun,
} from '../records.ts';
import { isUnchanged, type ParentDisk } from '../fingerprintMap.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { Stage } from '../connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';

/** Options of {@link createHashComparer}. */
export interface HashComparerOptions {
  readonly task: DiskTask;
  readonly pool: WorkerPool;
  readonly stats: StageStats;
  /**
   * The disk at the parent restore point; absent in a full. It is only read, and must not change
   * while the stage works.
   */
  readonly parent?: ParentDisk | undefined;
}

/** Blocks in the stage at the same time: enough to fill the batches of every worker. */
export const HASH_WINDOW_BLOCKS = 16;

type Out = HashedBlock | ZeroRun | UnchangedRun;

/**
 * Cuts a zero run where the parent holds data. Those parts changed; the other parts are unchanged.
 */
function* compareZeroRun(run: ZeroRun, task: DiskTask, parent: ParentDisk): Generator<Out> {
  const endIndex = run.index + run.blockCount;
  // The parent holds data in blocks [changedFrom, changedTo). Blocks between two such ranges are
  // unchanged.
  let changedFrom = run.index;
  let changedTo = run.index;
  for (const index of parent.fingerprints.nonZeroIn(run.index, endIndex)) {
    if (index > changedTo) {
      if (changedFrom < changedTo) yield subRun(run, 'zero', changedFrom, changedTo, task);
      yield subRun(run, 'unchanged', changedTo, index, task);
      changedFrom = index;
    }
    changedTo = index + 1;
  }
  if (changedFrom < changedTo) yield subRun(run, 'zero', changedFrom, changedTo, task);
  if (changedTo < endIndex) yield subRun(run, 'unchanged', changedTo, endIndex, task);
}

/**
 * Makes the comparer of one disk.
 *
 * Ownership: passes the raw slot on in a {@link HashedBlock}, or releases it when the block is
 * unchanged.
 */
export function createHashComparer(
  options: HashComparerOptions,
): Stage<DataBlock | HashedBlock | ZeroRun | UnchangedRun, HashedBlock | ZeroRun | UnchangedRun> {
  const { task, pool, stats, parent } = options;

  async function hash(block: DataBlock): Promise<Out[]> {
    const { diskId, index, offsetBytes, lengthBytes, slot } = block;
    const { fingerprint, workMs } = await pool.hash(slot, lengthBytes);
    countCpu(stats, lengthBytes, workMs, pool.workerCount);
    return compare({ kind: 'hashed', diskId, index, offsetBytes, lengthBytes, slot, fingerprint });
  }

  function compare(block: HashedBlock): Out[] {
    const { diskId, index, offsetBytes, lengthBytes, slot, fingerprint } = block;
    if (!parent || !isUnchanged(parent, index, fingerprint, lengthBytes, task.blockSizeBytes)) {
      return [block];
    }
    slot.release();
    return [{ kind: 'unchanged', diskId, index, offsetBytes, lengthBytes, blockCount: 1 }];
  }

  return new OrderedStage<DataBlock | HashedBlock | ZeroRun | UnchangedRun, Out>({
    concurrency: HASH_WINDOW_BLOCKS,
    stats,
    run: (record) => {
      if (record.kind === 'data') return hash(record);
      if (record.kind === 'hashed') return compare(record);
      if (record.kind === 'zero' && parent) return compareZeroRun(record, task, parent);
      return [record];
    },
  });
}
