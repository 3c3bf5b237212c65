/**
 * Second stage, before any byte is read: drops clean ranges, keeps known zeros as records, and cuts data
 * ranges into wanted blocks, or into short runs for the change finder.
 */
import { MIB } from '../../core/units.ts';
import {
  type CandidateRun,
  type DiskTask,
  type PlannedRun,
  subRun,
  type WantedBlock,
  wantedBlock,
  type ZeroRun,
} from '../records.ts';
import type { StageFunction } from '../connect.ts';
import { MAX_RANGE_BLOCKS } from '../../compute/resultRecord.ts';

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

/** Cuts the data of one run. */
type Cut<Piece> = (run: PlannedRun, endIndex: number) => Iterable<Piece>;

/** A dirty zero is a change and passes as a {@link ZeroRun}; only clean ranges are dropped. */
function filterOf<Piece>(
  task: DiskTask,
  counts: FilterCounts,
  cut: Cut<Piece>,
): StageFunction<PlannedRun, Piece | ZeroRun> {
  return function* dirtyZeroFilter(run: PlannedRun): Generator<Piece | ZeroRun> {
    if (!run.dirty) {
      counts.cleanBytes += run.lengthBytes;
      return;
    }
    const endIndex = run.index + run.blockCount;
    if (run.zero) {
      counts.knownZeroBytes += run.lengthBytes;
      yield subRun(run, 'zero', run.index, endIndex, task);
      return;
    }
    counts.wantedBytes += run.lengthBytes;
    yield* cut(run, endIndex);
  };
}

/**
 * Makes the filter of one disk.
 *
 * @see ovirt-imageio docs/images.md, "dirty" extents
 */
export function createDirtyZeroFilter(
  task: DiskTask,
  counts: FilterCounts = createFilterCounts(),
): StageFunction<PlannedRun, WantedBlock | ZeroRun> {
  return filterOf(task, counts, function* cut(run, endIndex) {
    for (let index = run.index; index < endIndex; index++) {
      yield wantedBlock(run.diskId, index, task);
    }
  });
}

/** A look at so much is long enough to be worth a message, and short enough to be waited for after an abort. */
const LOOK_BYTES = 8 * MIB;

/** The same for a disk whose data goes through the change finder: runs of a few blocks, as many as one look takes. */
export function createCandidateFilter(
  task: DiskTask,
  counts: FilterCounts = createFilterCounts(),
): StageFunction<PlannedRun, CandidateRun | ZeroRun> {
  const fitting = Math.floor(LOOK_BYTES / task.blockSizeBytes);
  const runBlocks = Math.min(MAX_RANGE_BLOCKS, Math.max(1, fitting));
  return filterOf(task, counts, function* cut(run, endIndex) {
    for (let index = run.index; index < endIndex; index += runBlocks) {
      yield subRun(run, 'candidate', index, Math.min(index + runBlocks, endIndex), task);
    }
  });
}
