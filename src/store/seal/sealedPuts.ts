/** Writes of sealed chunks to the storage below. They may overtake each other. */
import type { Storage } from '../storage.ts';
import { BATCH_CHUNKS } from './chunkReads.ts';
import { sealedStartOf } from './sealFormat.ts';

/** Writes that one caller may have under way before it must wait. */
const MAX_AHEAD = 4;

interface Put {
  readonly first: number;
  readonly end: number;
  readonly done: Promise<void>;
}

export class SealedPuts {
  readonly #storage: Storage;
  readonly #underWay = new Set<Put>();
  #failure: Error | undefined;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  /** First error of a write. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /**
   * Starts a write of the chunks from `first` to `end - 1`. It waits for writes of the same chunks.
   * Its error is kept too, so nobody has to await the promise.
   */
  start(first: number, end: number, pieces: readonly Buffer[]): Promise<void> {
    const before = this.#touching(first, end);
    const write = (): Promise<void> => this.#storage.write(pieces, sealedStartOf(first));
    const done = before.length === 0 ? write() : Promise.all(before).then(write);
    const put = { first, end, done };
    this.#underWay.add(put);
    done.then(
      () => this.#underWay.delete(put),
      (error: unknown) => {
        this.#failure ??= error as Error;
        this.#underWay.delete(put);
      },
    );
    return done;
  }

  /** Waits for the writes of these chunks that are under way; of all chunks by default. */
  async settle(first = 0, end: number = Number.POSITIVE_INFINITY): Promise<void> {
    await Promise.all(this.#touching(first, end));
    if (this.#failure) throw this.#failure;
  }

  #touching(first: number, end: number): Promise<void>[] {
    return [...this.#underWay]
      .filter((put) => put.first < end && put.end > first)
      .map(({ done }) => done);
  }
}

/** Gathers sealed chunks of one caller into few writes, in the order of the calls. */
export class PutBatch {
  readonly #puts: SealedPuts;
  readonly #started: Promise<void>[] = [];
  #first = 0;
  #end = 0;
  #pieces: Buffer[] = [];

  constructor(puts: SealedPuts) {
    this.#puts = puts;
  }

  async add(chunk: number, pieces: readonly Buffer[]): Promise<void> {
    const isNext = chunk === this.#end && this.#end - this.#first < BATCH_CHUNKS;
    if (!isNext) await this.flush();
    if (this.#pieces.length === 0) this.#first = chunk;
    this.#pieces.push(...pieces);
    this.#end = chunk + 1;
  }

  /** Starts the write of what was gathered. Waits while too many are under way. */
  async flush(): Promise<void> {
    if (this.#pieces.length > 0) {
      this.#started.push(this.#puts.start(this.#first, this.#end, this.#pieces));
      this.#pieces = [];
    }
    await this.#started.at(-MAX_AHEAD);
  }

  /** Waits for all writes that were started. */
  async settle(): Promise<void> {
    await Promise.all(this.#started);
  }
}
