/** A bounded cache of loaded values. The least recently used one leaves first. */

interface Entry<Value> {
  readonly value: Promise<Value>;
  readonly sizeBytes: number;
}

export class LoadCache<Value> {
  readonly #maxBytes: number;
  /** Ordered by use; the least recently used entry is first. */
  readonly #entries = new Map<string, Entry<Value>>();
  #sizeBytes = 0;

  /** @param maxBytes - memory of all values that are kept. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The cached value, or the one that `load` gives. Readers of one value share a load. A load that
   * fails is not kept.
   *
   * @param sizeBytes - memory of the value.
   * @returns a value that the caller must not change.
   */
  async get(key: string, sizeBytes: number, load: () => Promise<Value>): Promise<Value> {
    const known = this.#entries.get(key);
    if (known) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return await known.value;
    }
    const entry = { value: load(), sizeBytes };
    this.#entries.set(key, entry);
    this.#sizeBytes += sizeBytes;
    this.#shrink();
    try {
      return await entry.value;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#remove(key, entry);
      throw error;
    }
  }

  #shrink(): void {
    for (const [key, entry] of this.#entries) {
      if (this.#sizeBytes <= this.#maxBytes) return;
      this.#remove(key, entry);
    }
  }

  #remove(key: string, entry: Entry<Value>): void {
    this.#entries.delete(key);
    this.#sizeBytes -= entry.sizeBytes;
  }
}
