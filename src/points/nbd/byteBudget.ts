/** A limit for bytes that are in memory at the same time. Waiters are served in order. */

interface Waiter {
  readonly bytes: number;
  readonly start: () => void;
}

export class ByteBudget {
  readonly #limitBytes: number;
  #usedBytes = 0;
  readonly #waiters: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Somebody waits for bytes that others hold. */
  get isContended(): boolean {
    return this.#waiters.length > 0;
  }

  /** Resolves when `bytes` fit. More than the limit waits until nothing else is in use. */
  async take(bytes: number): Promise<void> {
    if (this.#waiters.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((resolve) => this.#waiters.push({ bytes, start: resolve }));
    } else this.#usedBytes += bytes;
  }

  /** Gives back what {@link take} took. */
  give(bytes: number): void {
    this.#usedBytes -= bytes;
    for (let next = this.#waiters[0]; next && this.#fits(next.bytes); next = this.#waiters[0]) {
      this.#waiters.shift();
      this.#usedBytes += next.bytes;
      next.start();
    }
  }

  /** Runs `work` when `bytes` fit. */
  async use<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await this.take(bytes);
    try {
      return await work();
    } finally {
      this.give(bytes);
    }
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#limitBytes;
  }
}
