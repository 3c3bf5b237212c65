/**
 * Stage before the reader, for a disk that is a file and has a parent point. Worker threads compute
 * the fingerprints of several consecutive blocks. A block that the parent holds is then never read
 * into a slot. A range that they cannot read is left to the reader.
 */
import { type BusyClock, clockOf, type StageStats } from '../../core/stats.ts';
import { blockLengthAt } from '../../core/units.ts';
import {
  type CandidateRun,
  type DiskTask,
  subRun,
  type UnchangedRun,
  type WantedBlock,
  wantedBlock,
  type ZeroRun,
} from '../records.ts';
import { isUnchanged, type ParentDisk } from '../fingerprintMap.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { SlabLease } from '../slab.ts';
import type { Stage } from '../connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';

/** Options of {@link createChangeFinder}. */
export interface ChangeFinderOptions {
  readonly task: DiskTask;
  /** {@link BlockDevice.fileDescriptor} of the disk. */
  readonly fileDescriptor: number;
  /** Threads that read the file. */
  readonly fileReadPool: WorkerPool;
  /** The disk at the parent restore point. It must not change while the stage works. */
  readonly parent: ParentDisk;
  /** Gives the raw slots that the threads read through. */
  readonly lease: SlabLease;
  /**
   * Counts the blocks that need not be read any more. The reader after this stage may share them.
   */
  readonly stats: StageStats;
}

type Found = WantedBlock | ZeroRun | UnchangedRun;

/** Runs in the stage for each thread: one at work, one waiting in the thread, one on its way. */
const RUNS_PER_THREAD = 3;

class ChangeFinder {
  readonly #options: ChangeFinderOptions;
  readonly #clock: BusyClock;
  readonly #slotWait: BusyClock;

  constructor(options: ChangeFinderOptions) {
    this.#options = options;
    this.#clock = clockOf(options.stats);
    this.#slotWait = clockOf(options.stats, 'waitSlotMs');
  }

  async find(run: CandidateRun, signal: AbortSignal): Promise<Found[]> {
    const fingerprints = await this.#fingerprintRange(run, signal);
    const states = Array.from({ length: run.blockCount }, (_, k) =>
      this.#stateOf(run.index + k, fingerprints?.[k]),
    );
    return this.#records(run, states);
  }

  async #fingerprintRange(
    run: CandidateRun,
    signal: AbortSignal,
  ): Promise<readonly bigint[] | undefined> {
    const { lease, fileReadPool, fileDescriptor, task } = this.#options;
    const slot = await this.#slotWait.time(() => lease.acquireRaw(signal));
    try {
      const { offsetBytes, lengthBytes } = run;
      const range = { fileDescriptor, offsetBytes, lengthBytes };
      return await this.#clock.time(() =>
        fileReadPool.fingerprintRange(range, task.blockSizeBytes, slot, signal),
      );
    } finally {
      slot.release();
    }
  }

  #stateOf(index: number, fingerprint: bigint | undefined): Found['kind'] {
    if (fingerprint === undefined) return 'wanted';
    if (fingerprint === 0n) return 'zero';
    const { parent, task } = this.#options;
    const { blockSizeBytes, virtualSizeBytes } = task;
    const lengthBytes = blockLengthAt(index, virtualSizeBytes, blockSizeBytes);
    return isUnchanged(parent, index, fingerprint, lengthBytes, blockSizeBytes)
      ? 'unchanged'
      : 'wanted';
  }

  /** Blocks that must be read leave one by one, the others in runs. */
  #records(run: CandidateRun, states: readonly Found['kind'][]): Found[] {
    const { task, stats } = this.#options;
    const records: Found[] = [];
    for (let from = 0; from < states.length; ) {
      const state = states[from];
      let to = from + 1;
      if (state === 'zero' || state === 'unchanged') {
        while (states[to] === state) to++;
        const settled = subRun(run, state, run.index + from, run.index + to, task);
        stats.blocks += settled.blockCount;
        stats.bytes += settled.lengthBytes;
        records.push(settled);
      } else records.push(wantedBlock(run.diskId, run.index + from, task));
      from = to;
    }
    return records;
  }
}

/**
 * Makes the change finder of one disk. A block may change between its fingerprint and its read;
 * then the bytes that were read count.
 *
 * Ownership: acquires one raw slot for each run, in record order, and releases it when the thread
 * is done.
 */
export function createChangeFinder(
  options: ChangeFinderOptions,
): Stage<CandidateRun | ZeroRun, Found> {
  const finder = new ChangeFinder(options);
  return new OrderedStage<CandidateRun | ZeroRun, Found>({
    concurrency: Math.max(1, options.fileReadPool.workerCount) * RUNS_PER_THREAD,
    stats: options.stats,
    run: (record, signal) => (record.kind === 'zero' ? [record] : finder.find(record, signal)),
  });
}
