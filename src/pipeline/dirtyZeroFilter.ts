/**
 * Second stage, before any byte is read: drops clean ranges, keeps known zeros as records, and cuts data
 * ranges into wanted blocks.
 */
import { blockLengthAt } from '../core/units.ts';
import {
  type DiskTask,
  type PlannedRun,
  subRun,
  type WantedBlock,
  type ZeroRun,
} from './blocks.ts';
import type { StageFunction } from './stage.ts';

export interface FilterCounts {
  /** Bytes that the change map calls clean. */
  cleanBytes: number;
  /** Bytes that the extents call zero (and dirty, where that is known). */
  knownZeroBytes: number;
  /** Bytes passed on to be read. */
  wantedBytes: number;
}

export function createFilterCounts(): FilterCounts {
  return { cleanBytes: 0, knownZeroBytes: 0, wantedBytes: 0 };
}

/**
 * Makes the filter of one disk.
 *
 * A dirty zero is a change and passes as a {@link ZeroRun}; only clean ranges are dropped.
 *
 * @see ovirt-imageio docs/images.md, "dirty" extents
 */
export function createDirtyZeroFilter(
  task: DiskTask,
  counts: FilterCounts = createFilterCounts(),
): StageFunction<PlannedRun, WantedBlock | ZeroRun> {
  return function* dirtyZeroFilter(run: PlannedRun): Generator<WantedBlock | ZeroRun> {
    if (!run.dirty) {
      counts.cleanBytes += run.lengthBytes;
      return;
    }
    if (run.zero) {
      counts.knownZeroBytes += run.lengthBytes;
      yield subRun(run, 'zero', run.index, run.index + run.blockCount, task) as ZeroRun;
      return;
    }
    counts.wantedBytes += run.lengthBytes;
    for (let index = run.index; index < run.index + run.blockCount; index++) {
      yield {
        kind: 'wanted',
        diskId: run.diskId,
        index,
        offsetBytes: index * task.blockSizeBytes,
        lengthBytes: blockLengthAt(index, task.virtualSizeBytes, task.blockSizeBytes),
      };
    }
  };
}
