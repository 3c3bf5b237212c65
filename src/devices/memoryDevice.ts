/** A block device over bytes in memory, for tests, benchmarks and examples. */
import type { BlockDevice, Extent } from '../flow/records.ts';

export interface MemoryDeviceOptions {
  /** Its length is the size of the disk. It stays the caller's. */
  readonly content: Uint8Array;
  /** Extents to report per context. @defaultValue one data extent, dirty in the dirty context */
  readonly extents?: Partial<Record<'zero' | 'dirty', readonly Extent[]>> | undefined;
}

class MemoryDevice implements BlockDevice {
  readonly virtualSizeBytes: number;
  readonly #options: MemoryDeviceOptions;

  constructor(options: MemoryDeviceOptions) {
    this.#options = options;
    this.virtualSizeBytes = options.content.length;
  }

  extents(context: 'zero' | 'dirty'): Iterable<Extent> {
    const whole = { offsetBytes: 0, lengthBytes: this.virtualSizeBytes, zero: false, dirty: true };
    return this.#options.extents?.[context] ?? [whole];
  }

  readInto(target: Uint8Array, offsetBytes: number): Promise<number> {
    const piece = this.#options.content.subarray(offsetBytes, offsetBytes + target.length);
    target.set(piece);
    return Promise.resolve(piece.length);
  }

  async close(): Promise<void> {}
}

export function createMemoryDevice(options: MemoryDeviceOptions): BlockDevice {
  return new MemoryDevice(options);
}
