/** The bytes of one container. Tests replace them with storages that record or fail. */

/**
 * A file of bytes. Errors of the place are thrown as {@link RepositoryError} `REPOSITORY_IO` or
 * `REPOSITORY_FULL`.
 */
export interface Storage {
  /** Name for messages: the path or URL. */
  readonly name: string;
  /**
   * True when written bytes can be read before the file is closed. Object storage cannot: an upload
   * has no bytes until it is complete.
   */
  readonly canReadBack: boolean;
  sizeBytes(): Promise<number>;
  /** Fills `target` from `offsetBytes` on. Throws `FORMAT_TRUNCATED` when the file ends before. */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Writes all pieces one after the other, from `offsetBytes` on. The pieces stay the caller's and
   * must not change until the promise settles. They may lie in shared memory.
   */
  write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void>;
  /** Resolves when everything written before the call is on stable storage. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
