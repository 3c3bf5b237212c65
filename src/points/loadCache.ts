/** A bounded cache of loaded values. The least recently used one leaves first. */
export class LoadCache<Value> {
  readonly #maxCount: number;
  /** Ordered by use; the least recently used entry is first. */
  readonly #entries = new Map<string, Promise<Value>>();

  /** @param maxCount - values that are kept. */
  constructor(maxCount: number) {
    this.#maxCount = maxCount;
  }

  /**
   * The cached value, or the one that `load` gives. Readers of one value share a load. A load that
   * fails is not kept.
   *
   * @returns a value that the caller must not change.
   */
  async get(key: string, load: () => Promise<Value>): Promise<Value> {
    const value = this.#entries.get(key) ?? load();
    this.#entries.delete(key);
    this.#entries.set(key, value);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxCount) break;
      this.#entries.delete(oldest);
    }
    try {
      return await value;
    } catch (error) {
      if (this.#entries.get(key) === value) this.#entries.delete(key);
      throw error;
    }
  }
}
