/**
 * Fourth stage: fingerprints every data block that has none yet and, where a parent point is given, drops what it already
 * holds. Compare is by position only: same index, same length, same 64-bit fingerprint.
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

export interface HashComparerOptions {
  readonly task: DiskTask;
  readonly pool: WorkerPool;
  readonly stats: StageStats;
  /** The disk at the parent restore point; absent in a full. Read only, must not change meanwhile. */
  readonly parent?: ParentDisk | undefined;
}

/** Blocks inside the stage at once: enough to keep batches full in every worker. */
export const HASH_WINDOW_BLOCKS = 16;

type Out = HashedBlock | ZeroRun | UnchangedRun;

/** Cuts a zero run where the parent holds data: those parts changed, the rest is unchanged. */
function* compareZeroRun(run: ZeroRun, task: DiskTask, parent: ParentDisk): Generator<Out> {
  const endIndex = run.index + run.blockCount;
  // Blocks [changedFrom, changedTo) held data; what lies between two such ranges is unchanged.
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
 * Ownership: passes the raw slot on in a {@link HashedBlock}, or releases it for an unchanged block.
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
