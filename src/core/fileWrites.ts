/**
 * Writing of large files: vectored writes to their end, writes that bypass the page cache, and
 * syncs at the same time as the writes.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { errnoOf } from './errors.ts';
import { MIB } from './units.ts';

const SYNC_INTERVAL_BYTES = 64 * MIB;
/** A multiple of every common sector size, and the size of a page. */
const ALIGN_BYTES = 4096;
/** Errors that say "not in this way": the file system or the sector size does not allow it. */
const REFUSALS = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

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

/** Opens the same file a second time for writing. Undefined where the system cannot. */
export type OpenDirect = (file: FileHandle) => Promise<FileHandle | undefined>;

/** True when the open file may be written at any offset. The second handle must not allow more. */
async function isWritable(file: FileHandle): Promise<boolean> {
  const info = await readFile(`/proc/self/fdinfo/${file.fd}`, 'utf8');
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? '0', 8);
  const access = flags & (constants.O_WRONLY | constants.O_RDWR);
  return access !== 0 && (flags & constants.O_APPEND) === 0;
}

async function openDirect(file: FileHandle): Promise<FileHandle | undefined> {
  try {
    if (!(await isWritable(file))) return undefined;
    // The name may have changed or may be gone, so the open file is used.
    const path = `/proc/self/fd/${file.fd}`;
    return await open(path, constants.O_WRONLY | constants.O_DIRECT);
  } catch {
    // Not Linux, or the file system does not offer it.
    return undefined;
  }
}

/** Only memory of WebAssembly is known to begin at a page, and slots lie in such memory. */
function isAligned(piece: Uint8Array): boolean {
  const isPaged = piece.buffer instanceof SharedArrayBuffer;
  return isPaged && piece.byteOffset % ALIGN_BYTES === 0 && piece.length % ALIGN_BYTES === 0;
}

/**
 * Writes to one open file. Aligned pieces bypass the page cache (O_DIRECT) where the file system
 * allows it. That saves a copy of each byte, and leaves the cache to the other programs of the
 * machine: a backup is written once and seldom read soon. All other pieces take the usual way. Both
 * ways may be mixed in one file.
 *
 * @see open(2), O_DIRECT: memory, length and offset must be multiples of the sector size
 */
export class BulkWriter {
  readonly #file: FileHandle;
  readonly #openDirect: OpenDirect;
  #direct: Promise<FileHandle | undefined> | undefined;
  #isRefused = false;

  /** @param file - stays the caller's, who closes it after {@link close}. */
  constructor(file: FileHandle, opener: OpenDirect = openDirect) {
    this.#file = file;
    this.#openDirect = opener;
  }

  /**
   * Writes the pieces one after the other, from `offsetBytes` on. The pieces must not change until
   * the promise settles. Errors of the system pass unchanged.
   */
  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    const mayBypass = offsetBytes % ALIGN_BYTES === 0 && pieces.every(isAligned);
    if (mayBypass && (await this.#writeDirect(pieces, offsetBytes))) return;
    await writeAll(this.#file, pieces, offsetBytes);
  }

  /** Closes what this object opened. Call it when no write is under way. */
  async close(): Promise<void> {
    const direct = await this.#direct;
    this.#direct = Promise.resolve(undefined);
    await direct?.close();
  }

  /** @returns false when the bytes have to take the usual way */
  async #writeDirect(pieces: readonly Uint8Array[], offsetBytes: number): Promise<boolean> {
    if (this.#isRefused) return false;
    this.#direct ??= this.#openDirect(this.#file);
    const direct = await this.#direct;
    if (!direct) return false;
    try {
      await writeAll(direct, pieces, offsetBytes);
      return true;
    } catch (error) {
      if (!REFUSALS.has(errnoOf(error) ?? '')) throw error;
      this.#isRefused = true;
      return false;
    }
  }
}
