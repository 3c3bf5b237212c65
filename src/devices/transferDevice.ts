/** A block device over an image transfer of an engine: the frozen view of a disk. */
import type { BlockDevice, Extent } from '../flow/records.ts';
import type { DiskTransfer } from '../ovirt/lifecycle/transfer.ts';
import { ReadGatherer } from './readGatherer.ts';

export interface TransferDeviceOptions {
  readonly transfer: DiskTransfer;
  readonly virtualSizeBytes: number;
  /** Fetched before the first data request, because a long fetch would let idle data connections die. */
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

  /** The transfer is not closed here: it ends with its session, by finalize or cancel. */
  async close(): Promise<void> {}
}

export function createTransferDevice(options: TransferDeviceOptions): BlockDevice {
  return new TransferDevice(options);
}
