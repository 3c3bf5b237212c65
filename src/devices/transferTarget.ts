/**
 * Writes a disk of an engine through an upload transfer: blocks, zeros where needed, flush,
 * checksum.
 */
import { BackupError, TransferError } from '../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { GIB } from '../core/units.ts';
import { CHECKSUM_ALGORITHM, ImageChecksumBuilder } from '../ovirt/imageio/imageChecksum.ts';
import type { ImageChecksum, ImageioClient } from '../ovirt/imageio/imageioClient.ts';
import { retryData } from '../ovirt/imageio/dataRetry.ts';
import type { RangeThreads } from '../ovirt/imageio/rangeThreads.ts';
import type { DiskTransfer } from '../ovirt/lifecycle/transfer.ts';
import type { DataBlock } from '../flow/records.ts';
import { ConcurrentSink } from '../flow/concurrentSink.ts';
import type { Sink } from '../flow/connect.ts';
import { createStageStats, type StageStats } from '../core/stats.ts';

export interface TransferTargetOptions {
  readonly transfer: DiskTransfer;
  readonly diskId: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  /** True when the new disk may hold old bytes of its storage. Gaps are zeroed then. */
  readonly mustZero: boolean;
  /** Pause before the second try of a request; doubles with each further one. */
  readonly retryDelayMs: number;
  readonly signal: AbortSignal;
  readonly note: (message: SessionMessage) => void;
  /** Threads that send the blocks; undefined sends them on the calling thread. */
  readonly threads?: RangeThreads | undefined;
}

/** The server zeroes in steps of 128 MiB. A much longer request would end in a timeout. */
const MAX_ZERO_BYTES = GIB;

export class TransferTarget {
  readonly stats: StageStats = createStageStats();
  readonly #options: TransferTargetOptions;
  readonly #checksum: ImageChecksumBuilder | undefined;
  #isVerified: boolean;
  #zeroedBytes = 0;
  #endBytes = 0;
  #uploadSignal: AbortSignal | undefined;

  constructor(options: TransferTargetOptions) {
    this.#options = options;
    const isOffered = options.transfer.client.features.has('checksum');
    this.#checksum = isOffered ? new ImageChecksumBuilder() : undefined;
    this.#isVerified = isOffered;
  }

  /** True when {@link finish} compares checksums; false after the server could not compute one. */
  get isVerified(): boolean {
    return this.#isVerified;
  }

  get zeroedBytes(): number {
    return this.#zeroedBytes;
  }

  /**
   * Makes the sink of the disk, with one request per connection in flight. Blocks have to come in
   * ascending order. A slot is released when its request has ended.
   */
  sink(): Sink<DataBlock> {
    return new ConcurrentSink<DataBlock>({
      concurrency: this.#options.transfer.client.connections,
      consume: (block, stopped) => this.#put(block, this.#signalOf(stopped)),
    });
  }

  /**
   * Zeroes the tail where needed, makes everything durable, and compares checksums.
   *
   * @throws {@link TransferError} `TRANSFER_CHECKSUM_MISMATCH`, `TRANSFER_WRITE_FAILED` …
   */
  async finish(): Promise<void> {
    const { virtualSizeBytes, alias, signal } = this.#options;
    await this.#zeroGap(virtualSizeBytes, signal);
    await this.#try(signal, (client) => client.flush(signal));
    const expected = this.#checksum?.finish(virtualSizeBytes);
    if (expected === undefined) return;
    const actual = await this.#askChecksum();
    if (actual === undefined || actual === expected) return;
    throw new TransferError(
      'TRANSFER_CHECKSUM_MISMATCH',
      `disk ${alias}: the server computes another checksum over the uploaded image`,
      { hint: 'restore again; if it repeats, check memory and storage of the host' },
    );
  }

  /**
   * The upload is whole and durable by now, so a server without a checksum is no reason to fail.
   */
  async #askChecksum(): Promise<string | undefined> {
    const { transfer, alias, signal, note, diskId: id } = this.#options;
    try {
      const ask = (client: ImageioClient): Promise<ImageChecksum> =>
        client.checksum(CHECKSUM_ALGORITHM, signal);
      const retries = { ...this.#options, isSlow: true };
      return (await retryData(retries, () => transfer.use(ask))).checksum;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BackupError)) throw error;
      this.#isVerified = false;
      note(sessionMessage('XFER-308', { alias, id, reason: error.code }));
      return undefined;
    }
  }

  /** Made once per sink: Node keeps a combined signal as long as its sources. */
  #signalOf(stopped: AbortSignal): AbortSignal {
    this.#uploadSignal ??= AbortSignal.any([stopped, this.#options.signal]);
    return this.#uploadSignal;
  }

  async #put(block: DataBlock, signal: AbortSignal): Promise<void> {
    const { offsetBytes, lengthBytes, slot } = block;
    const bytes = slot.bytes.subarray(0, lengthBytes);
    // Before the first await, so that the checksum gets the blocks in their order.
    this.#checksum?.update(offsetBytes, bytes);
    const gap = this.#zeroGap(offsetBytes, signal);
    this.#endBytes = offsetBytes + lengthBytes;
    await gap;
    const { threads } = this.#options;
    await this.#try(signal, (client) => client.write(bytes, offsetBytes, { threads, signal }));
    this.stats.blocks++;
    this.stats.bytes += lengthBytes;
  }

  async #zeroGap(untilBytes: number, signal: AbortSignal): Promise<void> {
    if (!this.#options.mustZero) return;
    let at = this.#endBytes;
    while (at < untilBytes) {
      const [offset, length] = [at, Math.min(MAX_ZERO_BYTES, untilBytes - at)];
      await this.#try(signal, (client) => client.zero(offset, length, signal));
      this.#zeroedBytes += length;
      at += length;
    }
  }

  /**
   * Repeats a request that failed on its way. Repeating is safe: it writes the same bytes again.
   */
  async #try(signal: AbortSignal, work: (client: ImageioClient) => Promise<void>): Promise<void> {
    const { transfer, retryDelayMs } = this.#options;
    await retryData({ retryDelayMs, signal }, () => transfer.use(work));
  }
}
