/**
 * The clock of the engine. Delays are given in seconds of a real engine and scaled here. Timers do
 * not keep the process alive, and none fires after `close`.
 */

/** A delay that has not passed yet. */
export interface EngineTimer {
  cancel(): void;
}

export class EngineScheduler {
  readonly #timeScale: number;
  readonly #pending = new Set<NodeJS.Timeout>();
  #closed = false;

  constructor(timeScale: number) {
    this.#timeScale = timeScale;
  }

  /** Milliseconds that a delay of the engine takes in this process. */
  realMs(delaySeconds: number): number {
    return delaySeconds * 1000 * this.#timeScale;
  }

  after(delaySeconds: number, action: () => void): EngineTimer {
    if (this.#closed) return { cancel: () => undefined };
    const timer = setTimeout(() => {
      this.#pending.delete(timer);
      action();
    }, this.realMs(delaySeconds));
    timer.unref();
    this.#pending.add(timer);
    return { cancel: () => this.#cancel(timer) };
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#pending) clearTimeout(timer);
    this.#pending.clear();
  }

  #cancel(timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.#pending.delete(timer);
  }
}
