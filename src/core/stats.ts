/**
 * Counters of a stage. They are plain numbers that may be read at any time; there is no event per
 * block. Stages add to them in place.
 */
export interface StageStats {
  /** Blocks that the stage finished; extents for the extent source, pieces for container writes. */
  blocks: number;
  /** Bytes of those blocks. */
  bytes: number;
  /**
   * Wall time during which at least one piece of work was under way. It never exceeds the time of
   * the pipeline. For the CPU stages it is CPU time divided by the number of threads.
   */
  busyMs: number;
  /** Time of all pieces of work added up. Pieces overlap, so it may exceed the pipeline's time. */
  workMs: number;
  /**
   * Wall time during which at least one record waited for a slot of the slab. Later stages release
   * slots, so this is time spent waiting for them.
   */
  waitSlotMs: number;
  /** Time that finished records waited until the next stage took them, added up over records. */
  waitDownstreamMs: number;
}

/** The stage of a session that waited for the limit of its rate. */
export const LIMIT_STAGE = 'limit of the rate';

/** Makes the counters of one stage, all 0. */
export function createStageStats(): StageStats {
  return { blocks: 0, bytes: 0, busyMs: 0, workMs: 0, waitSlotMs: 0, waitDownstreamMs: 0 };
}

/**
 * Counts one block of a CPU stage. `workMs` is its CPU time; `threads` is the number of threads
 * that work at the same time, 0 when the calling thread does the work.
 */
export function countCpu(stats: StageStats, bytes: number, workMs: number, threads: number): void {
  stats.blocks++;
  stats.bytes += bytes;
  stats.workMs += workMs;
  stats.busyMs += workMs / Math.max(1, threads);
}

type ClockCounter = 'busyMs' | 'waitSlotMs';

const clocks = new WeakMap<StageStats, Map<ClockCounter, BusyClock>>();

/**
 * The clock of one counter. Stages that count into the same statistics share it, so that
 * overlapping time counts once.
 */
export function clockOf(stats: StageStats, counter: ClockCounter = 'busyMs'): BusyClock {
  const known = clocks.get(stats) ?? new Map<ClockCounter, BusyClock>();
  clocks.set(stats, known);
  const clock = known.get(counter) ?? new BusyClock(stats, counter);
  known.set(counter, clock);
  return clock;
}

/** Measures pieces of work, or of waiting, that may overlap, into {@link StageStats}. */
export class BusyClock {
  readonly #stats: StageStats;
  readonly #counter: ClockCounter;
  #active = 0;
  #since = 0;

  constructor(stats: StageStats, counter: ClockCounter) {
    this.#stats = stats;
    this.#counter = counter;
  }

  /** Starts one piece of work; returns its start time in milliseconds. */
  start(): number {
    const now = performance.now();
    if (this.#active++ === 0) this.#since = now;
    return now;
  }

  /** Ends the piece that started at `startedAtMs`, the value that `start` returned. */
  stop(startedAtMs: number): void {
    const now = performance.now();
    if (this.#counter === 'busyMs') this.#stats.workMs += now - startedAtMs;
    if (--this.#active === 0) this.#stats[this.#counter] += now - this.#since;
  }

  /** Measures `work` from its start until its promise settles. */
  async time<T>(work: () => Promise<T>): Promise<T> {
    const startedAtMs = this.start();
    try {
      return await work();
    } finally {
      this.stop(startedAtMs);
    }
  }
}
