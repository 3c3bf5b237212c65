/** Passes blocks to a sink of the user: an object with `block` and `zero`, or a Writable. */
import { finished } from 'node:stream/promises';
import { Writable } from 'node:stream';
import type { StoredCodec } from '../../compute/storedForm.ts';
import { LZ4_HEADER_BYTES } from '../../compute/storedForm.ts';
import type { DataBlock, HashedBlock, PackedBlock, SinkBlock } from '../records.ts';
import type { SlabLease, Slot } from '../slab.ts';

/** A block of a disk. */
export interface PipedBlock {
  readonly kind: 'block';
  readonly diskId: string;
  readonly offsetBytes: number;
  /** Plain bytes of the block. Only the last block of a disk may be short. */
  readonly lengthBytes: number;
  /** `lz4`: `bytes` is one raw LZ4 block. `plain`: the bytes of the disk. */
  readonly codec: StoredCodec;
  /**
   * Valid until the promise of `block` settles, or until the callback of a Writable is called. Its
   * memory holds another block afterwards. Copy it to keep it.
   */
  readonly bytes: Buffer;
}

/** A range of zeros. In an incremental read it replaces what was there. */
export interface PipedZero {
  readonly kind: 'zero';
  readonly diskId: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export type PipedRecord = PipedBlock | PipedZero;

/**
 * Receives a disk, one record at a time, by ascending offset. The next one waits for its promise.
 */
export interface BlockSink {
  block(block: PipedBlock): Promise<unknown> | void;
  zero(zero: PipedZero): Promise<unknown> | void;
}

/** Records that a chain gives to a sink of the user. */
export type SinkRecord = SinkBlock | DataBlock | HashedBlock;

export interface UserSinkOptions {
  readonly sink: BlockSink;
  readonly lease: SlabLease<'pack'>;
  /** Called for each record that is done. */
  readonly onRecord: (record: SinkRecord) => void;
  /** Called after the last record. */
  readonly finish?: (() => Promise<void>) | undefined;
  /** The chain fails when this is closed before the last record: it need not call back then. */
  readonly writable?: Writable | undefined;
  /**
   * Hands out copies, and takes their memory away when the promise of the sink settles. A sink that
   * keeps `bytes` then finds them empty.
   */
  readonly debugOwnership?: boolean | undefined;
}

type Callback = (error?: Error | null) => void;

interface Pending {
  readonly slot: Slot | undefined;
}

/**
 * The end of a chain. Destroying it does not wait for the sink of the user, so that a sink that
 * never answers cannot stop an abort. A block that the sink still holds keeps its slot until then.
 */
export class UserSink extends Writable {
  /** The error of the user's sink, as it was thrown. */
  failure: { readonly error: unknown } | undefined;
  readonly #options: UserSinkOptions;
  #pending: Pending | undefined;

  constructor(options: UserSinkOptions) {
    super({ objectMode: true, highWaterMark: 1 });
    this.#options = options;
    // The Writable may close before the chain listens.
    this.on('error', () => {});
    options.writable?.once('close', this.#onClose);
  }

  override _write(record: SinkRecord, _encoding: BufferEncoding, done: Callback): void {
    const pending = { slot: 'slot' in record ? record.slot : undefined };
    this.#pending = pending;
    this.#take(record).then(
      () => this.#settle(pending, done, undefined),
      (error: unknown) => this.#settle(pending, done, { error }),
    );
  }

  override _final(done: Callback): void {
    const { finish, writable } = this.#options;
    writable?.off('close', this.#onClose);
    if (!finish) {
      done();
      return;
    }
    finish().then(
      () => done(),
      (error: unknown) => this.#fail(done, { error }),
    );
  }

  override _destroy(error: Error | null, done: Callback): void {
    const { lease, writable } = this.#options;
    const { slot } = this.#pending ?? {};
    writable?.off('close', this.#onClose);
    if (slot) lease.disown(slot);
    this.#pending = undefined;
    done(error);
  }

  /** The write under way keeps its slot until it calls back. */
  readonly #onClose = (): void => {
    const error = this.#options.writable?.errored ?? new Error('the Writable was closed');
    this.failure ??= { error };
    this.destroy(error);
  };

  /** `onProgress` of the caller may throw in `onRecord`. That ends the pipe, too. */
  async #take(record: SinkRecord): Promise<void> {
    if (record.kind !== 'unchanged') await this.#pass(record);
    this.#options.onRecord(record);
  }

  async #pass(record: Exclude<SinkRecord, { kind: 'unchanged' }>): Promise<void> {
    const { sink, debugOwnership } = this.#options;
    const { diskId, offsetBytes, lengthBytes } = record;
    if (record.kind === 'zero') {
      await sink.zero({ kind: 'zero', diskId, offsetBytes, lengthBytes });
      return;
    }
    const codec = record.kind === 'packed' ? record.codec : 'plain';
    const bytes = bytesOf(record);
    const block = { kind: 'block', diskId, offsetBytes, lengthBytes, codec } as const;
    if (!debugOwnership) {
      await sink.block({ ...block, bytes });
      return;
    }
    const copy = new ArrayBuffer(bytes.length);
    Buffer.from(copy).set(bytes);
    try {
      await sink.block({ ...block, bytes: Buffer.from(copy) });
    } finally {
      // A transfer leaves the first owner with an empty buffer.
      structuredClone(copy, { transfer: [copy] });
    }
  }

  #settle(pending: Pending, done: Callback, failure: UserSink['failure']): void {
    pending.slot?.release();
    // After a destroy nobody waits for this record.
    if (this.#pending !== pending) return;
    this.#pending = undefined;
    if (failure) this.#fail(done, failure);
    else done();
  }

  #fail(done: Callback, failure: { readonly error: unknown }): void {
    this.failure ??= failure;
    const { error } = failure;
    done(error instanceof Error ? error : new Error(String(error)));
  }
}

/**
 * Bytes of a block: those of the disk, or one raw LZ4 block for a packed block with the codec
 * `lz4`. The header that a container puts before an LZ4 block is left out. No copy is made.
 *
 * @returns bytes that are valid until the record is released or passed on.
 * @throws {@link InternalError} `INTERNAL_INVARIANT` for a record that was released
 */
export function bytesOf(record: DataBlock | HashedBlock | PackedBlock): Buffer {
  const { slot, lengthBytes } = record;
  if (record.kind !== 'packed' || record.codec === 'plain') {
    return slot.bytes.subarray(0, lengthBytes);
  }
  return slot.bytes.subarray(LZ4_HEADER_BYTES, record.storedBytes);
}

/**
 * A Writable as a sink. It gets each record as one object; its callback gives the bytes back. After
 * a destroy the promise of a write may stay open.
 */
export function writableSink(writable: Writable): BlockSink {
  const write = async (record: PipedRecord): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      writable.write(record, (error) => (error ? reject(error) : resolve()));
    });
  };
  return { block: write, zero: write };
}

/** Ends a Writable and waits until it has finished. */
export async function endWritable(writable: Writable): Promise<void> {
  writable.end();
  await finished(writable, { readable: false });
}
