/** What writers of large files share: vectored writes to their end, and syncs beside the writes. */
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

/** Writes the pieces one after the other from `offsetBytes` on; a short write goes on where it stopped. */
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
 * Every 64 MiB a sync starts beside the writes, one at a time, so that the one at the end finds little left to do.
 * The system reports a failed write-back once: the failure is kept until somebody asks for it.
 */
export class SyncAhead {
  readonly #sync: () => Promise<void>;
  #unsyncedBytes = 0;
  #running: Promise<void> | undefined;
  #failure: Error | undefined;

  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** The first error of a sync. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Counts what has been written. */
  add(writtenBytes: number): void {
    this.#unsyncedBytes += writtenBytes;
    if (this.#running || this.#unsyncedBytes < SYNC_INTERVAL_BYTES) return;
    this.#unsyncedBytes = 0;
    this.#running = this.#run();
  }

  /** Waits for the sync that is under way; rejects with the first error of any. */
  async settle(): Promise<void> {
    await this.#running;
    if (this.#failure) throw this.#failure;
  }

  async #run(): Promise<void> {
    try {
      await this.#sync();
    } catch (error) {
      this.#failure ??= error as Error;
    }
    this.#running = undefined;
  }
}
