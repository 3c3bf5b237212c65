/** A disk as the server sees it. Ranges always lie in the disk. */

/** A range of a disk. */
export interface ServedExtent {
  readonly lengthBytes: number;
  readonly zero: boolean;
}

export interface ServedDisk {
  readonly name: string;
  readonly description: string;
  readonly sizeBytes: number;
  /** Undefined for a disk that is read-only. */
  readonly writer: ServedWriter | undefined;
  /** Extents from `offsetBytes` on, which end exactly at `offsetBytes + lengthBytes`. */
  extents(offsetBytes: number, lengthBytes: number): Iterable<ServedExtent>;
  /** @throws {@link NbdFailure} `EIO` for a damaged block; zeros are never given instead */
  read(offsetBytes: number, lengthBytes: number): Promise<Buffer>;
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
