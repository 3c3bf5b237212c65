/** Progress of one disk, for whoever shows it. */

/** Live counts for progress. */
export interface DiskProgress {
  readonly alias: string;
  readonly sizeBytes: number;
  /** Bytes of the disk that are dealt with: read, zero or clean. */
  doneBytes(): number;
  readBytes(): number;
}
