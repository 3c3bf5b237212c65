/**
 * Second stage, before any byte is read. It drops clean ranges and keeps known zeros as records. It
 * cuts data into wanted blocks, or into short runs for the change finder.
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

/** Bytes that a filter has seen, by state. The filter adds to them in place. */
export interface FilterCounts {
  /** Bytes that the change map calls clean. */
  cleanBytes: number;
  /** Bytes that the extents call zero, and dirty where the extents say so. */
  knownZeroBytes: number;
  /** Bytes passed on to be read. */
  wantedBytes: number;
}

/** Makes counts of 0. */
export function createFilterCounts(): FilterCounts {
  return { cleanBytes: 0, knownZeroBytes: 0, wantedBytes: 0 };
}

/** Cuts the data of one run into pieces. */
type Cut<Piece> = (run: PlannedRun, endIndex: number) => Iterable<Piece>;

/** A dirty zero is a change, so it passes as a {@link ZeroRun}. Only clean ranges are dropped. */
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
 * Makes the filter of one disk. It emits one {@link WantedBlock} for each data block.
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

/**
 * Bytes of one fingerprint range. That is long enough to be worth a message to a thread. It is
 * short enough to be waited for after an abort.
 */
const RANGE_BYTES = 8 * MIB;

/**
 * The filter for a disk whose data goes through the change finder. It emits short runs of data
 * blocks, each at most one fingerprint range long.
 */
export function createCandidateFilter(
  task: DiskTask,
  counts: FilterCounts = createFilterCounts(),
): StageFunction<PlannedRun, CandidateRun | ZeroRun> {
  const fitting = Math.floor(RANGE_BYTES / task.blockSizeBytes);
  const runBlocks = Math.min(MAX_RANGE_BLOCKS, Math.max(1, fitting));
  return filterOf(task, counts, function* cut(run, endIndex) {
    for (let index = run.index; index < endIndex; index += runBlocks) {
      yield subRun(run, 'candidate', index, Math.min(index + runBlocks, endIndex), task);
    }
  });
}
