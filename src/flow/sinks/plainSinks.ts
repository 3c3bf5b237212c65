/**
 * Sinks that need no container: to a raw file, to NDJSON, to a callback, to nowhere. They also show
 * how to write a sink of your own: an object-mode Writable that releases the slots it gets.
 */
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { toOutputError } from '../../core/errors.ts';
import { BulkWriter, SyncAhead } from '../../core/fileWrites.ts';
import { type DataBlock, type HashedBlock, type ZeroRun, releaseSlot } from '../records.ts';
import { ConcurrentSink, type ConcurrentSinkOptions } from '../concurrentSink.ts';
import type { Sink } from '../connect.ts';

type Callback = (error?: Error | null) => void;

/**
 * Wraps a consumer as a sink. Records come one at a time, in order.
 *
 * Ownership: the slot of a record is released when `consume` ends, also when it fails.
 *
 * @param consume - its `signal` is aborted when the chain ends early. The chain rejects only after
 *   `consume` has ended, so a wait in it has to honour `signal`.
 * @param finish - called after the last record, with the same signal and the same duty.
 */
export function callbackSink<In extends object>(
  consume: ConcurrentSinkOptions<In>['consume'],
  finish?: ConcurrentSinkOptions<In>['finish'],
): Sink<In> {
  return new ConcurrentSink<In>({ concurrency: 1, consume, finish });
}

/** Releases everything. For benchmarks and dry runs. */
export function nullSink<In extends object>(): Sink<In> {
  return callbackSink<In>(() => {});
}

/** One JSON line per record, without the bytes; `fingerprint` and `digest` are hexadecimal. */
export function describeRecord(record: object): Record<string, unknown> {
  const line: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(record)) {
    if (key === 'slot') continue;
    if (typeof value === 'bigint') line[key] = value.toString(16).padStart(16, '0');
    else if (value instanceof Uint8Array) line[key] = Buffer.from(value).toString('hex');
    else line[key] = value;
  }
  return line;
}

/** Writes one line per record to `output` and waits while that is full. `output` is not ended. */
export function ndjsonSink<In extends object>(output: Writable): Sink<In> {
  return callbackSink<In>(async (record, signal) => {
    const line = `${JSON.stringify(describeRecord(record))}\n`;
    if (!output.write(line)) await once(output, 'drain', { signal });
  });
}

/** Blocks that are taken while others are written. Neighbours among them leave in one write. */
const MAX_WAITING = 8;

type FileRecord = DataBlock | HashedBlock | ZeroRun;

/** Bytes of data blocks without a gap between them in the disk. */
interface Stretch {
  readonly offsetBytes: number;
  endBytes: number;
  readonly pieces: Uint8Array[];
}

function stretchesOf(records: readonly FileRecord[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const record of records) {
    if (record.kind === 'zero') continue;
    const { offsetBytes, lengthBytes } = record;
    const piece = record.slot.bytes.subarray(0, lengthBytes);
    const last = stretches.at(-1);
    if (last?.endBytes === offsetBytes) {
      last.pieces.push(piece);
      last.endBytes += lengthBytes;
    } else stretches.push({ offsetBytes, endBytes: offsetBytes + lengthBytes, pieces: [piece] });
  }
  return stretches;
}

/**
 * Accepts records at once while fewer than {@link MAX_WAITING} wait. It is no {@link
 * ConcurrentSink}, because that works on each record alone, and neighbours leave in one write here.
 */
class RawFileSink extends Writable {
  readonly #writer: BulkWriter;
  readonly #name: string;
  readonly #syncs: SyncAhead;
  #waiting: FileRecord[] = [];
  /** Accepts the last record, which came while too many waited. */
  #accept: Callback | undefined;
  /** Ends with the writes that are under way. Never rejects. */
  #work: Promise<void> = Promise.resolve();
  #isWriting = false;

  constructor(file: FileHandle, name: string) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#writer = new BulkWriter(file);
    this.#name = name;
    this.#syncs = new SyncAhead(() => file.datasync());
  }

  override _write(record: FileRecord, _encoding: BufferEncoding, done: Callback): void {
    this.#waiting.push(record);
    if (this.#waiting.length < MAX_WAITING) done();
    else this.#accept = done;
    if (!this.#isWriting) this.#work = this.#pump();
  }

  override _final(done: Callback): void {
    this.#settle().then(() => done(), done);
  }

  /** Waits for writes under way: after `close` the caller closes the file and ends the lease. */
  override _destroy(error: Error | null, done: Callback): void {
    for (const record of this.#waiting.splice(0)) releaseSlot(record);
    const end = (): void => done(error);
    this.#settle().then(end, end);
  }

  /** Writes the waiting records, and those that come meanwhile. */
  async #pump(): Promise<void> {
    this.#isWriting = true;
    try {
      while (this.#waiting.length > 0) {
        const records = this.#waiting;
        this.#waiting = [];
        this.#acceptNext();
        await this.#take(records);
      }
    } catch (error) {
      this.destroy(error as Error);
    } finally {
      this.#isWriting = false;
    }
  }

  #acceptNext(): void {
    const accept = this.#accept;
    this.#accept = undefined;
    accept?.();
  }

  async #take(records: readonly FileRecord[]): Promise<void> {
    try {
      if (this.#syncs.failure) throw this.#syncs.failure;
      for (const { offsetBytes, endBytes, pieces } of stretchesOf(records)) {
        await this.#writer.write(pieces, offsetBytes);
        this.#syncs.add(endBytes - offsetBytes);
      }
    } catch (error) {
      throw toOutputError(this.#name, error);
    } finally {
      for (const record of records) releaseSlot(record);
    }
  }

  async #endFile(): Promise<void> {
    try {
      await this.#syncs.settle();
    } finally {
      await this.#writer.close();
    }
  }

  async #settle(): Promise<void> {
    await this.#work;
    try {
      await this.#endFile();
    } catch (error) {
      throw toOutputError(this.#name, error);
    }
  }
}

/**
 * Writes blocks at their place in a raw file. The file has to be new and of its full size, so that
 * zero runs stay holes. Written bytes are synced every 64 MiB. The caller makes the last sync and
 * closes the file. Errors of the stream: `OUTPUT_FULL`, `OUTPUT_IO`.
 *
 * @param name - the file's name for messages.
 */
export function rawFileSink(
  file: FileHandle,
  name: string,
): Sink<DataBlock | HashedBlock | ZeroRun> {
  return new RawFileSink(file, name);
}
