/**
 * Base of stages that work on several records at once: results leave in the order of the records.
 *
 * A record is accepted while fewer than `concurrency` are inside; a finished head leaves as soon as the
 * reader of this stage wants it. `destroy` waits for work in progress, so that nothing touches a slot
 * after `close`.
 */
import { Duplex } from 'node:stream';
import type { StageStats } from '../core/stats.ts';

export interface OrderedStageOptions<In, Out> {
  /** Records inside at once, at least 1. */
  readonly concurrency: number;
  /**
   * Work on one record; called in record order. Returns what takes the record's place: nothing, one or
   * several records. A rejection ends the stream.
   */
  readonly run: (record: In) => readonly Out[] | Promise<readonly Out[]>;
  readonly stats: StageStats;
}

interface Entry<Out> {
  results: readonly Out[] | undefined;
  settledAtMs: number;
  readonly work: Promise<unknown>;
}

type Callback = (error?: Error | null) => void;

export class OrderedStage<In, Out> extends Duplex {
  readonly #options: OrderedStageOptions<In, Out>;
  readonly #window: Entry<Out>[] = [];
  #readerWaits = false;
  #ended = false;
  #accept: Callback | undefined;

  constructor(options: OrderedStageOptions<In, Out>) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#options = options;
  }

  override _write(record: In, _encoding: BufferEncoding, accept: Callback): void {
    try {
      this.#add(this.#options.run(record));
    } catch (error) {
      accept(error as Error);
      return;
    }
    if (this.#window.length < this.#options.concurrency) accept();
    else this.#accept = accept;
    this.#drain();
  }

  override _read(): void {
    this.#readerWaits = true;
    this.#drain();
  }

  override _final(done: Callback): void {
    this.#ended = true;
    this.#drain();
    done();
  }

  override _destroy(error: Error | null, done: Callback): void {
    const work = this.#window.splice(0).map((entry) => entry.work);
    void Promise.allSettled(work).then(() => done(error));
  }

  #add(output: readonly Out[] | Promise<readonly Out[]>): void {
    if (!(output instanceof Promise)) {
      this.#window.push({ results: output, settledAtMs: 0, work: Promise.resolve() });
      return;
    }
    const settle = (results: readonly Out[]): void => {
      entry.results = results;
      entry.settledAtMs = performance.now();
      this.#drain();
    };
    const work = output.then(settle, (error: Error) => {
      this.destroy(error);
    });
    const entry: Entry<Out> = { results: undefined, settledAtMs: 0, work };
    this.#window.push(entry);
  }

  #drain(): void {
    while (this.#readerWaits && this.#window[0]?.results) this.#emitHead();
    const accept = this.#accept;
    if (accept && this.#window.length < this.#options.concurrency) {
      this.#accept = undefined;
      accept();
    }
    if (this.#ended && this.#window.length === 0 && !this.readableEnded) {
      this.#ended = false;
      this.push(null);
    }
  }

  /** Pushes all results of the head; several results of one record may exceed the high-water mark. */
  #emitHead(): void {
    const entry = this.#window.shift();
    if (!entry) return;
    if (entry.settledAtMs > 0) {
      this.#options.stats.waitDownstreamMs += performance.now() - entry.settledAtMs;
    }
    for (const result of entry.results ?? []) this.#readerWaits = this.push(result);
  }
}
