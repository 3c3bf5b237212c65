/**
 * A limit for bytes that are in memory at the same time. A waiter whose owner holds least comes
 * first, so that owners who never give back do not keep others waiting for ever.
 */

interface Waiter {
  readonly owner: object;
  readonly bytes: number;
  readonly start: () => void;
}

export class ByteBudget {
  readonly #limitBytes: number;
  #usedBytes = 0;
  readonly #heldBytes = new WeakMap<object, number>();
  readonly #waiters: Waiter[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Somebody waits for bytes that others hold. */
  get isContended(): boolean {
    return this.#waiters.length > 0;
  }

  /** Resolves when `bytes` fit. More than the limit waits until nothing else is in use. */
  async take(owner: object, bytes: number): Promise<void> {
    if (this.#waiters.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((resolve) => this.#waiters.push({ owner, bytes, start: resolve }));
    } else this.#add(owner, bytes);
  }

  /** Gives back what {@link take} took. */
  give(owner: object, bytes: number): void {
    this.#add(owner, -bytes);
    for (let next = this.#next(); next && this.#fits(next.bytes); next = this.#next()) {
      this.#waiters.splice(this.#waiters.indexOf(next), 1);
      this.#add(next.owner, next.bytes);
      next.start();
    }
  }

  /** Runs `work` when `bytes` fit. */
  async use<T>(owner: object, bytes: number, work: () => Promise<T>): Promise<T> {
    await this.take(owner, bytes);
    try {
      return await work();
    } finally {
      this.give(owner, bytes);
    }
  }

  #add(owner: object, bytes: number): void {
    this.#usedBytes += bytes;
    this.#heldBytes.set(owner, this.#heldBy(owner) + bytes);
  }

  #heldBy(owner: object): number {
    return this.#heldBytes.get(owner) ?? 0;
  }

  /** The first of the waiters whose owner holds least. */
  #next(): Waiter | undefined {
    let best = this.#waiters[0];
    for (const waiter of this.#waiters) {
      if (best && this.#heldBy(waiter.owner) < this.#heldBy(best.owner)) best = waiter;
    }
    return best;
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#limitBytes;
  }
}
