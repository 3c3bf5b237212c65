/**
 * Counters of a stage: plain numbers that a sampler may read at any time, no events per block.
 *
 * `busyMs` is wall time during which at least one piece of work was under way (for the CPU stages: CPU time
 * divided by the threads), so it does not exceed the run. `workMs` is the sum over parallel pieces and may.
 * `waitSlotMs` is wall time during which at least one record waited for a slot, that is for the stages
 * behind; `waitDownstreamMs` is the sum over finished records that the next stage did not take yet.
 */
export interface StageStats {
  blocks: number;
  bytes: number;
  busyMs: number;
  workMs: number;
  waitSlotMs: number;
  waitDownstreamMs: number;
}

export function createStageStats(): StageStats {
  return { blocks: 0, bytes: 0, busyMs: 0, workMs: 0, waitSlotMs: 0, waitDownstreamMs: 0 };
}

/** Counts one block of a CPU stage that spent `workMs` on one of `threads` threads (0: the calling one). */
export function countCpu(stats: StageStats, bytes: number, workMs: number, threads: number): void {
  stats.blocks++;
  stats.bytes += bytes;
  stats.workMs += workMs;
  stats.busyMs += workMs / Math.max(1, threads);
}

type ClockCounter = 'busyMs' | 'waitSlotMs';

const clocks = new WeakMap<StageStats, Map<ClockCounter, BusyClock>>();

/** The clock of a counter: stages that count into the same statistics share it, so that time counts once. */
export function clockOf(stats: StageStats, counter: ClockCounter = 'busyMs'): BusyClock {
  const known = clocks.get(stats) ?? new Map<ClockCounter, BusyClock>();
  clocks.set(stats, known);
  const clock = known.get(counter) ?? new BusyClock(stats, counter);
  known.set(counter, clock);
  return clock;
}

/** Measures overlapping pieces of work, or of waiting, into {@link StageStats}. */
export class BusyClock {
  readonly #stats: StageStats;
  readonly #counter: ClockCounter;
  #active = 0;
  #since = 0;

  constructor(stats: StageStats, counter: ClockCounter) {
    this.#stats = stats;
    this.#counter = counter;
  }

  /** Marks the start of one piece of work and returns its start time. */
  start(): number {
    const now = performance.now();
    if (this.#active++ === 0) this.#since = now;
    return now;
  }

  /** Marks the end of the piece that began at `startedAtMs` (the value `start` returned). */
  stop(startedAtMs: number): void {
    const now = performance.now();
    if (this.#counter === 'busyMs') this.#stats.workMs += now - startedAtMs;
    if (--this.#active === 0) this.#stats[this.#counter] += now - this.#since;
  }

  /** Runs `work` under the clock. */
  async time<T>(work: () => Promise<T>): Promise<T> {
    const startedAtMs = this.start();
    try {
      return await work();
    } finally {
      this.stop(startedAtMs);
    }
  }
}
