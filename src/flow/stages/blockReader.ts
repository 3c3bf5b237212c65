/**
 * Third stage: ranged reads into raw slots, several at once. A block that is all zero becomes a
 * zero run. Short reads are errors. A failed block is read again into the same slot.
 */
import { BackupError, TransferError } from '../../core/errors.ts';
import { retry } from '../../core/retry.ts';
import { type BusyClock, clockOf, type StageStats } from '../../core/stats.ts';
import type {
  BlockDevice,
  DataBlock,
  DiskTask,
  HashedBlock,
  WantedBlock,
  ZeroRun,
} from '../records.ts';
import { OrderedStage } from '../orderedStage.ts';
import type { SlabLease, Slot } from '../slab.ts';
import type { Stage } from '../connect.ts';

export interface BlockReaderOptions {
  readonly task: DiskTask;
  readonly device: BlockDevice;
  readonly lease: SlabLease<'pack'>;
  readonly stats: StageStats;
  /** Most reads at once. @defaultValue 4 */
  readonly readers?: number | undefined;
  /** Tries per block for retryable errors; short reads are among them. @defaultValue 3 */
  readonly attempts?: number | undefined;
  /** Pause before the second try. Each further one is twice as long. @defaultValue 200 */
  readonly retryDelayMs?: number | undefined;
}

/**
 * {@link BlockDevice.readHashed} of a device that has it.
 *
 * @internal
 */
export type ReadHashed = NonNullable<BlockDevice['readHashed']>;

/** The record of a block that was read and is all zero. */
export function zeroBlock(block: WantedBlock): ZeroRun {
  const { diskId, index, offsetBytes, lengthBytes } = block;
  return { kind: 'zero', diskId, index, offsetBytes, lengthBytes, blockCount: 1 };
}

function shortRead(task: DiskTask, block: WantedBlock, actualBytes: number): TransferError {
  return new TransferError(
    'TRANSFER_SHORT_READ',
    `read of disk ${task.alias} at ${block.offsetBytes} B: got ${actualBytes} of ${block.lengthBytes} B`,
    {
      hint: 'the disk is shorter than it was when the session began, or its source was cut off; run the session again',
      retryable: true,
      details: {
        diskId: task.diskId,
        offsetBytes: block.offsetBytes,
        expectedBytes: block.lengthBytes,
        actualBytes,
      },
    },
  );
}

function isRetryable(error: unknown): boolean {
  return error instanceof BackupError && error.retryable;
}

/**
 * Reads blocks of one disk into raw slots, for every stage that does so.
 *
 * @internal
 */
export class BlockReads {
  readonly #options: BlockReaderOptions;
  readonly #clock: BusyClock;
  readonly #slotWait: BusyClock;
  #zeros: Buffer | undefined;

  constructor(options: BlockReaderOptions) {
    this.#options = options;
    this.#clock = clockOf(options.stats);
    this.#slotWait = clockOf(options.stats, 'waitSlotMs');
  }

  /**
   * Waits for a slot and gives it to `work`, which makes the record of the block. The slot is
   * released here when the record does not carry it.
   */
  async withSlot<Out extends DataBlock | HashedBlock | ZeroRun>(
    block: WantedBlock,
    signal: AbortSignal,
    work: (slot: Slot) => Promise<Out>,
  ): Promise<readonly [Out]> {
    const { lease, stats } = this.#options;
    const slot = await this.#slotWait.time(() => lease.acquireRaw(signal));
    const record = await this.#clock.time(() => work(slot));
    stats.blocks++;
    stats.bytes += block.lengthBytes;
    if (!('slot' in record)) slot.release();
    return [record];
  }

  /** Reads the block from the device into the slot. Retryable errors are repeated. */
  async read(block: WantedBlock, slot: Slot, signal: AbortSignal): Promise<DataBlock | ZeroRun> {
    const bytes = slot.bytes.subarray(0, block.lengthBytes);
    const { device } = this.#options;
    await this.#fill(block, signal, () => device.readInto(bytes, block.offsetBytes, signal));
    return this.#plainRecord(block, slot);
  }

  /** As {@link read}, by a device that may compute the fingerprint as well. */
  async readHashed(
    block: WantedBlock,
    slot: Slot,
    signal: AbortSignal,
    readHashed: ReadHashed,
  ): Promise<DataBlock | HashedBlock | ZeroRun> {
    const { diskId, index, offsetBytes, lengthBytes } = block;
    let fingerprint: bigint | undefined;
    await this.#fill(block, signal, async () => {
      const read = await readHashed(slot, lengthBytes, offsetBytes, signal);
      fingerprint = read.fingerprint;
      return read.actualBytes;
    });
    if (fingerprint === undefined) return this.#plainRecord(block, slot);
    if (fingerprint === 0n) return zeroBlock(block);
    return { kind: 'hashed', diskId, index, offsetBytes, lengthBytes, slot, fingerprint };
  }

  #plainRecord(block: WantedBlock, slot: Slot): DataBlock | ZeroRun {
    const { diskId, index, offsetBytes, lengthBytes } = block;
    const bytes = slot.bytes.subarray(0, lengthBytes);
    this.#zeros ??= Buffer.alloc(this.#options.task.blockSizeBytes);
    if (bytes.equals(this.#zeros.subarray(0, lengthBytes))) return zeroBlock(block);
    return { kind: 'data', diskId, index, offsetBytes, lengthBytes, slot };
  }

  async #fill(block: WantedBlock, signal: AbortSignal, read: () => Promise<number>): Promise<void> {
    const { attempts = 3, retryDelayMs: firstDelayMs = 200, task } = this.#options;
    await retry({ attempts, firstDelayMs, shouldRetry: isRetryable, signal }, async () => {
      const actualBytes = await read();
      if (actualBytes !== block.lengthBytes) throw shortRead(task, block, actualBytes);
    });
  }
}

/**
 * Makes the reader of one disk.
 *
 * Ownership: acquires one raw slot per wanted block, in record order, and keeps it across retries.
 * Passes it on in the {@link DataBlock}, or releases it for a zero block.
 */
export function createBlockReader(
  options: BlockReaderOptions,
): Stage<WantedBlock | ZeroRun, DataBlock | ZeroRun> {
  const reads = new BlockReads(options);
  return new OrderedStage<WantedBlock | ZeroRun, DataBlock | ZeroRun>({
    concurrency: options.readers ?? 4,
    stats: options.stats,
    run: (record, signal) =>
      record.kind === 'zero'
        ? [record]
        : reads.withSlot(record, signal, (slot) => reads.read(record, slot, signal)),
  });
}
