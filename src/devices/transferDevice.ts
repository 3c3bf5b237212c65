/** A block device over a download transfer: the frozen view of a disk in a backup. */
import { fingerprintStateOffset } from '../compute/resultRecord.ts';
import type { BlockDevice, Extent, FingerprintedRead } from '../flow/records.ts';
import type { Slot } from '../flow/slab.ts';
import type { ReadRange, ReadTarget } from '../ovirt/imageio/imageRanges.ts';
import type { RangeThreads } from '../ovirt/imageio/rangeThreads.ts';
import type { DiskTransfer } from '../ovirt/lifecycle/transfer.ts';
import { LimitClock } from './limitClock.ts';
import { ReadGatherer } from './readGatherer.ts';

export interface TransferDeviceOptions {
  readonly transfer: DiskTransfer;
  readonly virtualSizeBytes: number;
  /** Fetched before the first read: during a long fetch, idle data connections would die. */
  readonly extents: Iterable<Extent>;
  /** Threads for a disk of which so many bytes are read; undefined reads on the calling thread. */
  readonly threadsFor?: ((dataBytes: number) => RangeThreads | undefined) | undefined;
  /** Waits before each request until its bytes may be read. */
  readonly pace?: ((bytes: number, signal: AbortSignal) => Promise<void>) | undefined;
}

function lengthOf(targets: readonly ReadTarget[]): number {
  return targets.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Bytes that a chain reads at most. Extents of the `zero` context say nothing about changes. */
function dataBytesIn(extents: Iterable<Extent>): number {
  let dataBytes = 0;
  for (const { zero, dirty, lengthBytes } of extents) {
    if (!zero && dirty !== false) dataBytes += lengthBytes;
  }
  return dataBytes;
}

export class TransferDevice implements BlockDevice {
  readonly virtualSizeBytes: number;
  readonly #limit = new LimitClock();
  readonly #extents: Iterable<Extent>;
  readonly #reads: ReadGatherer;

  constructor({ transfer, virtualSizeBytes, extents, threadsFor, pace }: TransferDeviceOptions) {
    this.virtualSizeBytes = virtualSizeBytes;
    this.#extents = extents;
    const threads = threadsFor?.(dataBytesIn(extents));
    this.#reads = new ReadGatherer(async (targets, offsetBytes, signal) => {
      const read = (): Promise<ReadRange> =>
        transfer.use((client) => client.read(targets, offsetBytes, { threads, signal }));
      if (!pace) return await read();
      await this.#limit.wait(() => pace(lengthOf(targets), signal));
      return await this.#limit.work(read);
    }, transfer.client.connections);
  }

  /** Time in which reads waited for `pace`, and none was under way. */
  get limitMs(): number {
    return this.#limit.totalMs;
  }

  extents(): Iterable<Extent> {
    return this.#extents;
  }

  async readInto(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number> {
    return (await this.#reads.read({ bytes: target }, offsetBytes, signal)).actualBytes;
  }

  async readHashed(
    slot: Slot,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
  ): Promise<FingerprintedRead> {
    const bytes = slot.bytes.subarray(0, lengthBytes);
    const stateOffset = fingerprintStateOffset(slot.slotIndex);
    return await this.#reads.read({ bytes, stateOffset }, offsetBytes, signal);
  }

  /** Does nothing. The session ends the transfer by finalize or cancel. */
  async close(): Promise<void> {}
}

export function createTransferDevice(options: TransferDeviceOptions): TransferDevice {
  return new TransferDevice(options);
}
