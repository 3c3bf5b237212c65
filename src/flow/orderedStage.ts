/**
 * Base of stages that work on several records at the same time. Results leave in the order of the
 * records.
 *
 * The next record is accepted while fewer than `concurrency` are inside. The oldest record leaves
 * when its work is done and the reader of this stage wants it. `destroy` aborts work that waits for
 * something, and waits for all work before the stage closes. Otherwise work would use slots after
 * their lease has ended.
 */
import { setMaxListeners } from 'node:events';
import { Duplex } from 'node:stream';
import type { StageStats } from '../core/stats.ts';

export interface OrderedStageOptions<In, Out> {
  /** Records inside at the same time, at least 1. */
  readonly concurrency: number;
  /**
   * Work on one record; called in record order. Returns the records that take its place: none, one
   * or several. A generator is pulled only as fast as the reader of the stage takes records. A
   * rejection ends the stream. `signal` is aborted when the stage is destroyed; every wait in the
   * work has to honour it.
   */
  readonly run: (record: In, signal: AbortSignal) => Iterable<Out> | Promise<Iterable<Out>>;
  readonly stats: StageStats;
}

interface Entry<Out> {
  results: Iterator<Out> | undefined;
  settledAtMs: number;
  readonly work: Promise<unknown>;
}

type Callback = (error?: Error | null) => void;

export class OrderedStage<In, Out> extends Duplex {
  readonly #options: OrderedStageOptions<In, Out>;
  readonly #window: Entry<Out>[] = [];
  readonly #stop = new AbortController();
  #readerWaits = false;
  #ended = false;
  #accept: Callback | undefined;

  constructor(options: OrderedStageOptions<In, Out>) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#options = options;
    setMaxListeners(0, this.#stop.signal);
  }

  override _write(record: In, _encoding: BufferEncoding, accept: Callback): void {
    try {
      this.#add(this.#options.run(record, this.#stop.signal));
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
    this.#stop.abort(error ?? new Error('the stage was closed'));
    void this.#settleWindow().then(() => done(error));
  }

  /**
   * When `run` destroys the stage, the work of that record is added a moment later. Hence the loop.
   */
  async #settleWindow(): Promise<void> {
    do {
      await Promise.allSettled(this.#window.splice(0).map((entry) => entry.work));
    } while (this.#window.length > 0);
  }

  #add(output: Iterable<Out> | Promise<Iterable<Out>>): void {
    if (!(output instanceof Promise)) {
      const results = output[Symbol.iterator]();
      this.#window.push({ results, settledAtMs: 0, work: Promise.resolve() });
      return;
    }
    const settle = (results: Iterable<Out>): void => {
      entry.results = results[Symbol.iterator]();
      entry.settledAtMs = performance.now();
      this.#drain();
    };
    const work = output.then(settle, (error: unknown) => {
      // A stream that is destroyed without an error seems to go on.
      this.destroy(error instanceof Error ? error : new Error(String(error)));
    });
    const entry: Entry<Out> = { results: undefined, settledAtMs: 0, work };
    this.#window.push(entry);
  }

  #drain(): void {
    while (this.#readerWaits && this.#window[0]?.results) this.#emitOne(this.#window[0]);
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

  /**
   * Pushes the next result of the oldest record. A record without further results leaves the
   * window.
   */
  #emitOne(head: Entry<Out>): void {
    const next = head.results?.next();
    if (head.settledAtMs > 0) {
      this.#options.stats.waitDownstreamMs += performance.now() - head.settledAtMs;
      head.settledAtMs = 0;
    }
    if (!next || next.done) this.#window.shift();
    else this.#readerWaits = this.push(next.value);
  }
}
