/**
 * A disk whose blocks are put together: what changed since the parent point is read from the device, the rest
 * comes from the parent. It saves traffic where changes are small beside a block, and costs a read of the
 * repository per block. It relies on the change map within blocks, where nothing compares afterwards.
 */
import type { BlockDevice, Extent } from '../flow/records.ts';

/** Dirty extents that can be looked up. */
export interface DirtyExtents extends Iterable<Extent> {
  /** Extents that have bytes in `[startBytes, endBytes)`, whole, in ascending order. */
  between(startBytes: number, endBytes: number): Iterable<Extent>;
}

export interface PartialReadOptions {
  /** Gives the bytes that are dirty. */
  readonly device: BlockDevice;
  /** In the dirty context, over the whole disk. */
  readonly extents: DirtyExtents;
  /**
   * Fills `target` with the bytes at `offsetBytes` of the disk at the parent point, checked; false when they
   * cannot be had, and then everything is read from the device.
   */
  readonly readParent: (target: Uint8Array, offsetBytes: number) => Promise<boolean>;
}

export class PartialReadDevice implements BlockDevice {
  readonly virtualSizeBytes: number;
  readonly #options: PartialReadOptions;
  #requestedBytes = 0;

  constructor(options: PartialReadOptions) {
    this.#options = options;
    this.virtualSizeBytes = options.device.virtualSizeBytes;
  }

  /** Bytes that were asked of the device, repeated reads included. */
  get requestedBytes(): number {
    return this.#requestedBytes;
  }

  extents(): Iterable<Extent> {
    return this.#options.extents;
  }

  async readInto(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number> {
    const endBytes = offsetBytes + target.length;
    const extents = [...this.#options.extents.between(offsetBytes, endBytes)];
    const isPartial = extents.some((extent) => extent.dirty === false);
    if (!isPartial || !(await this.#options.readParent(target, offsetBytes))) {
      return await this.#read(target, offsetBytes, signal);
    }
    for (const extent of extents) {
      if (extent.dirty === false) continue;
      const from = Math.max(extent.offsetBytes, offsetBytes) - offsetBytes;
      const to = Math.min(extent.offsetBytes + extent.lengthBytes, endBytes) - offsetBytes;
      const part = target.subarray(from, to);
      const bytesRead = extent.zero
        ? part.fill(0).length
        : await this.#read(part, offsetBytes + from, signal);
      if (bytesRead < part.length) return from + bytesRead;
    }
    return target.length;
  }

  async close(): Promise<void> {
    await this.#options.device.close();
  }

  async #read(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number> {
    this.#requestedBytes += target.length;
    return await this.#options.device.readInto(target, offsetBytes, signal);
  }
}
