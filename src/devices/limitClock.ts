/** Measures the time in which requests wait for a limit and no other request is under way. */
export class LimitClock {
  #waiting = 0;
  #working = 0;
  #changedAtMs = 0;
  #totalMs = 0;

  /** Without the waits that have not ended. */
  get totalMs(): number {
    return this.#totalMs;
  }

  /** Runs the wait of a request. */
  async wait(wait: () => Promise<void>): Promise<void> {
    this.#change(1, 0);
    try {
      await wait();
    } finally {
      this.#change(-1, 0);
    }
  }

  /** Runs a request. */
  async work<T>(work: () => Promise<T>): Promise<T> {
    this.#change(0, 1);
    try {
      return await work();
    } finally {
      this.#change(0, -1);
    }
  }

  #change(waiting: number, working: number): void {
    const nowMs = performance.now();
    if (this.#waiting > 0 && this.#working === 0) this.#totalMs += nowMs - this.#changedAtMs;
    this.#changedAtMs = nowMs;
    this.#waiting += waiting;
    this.#working += working;
  }
}
