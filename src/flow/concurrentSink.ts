/**
 * Base of sinks that work on several records at the same time.
 *
 * The next record is accepted while fewer than `concurrency` are in flight. `destroy` waits for the
 * work in flight before the sink closes. Otherwise work would use slots after their lease has
 * ended.
 */
import { Writable } from 'node:stream';
import { releaseSlot } from './records.ts';

export interface ConcurrentSinkOptions<In> {
  /** Records in flight at the same time, at least 1. */
  readonly concurrency: number;
  /**
   * Work on one record; called in record order. The slot of the record is released when the work
   * ends, also when it fails. A rejection or a throw ends the stream with that error. `signal` is
   * aborted when the sink is destroyed; every wait in the work has to honour it.
   */
  readonly consume: (record: In, signal: AbortSignal) => Promise<void> | void;
  /**
   * Called after the work on all records has ended; not called when the sink was destroyed before.
   * `signal` is the one of `consume`, and every wait has to honour it as well.
   */
  readonly finish?: ((signal: AbortSignal) => Promise<void> | void) | undefined;
}

type Callback = (error?: Error | null) => void;

export class ConcurrentSink<In extends object> extends Writable {
  readonly #options: ConcurrentSinkOptions<In>;
  /** Work that has not ended. None of it rejects. */
  readonly #inFlight = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #accept: Callback | undefined;
  #finishing: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(options: ConcurrentSinkOptions<In>) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#options = options;
  }

  override _write(record: In, _encoding: BufferEncoding, accept: Callback): void {
    const work = this.#take(record).then(() => {
      this.#inFlight.delete(work);
      this.#acceptNext();
    });
    this.#inFlight.add(work);
    this.#accept = accept;
    this.#acceptNext();
  }

  override _final(done: Callback): void {
    this.#finishing = this.#finish();
    this.#finishing.then(() => done(), done);
  }

  override _destroy(error: Error | null, done: Callback): void {
    this.#stop.abort(error ?? new Error('the sink was closed'));
    void this.#close().then(() => done(error));
  }

  async #take(record: In): Promise<void> {
    try {
      await this.#consume(record);
    } catch (error) {
      this.#failure ??= error as Error;
      this.destroy(this.#failure);
    }
  }

  async #consume(record: In): Promise<void> {
    try {
      await this.#options.consume(record, this.#stop.signal);
    } finally {
      releaseSlot(record);
    }
  }

  #acceptNext(): void {
    const accept = this.#accept;
    if (!accept || this.#inFlight.size >= this.#options.concurrency) return;
    this.#accept = undefined;
    accept(this.#failure);
  }

  async #finish(): Promise<void> {
    await this.#settle();
    if (!this.destroyed) await this.#options.finish?.(this.#stop.signal);
  }

  async #close(): Promise<void> {
    await this.#settle();
    await this.#finishing?.catch(() => {});
  }

  /**
   * When `consume` destroys the sink, the work of that record is added a moment later. Hence the
   * loop.
   */
  async #settle(): Promise<void> {
    do {
      await Promise.all(this.#inFlight);
    } while (this.#inFlight.size > 0);
  }
}
