/** A bounded cache of expanded blocks. The least recently used one leaves first. */

interface Entry {
  readonly bytes: Promise<Buffer>;
  readonly sizeBytes: number;
}

export class BlockCache {
  readonly #maxBytes: number;
  /** Ordered by use; the least recently used entry is first. */
  readonly #entries = new Map<string, Entry>();
  #sizeBytes = 0;

  /** @param maxBytes - bytes of all blocks that are kept. Less than one block keeps nothing. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /**
   * The cached block, or the one that `load` gives. Readers of one block share a load. A load that
   * fails is not kept.
   *
   * @returns bytes that the caller must not change.
   */
  async get(key: string, sizeBytes: number, load: () => Promise<Buffer>): Promise<Buffer> {
    const known = this.#entries.get(key);
    if (known) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return await known.bytes;
    }
    const entry = { bytes: load(), sizeBytes };
    this.#entries.set(key, entry);
    this.#sizeBytes += sizeBytes;
    this.#shrink();
    try {
      return await entry.bytes;
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

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#sizeBytes -= entry.sizeBytes;
  }
}
