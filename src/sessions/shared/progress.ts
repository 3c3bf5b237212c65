/** Progress of one disk. */

/** Live counts of one disk. */
export interface DiskProgress {
  readonly alias: string;
  readonly sizeBytes: number;
  /** Bytes of the disk that are done: read, zero or clean. */
  doneBytes(): number;
  readBytes(): number;
}
