/** Locks for ranges of clusters. Ranges that overlap are worked on one after the other. */

interface Held {
  readonly first: number;
  readonly end: number;
  /** Never rejects. */
  readonly done: Promise<unknown>;
}

export class RangeLock {
  readonly #held = new Set<Held>();

  /**
   * Runs `work` when all earlier work on clusters of `[first, end)` has ended. Nobody waits for
   * later work, so nobody waits for ever.
   */
  async use<T>(first: number, end: number, work: () => Promise<T>): Promise<T> {
    const before = [...this.#held]
      .filter((one) => one.first < end && first < one.end)
      .map(({ done }) => done);
    const running = Promise.all(before).then(work);
    const own = { first, end, done: running.catch(() => {}) };
    this.#held.add(own);
    try {
      return await running;
    } finally {
      this.#held.delete(own);
    }
  }
}
