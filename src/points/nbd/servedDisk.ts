/** A disk as the server sees it. Ranges always lie in the disk. */

import type { ByteRange, PointExtent } from '../pointTypes.ts';

export interface ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** Undefined for a disk that is read-only. */
  readonly writer: ServedWriter | undefined;
  /**
   * Extents that together are exactly the range.
   *
   * @param most - extents to give at most; the range may end before.
   */
  extents(range: ByteRange, most?: number): Promise<readonly PointExtent[]>;
  /**
   * Reads a range. `send` gets its pieces, one after the other. Nobody may change them, and they
   * are valid until `send` has settled. Errors of `send` pass unchanged.
   *
   * @throws {@link NbdFailure} `EIO` for a damaged block; zeros are never given instead
   */
  read(range: ByteRange, send: (pieces: readonly Buffer[]) => Promise<void>): Promise<void>;
  /** Memory that {@link read} holds until `send` has settled. */
  heldBytes(range: ByteRange): number;
}

/** Failures of all its methods are {@link NbdFailure}: `ENOSPC` for a full volume, else `EIO`. */
export interface ServedWriter {
  /** @param bytes - unchanged by the caller until the promise settles. */
  write(offsetBytes: number, bytes: Buffer): Promise<void>;
  /** @param takesSpace - later writes to the range need no space. */
  zero(offsetBytes: number, lengthBytes: number, takesSpace: boolean): Promise<void>;
  /** True when {@link zero} costs less than a write of zeros would. */
  isZeroFast(offsetBytes: number, lengthBytes: number): boolean;
  /** All writes that ended before survive a power cut. */
  flush(): Promise<void>;
}
