/** Shapes that readers of a restore point get and give. */

/** A range of a disk. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A block of a disk. `bytes` belongs to the receiver. */
export interface PointBlock {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** A block that changed since the parent point, or a range that is zero now. */
export type ChangedBlock =
  | ({ readonly kind: 'block' } & PointBlock)
  | ({ readonly kind: 'zero' } & ByteRange);

/** A range of a disk that holds data, or is zeros. */
export interface PointExtent extends ByteRange {
  readonly zero: boolean;
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface RangeOptions extends ReadOptions {
  /** @defaultValue 0 */
  readonly offsetBytes?: number | undefined;
  /** @defaultValue up to the end of the disk */
  readonly lengthBytes?: number | undefined;
}

/** A server that shows disks to other programs. */
export interface DiskServer {
  /** Such as `nbd+unix:///system?socket=/run/nbd.sock`; with TLS `nbds://…`. */
  readonly uris: readonly string[];
  /** Counts so far. */
  readonly served: Readonly<ServedCounts>;
  /** One for each disk that clients may write to, in the order of {@link uris}. */
  readonly overlays: readonly ServedOverlay[];
  /**
   * Breaks the clients off, flushes the overlays and closes them. May be called twice.
   *
   * @throws {@link OutputError} when an overlay could not be flushed; all is closed then too
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface ServedCounts {
  /** Clients that are connected to a disk now, and in all. */
  readonly clients: number;
  readonly clientsInAll: number;
  readonly requests: number;
  /** Includes zeros that were sent as holes. */
  readonly bytesRead: number;
  /** Payload of writes that succeeded. Zeros and discards are not counted. */
  readonly bytesWritten: number;
  /** Requests that failed for a reason that is not their client's, such as damage. */
  readonly failures: number;
}

/** The bytes that clients wrote to a disk. */
export interface ServedOverlay {
  readonly exportName: string;
  /** Folder of this overlay alone. */
  readonly folder: string;
  /** False when it is deleted at the end. */
  readonly isKept: boolean;
  /** Bytes of the clusters, 64 KiB each, that the overlay has instead of the point. */
  readonly changedBytes: number;
}

/** Where a disk is served: a Unix socket, or a port. Without TLS only of a loopback address. */
export type ServeAddress =
  | { readonly socket: string }
  | { readonly host: string; readonly port: number };

export type ServeDiskOptions = ServeAddress & {
  /**
   * Clients may write. What they write lies in a folder of its own below `folder`, never in the
   * repository. It is deleted at the end unless `keep` is true; then a later server continues it.
   *
   * @defaultValue read-only
   */
  readonly writable?: { readonly folder: string; readonly keep?: boolean | undefined } | undefined;
  /**
   * A folder with `ca-cert.pem`, `server-cert.pem` and `server-key.pem`. All clients must use TLS
   * then, and show a certificate of that CA.
   */
  readonly tls?: { readonly folder: string } | undefined;
};
