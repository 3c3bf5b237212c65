/**
 * Third stage: ranged reads into raw slots, several at once. Content that is all zero becomes a zero run
 * while it is still in cache; short reads are errors; a failed block is read again into the same slot.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { BackupError, TransferError } from '../core/errors.ts';
import { BusyClock, type StageStats } from '../core/stats.ts';
import type { BlockDevice, DataBlock, DiskTask, WantedBlock, ZeroRun } from './blocks.ts';
import { OrderedStage } from './orderedStage.ts';
import type { SlabLease, Slot } from './slab.ts';
import type { Stage } from './stage.ts';

export interface BlockReaderOptions {
  readonly task: DiskTask;
  readonly device: BlockDevice;
  readonly lease: SlabLease;
  readonly stats: StageStats;
  /** Reads in flight. @defaultValue 4 */
  readonly readers?: number | undefined;
  /** Tries per block for errors that are marked retryable, and for short reads. @defaultValue 3 */
  readonly attempts?: number | undefined;
  /** Pause before the second try; doubles with each further one. @defaultValue 200 */
  readonly retryDelayMs?: number | undefined;
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

class Reader {
  readonly #options: BlockReaderOptions;
  readonly #attempts: number;
  readonly #clock: BusyClock;
  readonly #slotWait: BusyClock;
  readonly #zeros: Buffer;

  constructor(options: BlockReaderOptions) {
    this.#options = options;
    this.#attempts = options.attempts ?? 3;
    this.#clock = new BusyClock(options.stats);
    this.#slotWait = new BusyClock(options.stats, 'waitSlotMs');
    this.#zeros = Buffer.alloc(options.task.blockSizeBytes);
  }

  async read(block: WantedBlock, signal: AbortSignal): Promise<readonly [DataBlock | ZeroRun]> {
    const { lease, stats } = this.#options;
    const slot = await this.#slotWait.time(() => lease.acquireRaw(signal));
    const bytes = slot.bytes.subarray(0, block.lengthBytes);
    await this.#clock.time(() => this.#fill(bytes, block, signal));
    stats.blocks++;
    stats.bytes += block.lengthBytes;
    return [this.#record(block, slot, bytes)];
  }

  #record(block: WantedBlock, slot: Slot, bytes: Buffer): DataBlock | ZeroRun {
    const { diskId, index, offsetBytes, lengthBytes } = block;
    if (bytes.equals(this.#zeros.subarray(0, lengthBytes))) {
      slot.release();
      return { kind: 'zero', diskId, index, offsetBytes, lengthBytes, blockCount: 1 };
    }
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
  const reader = new Reader(options);
  return new OrderedStage<WantedBlock | ZeroRun, DataBlock | ZeroRun>({
    concurrency: options.readers ?? 4,
    stats: options.stats,
    run: (record, signal) => (record.kind === 'zero' ? [record] : reader.read(record, signal)),
  });
}
