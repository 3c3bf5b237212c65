/**
 * Counters of a stage: plain numbers that a sampler may read at any time, no events per block.
 *
 * `busyMs` is wall time during which at least one piece of work was under way, so it never exceeds
 * the run; `workMs` is the sum over parallel pieces and may exceed it.
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

/** Measures overlapping pieces of work of one stage into its {@link StageStats}. */
export class BusyClock {
  readonly #stats: StageStats;
  #active = 0;
  #since = 0;

  constructor(stats: StageStats) {
    this.#stats = stats;
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
    this.#stats.workMs += now - startedAtMs;
    if (--this.#active === 0) this.#stats.busyMs += now - this.#since;
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
