/**
 * Puts blocks together: changed bytes come from the device, the others from the parent point.
 *
 * It saves traffic when changes are smaller than a block. It costs a read of the repository per
 * block. It trusts the change map within blocks: bytes that the map misses stay those of the
 * parent.
 */
import type { BlockDevice, Extent } from '../flow/records.ts';

/** Extents in the dirty context, in ascending order. */
export interface DirtyExtents extends Iterable<Extent> {
  /** Extents with bytes in `[startBytes, endBytes)`, not cut to it, in ascending order. */
  between(startBytes: number, endBytes: number): Iterable<Extent>;
}

export interface PartialReadOptions {
  /** Source of the dirty bytes. */
  readonly device: BlockDevice;
  /** They cover the whole disk. */
  readonly extents: DirtyExtents;
  /**
   * Fills `target` with checked bytes of the parent point from `offsetBytes` on. False when they
   * are not available; the whole block is then read from the device.
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

  /** Bytes requested from the device, repeated reads included. */
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
