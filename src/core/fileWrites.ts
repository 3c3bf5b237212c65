/**
 * Writing of large files: vectored writes to their end, and syncs at the same time as the writes.
 */
import type { FileHandle } from 'node:fs/promises';
import { MIB } from './units.ts';

const SYNC_INTERVAL_BYTES = 64 * MIB;

/** Drops the first `bytes` bytes of a list of pieces. */
function skipBytes(pieces: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  const rest: Uint8Array[] = [];
  for (const piece of pieces) {
    if (left >= piece.length) left -= piece.length;
    else {
      rest.push(left > 0 ? piece.subarray(left) : piece);
      left = 0;
    }
  }
  return rest;
}

/**
 * Writes the pieces one after the other, from `offsetBytes` on. After a short write it continues
 * where the write stopped.
 */
export async function writeAll(
  file: Pick<FileHandle, 'writev'>,
  pieces: readonly Uint8Array[],
  offsetBytes: number,
): Promise<void> {
  let rest = [...pieces];
  let at = offsetBytes;
  while (rest.length > 0) {
    const { bytesWritten } = await file.writev(rest, at);
    at += bytesWritten;
    rest = skipBytes(rest, bytesWritten);
  }
}

/**
 * Starts a sync after every 64 MiB, one at a time, while writes go on. The last sync then finds
 * little left to do. The system reports a failed write-back only once, so the failure is kept here.
 */
export class SyncAhead {
  readonly #sync: () => Promise<void>;
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** First error of a sync. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Counts written bytes, and starts a sync when it is due. */
  add(writtenBytes: number): void {
    this.#unsyncedBytes += writtenBytes;
    if (this.#running || this.#unsyncedBytes < SYNC_INTERVAL_BYTES) return;
    this.#unsyncedBytes = 0;
    this.#running = this.#syncOnce();
  }

  /** Waits for the sync that is under way. Rejects with the first error of any sync. */
  async settle(): Promise<void> {
    await this.#running;
    if (this.#failure) throw this.#failure;
  }

  async #syncOnce(): Promise<void> {
    try {
      await this.#sync();
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#running = undefined;
  }
}
