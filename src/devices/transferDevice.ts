/** A block device over a download transfer: the frozen view of a disk in a backup. */
import type { BlockDevice, Extent } from '../flow/records.ts';
import type { DiskTransfer } from '../ovirt/lifecycle/transfer.ts';
import { ReadGatherer } from './readGatherer.ts';

export interface TransferDeviceOptions {
  readonly transfer: DiskTransfer;
  readonly virtualSizeBytes: number;
  /** Fetched before the first read: during a long fetch, idle data connections would die. */
  readonly extents: Iterable<Extent>;
}

class TransferDevice implements BlockDevice {
  readonly virtualSizeBytes: number;
  readonly #extents: Iterable<Extent>;
  readonly #reads: ReadGatherer;

  constructor({ transfer, virtualSizeBytes, extents }: TransferDeviceOptions) {
    this.virtualSizeBytes = virtualSizeBytes;
    this.#extents = extents;
    this.#reads = new ReadGatherer(
      async (targets, offsetBytes, signal) =>
        await transfer.use((client) => client.readInto(targets, offsetBytes, signal)),
      transfer.client.connections,
    );
  }

  extents(): Iterable<Extent> {
    return this.#extents;
  }

  async readInto(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number> {
    return await this.#reads.readInto(target, offsetBytes, signal);
  }

  /** Does nothing. The session ends the transfer by finalize or cancel. */
  async close(): Promise<void> {}
}

export function createTransferDevice(options: TransferDeviceOptions): BlockDevice {
  return new TransferDevice(options);
}
