/**
 * Third stage: ranged reads into raw slots, several at once. Content that is all zero becomes a zero run
 * while it is still in cache; short reads are errors; a failed block is read again into the same slot.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { BackupError, TransferError } from '../../core/errors.ts';
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
  /** Reads in flight. @defaultValue 4 */
  readonly readers?: number | undefined;
  /** Tries per block for errors that are marked retryable, and for short reads. @defaultValue 3 */
  readonly attempts?: number | undefined;
  /** Pause before the second try; doubles with each further one. @defaultValue 200 */
  readonly retryDelayMs?: number | undefined;
}

/** A block that was read and is all zero. */
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

/** What a disk's reads have in common, whoever makes them. */
export class BlockReads {
  readonly #options: BlockReaderOptions;
  readonly #attempts: number;
  readonly #clock: BusyClock;
  readonly #slotWait: BusyClock;
  readonly #zeros: Buffer;

  constructor(options: BlockReaderOptions) {
    this.#options = options;
    this.#attempts = options.attempts ?? 3;
    this.#clock = clockOf(options.stats);
    this.#slotWait = clockOf(options.stats, 'waitSlotMs');
    this.#zeros = Buffer.alloc(options.task.blockSizeBytes);
  }

  /**
   * Waits for a slot and gives it to `work`, which makes a record of the block: with the slot, or without,
   * and then it is released here.
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

  /** Has the device read the block into the slot, repeatedly where that makes sense. */
  async read(block: WantedBlock, slot: Slot, signal: AbortSignal): Promise<DataBlock | ZeroRun> {
    const { diskId, index, offsetBytes, lengthBytes } = block;
    const bytes = slot.bytes.subarray(0, lengthBytes);
    await this.#fill(bytes, block, signal);
    if (bytes.equals(this.#zeros.subarray(0, lengthBytes))) return zeroBlock(block);
    return { kind: 'data', diskId, index, offsetBytes, lengthBytes, slot };
  }

  async #fill(bytes: Buffer, block: WantedBlock, signal: AbortSignal): Promise<void> {
    const { device, retryDelayMs = 200, task } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        const actualBytes = await device.readInto(bytes, block.offsetBytes, signal);
        if (actualBytes !== bytes.length) throw shortRead(task, block, actualBytes);
        return;
      } catch (error) {
        const retryable = error instanceof BackupError && error.retryable;
        if (!retryable || attempt >= this.#attempts) throw error;
        await delay(retryDelayMs * 2 ** (attempt - 1), undefined, { signal });
      }
    }
  }
}

/**
 * Makes the reader of one disk.
 *
 * Ownership: acquires one raw slot per wanted block, in record order, keeps it across retries, and passes
 * it on in the {@link DataBlock} or releases it for a zero block.
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
