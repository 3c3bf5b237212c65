/**
 * Writes sealed bytes from the ring to the storage below, in ascending order and in whole pages.
 * Whole pages bypass the page cache (see `BulkWriter`). The begun page at the end waits in the
 * ring, until more bytes complete it or {@link RingWriter.flush} writes it as it is.
 */
import type { Storage } from '../../storage.ts';
import type { Ring } from './ring.ts';

const PAGE_BYTES = 4096;
const MAX_WRITES = 2;
const MAX_WRITE_BYTES = 4 << 20;

function pageBefore(offsetBytes: number): number {
  return offsetBytes - (offsetBytes % PAGE_BYTES);
}

export class RingWriter {
  readonly #storage: Storage;
  readonly #ring: Ring;
  /** Begin of each write under way. */
  readonly #underWay = new Set<number>();
  /** Counts calls of {@link RingWriter.begin}. */
  #run = 0;
  /** Bytes of whole pages before this offset are written, or their write is under way. */
  #startedBytes = 0;
  /** Bytes before this offset are sealed. */
  #readyBytes = 0;
  /** Bytes before this offset were written by a flush. */
  #flushedBytes = 0;
  #isFlushing = false;
  #failure: Error | undefined;
  #waiters: (() => void)[] = [];

  constructor(storage: Storage, ring: Ring) {
    this.#storage = storage;
    this.#ring = ring;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  /** The ring holds nothing; the next bytes follow from `offsetBytes` on. Call it when idle. */
  begin(offsetBytes: number): void {
    this.#run++;
    this.#startedBytes = offsetBytes;
    this.#readyBytes = offsetBytes;
    this.#flushedBytes = offsetBytes;
  }

  /** The bytes before `endBytes` lie in the ring. */
  ready(endBytes: number): void {
    this.#readyBytes = endBytes;
    this.#changed();
  }

  fail(error: Error): void {
    this.#failure ??= error;
    this.#changed();
  }

  /** Waits until the ring has room for the bytes before `endBytes`. */
  async room(endBytes: number): Promise<void> {
    await this.#until(() => endBytes - this.#heldBytes() <= this.#ring.sizeBytes);
  }

  /**
   * Waits until the bytes before `endBytes` are written, or wait for the rest of their page. All
   * bytes of an earlier run are written.
   */
  async settle(endBytes: number): Promise<void> {
    const run = this.#run;
    const untilBytes = pageBefore(endBytes);
    await this.#until(
      () => run !== this.#run || (this.#readyBytes >= endBytes && this.#isWritten(untilBytes)),
    );
  }

  /** Waits until the bytes before `endBytes` are written. */
  async flush(endBytes: number): Promise<void> {
    const run = this.#run;
    await this.settle(endBytes);
    while (run === this.#run && !this.#isWritten(endBytes)) {
      if (this.#underWay.size === 0 && !this.#isFlushing) await this.#writeTail();
      else await this.#change();
      if (this.#failure) throw this.#failure;
    }
  }

  /** Waits until no write is under way, whether they succeed or not. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0 || this.#isFlushing) await this.#change();
  }

  #isWritten(endBytes: number): boolean {
    return Math.max(this.#heldBytes(), this.#flushedBytes) >= endBytes;
  }

  /** Bytes from here on must stay in the ring. */
  #heldBytes(): number {
    return Math.min(this.#startedBytes, ...this.#underWay);
  }

  async #until(isTrue: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      if (isTrue()) return;
      await this.#change();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  #changed(): void {
    this.#pump();
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve();
  }

  #pump(): void {
    while (!this.#failure && !this.#isFlushing && this.#underWay.size < MAX_WRITES) {
      const from = this.#startedBytes;
      const isAligned = from % PAGE_BYTES === 0;
      const pageEnd = pageBefore(from) + PAGE_BYTES;
      const end = isAligned
        ? Math.min(pageBefore(this.#readyBytes), from + MAX_WRITE_BYTES)
        : pageEnd;
      if (end <= from || end > this.#readyBytes) return;
      this.#startedBytes = end;
      void this.#writePages(from, end);
    }
  }

  async #writePages(from: number, end: number): Promise<void> {
    this.#underWay.add(from);
    await this.#write(from, end);
    this.#underWay.delete(from);
    this.#changed();
  }

  /** The page is written again when it is complete. */
  async #writeTail(): Promise<void> {
    const end = this.#readyBytes;
    this.#isFlushing = true;
    await this.#write(this.#startedBytes, end);
    this.#isFlushing = false;
    this.#flushedBytes = end;
    this.#changed();
  }

  async #write(from: number, end: number): Promise<void> {
    try {
      await this.#storage.write(this.#ring.at(from, end - from), from);
    } catch (error) {
      this.#failure ??= error as Error;
    }
  }
}
