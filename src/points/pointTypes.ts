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

/** A server that shows a disk to other programs. {@link close} breaks its clients off. */
export interface DiskServer {
  /** Such as `nbd+unix:///system?socket=/run/nbd.sock`. */
  readonly uris: readonly string[];
  /** Counts so far. `bytes` includes zeros that were sent as holes. */
  readonly served: Readonly<{ requests: number; bytes: number; failures: number }>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where a disk is served: a Unix socket, or a port of a loopback address. */
export type ServeAddress =
  | { readonly socket: string }
  | { readonly host: string; readonly port: number };
