/**
 * The file under a container: reads and writes at an offset, and the sync that the commit needs.
 * Tests replace it with storages that record or fail.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, FormatError, isOutOfSpace, RepositoryError } from '../core/errors.ts';
import { writeAll } from '../core/fileWrites.ts';

/**
 * A file of bytes. Errors of the system are thrown as {@link RepositoryError} `REPOSITORY_IO` or
 * `REPOSITORY_FULL`.
 */
export interface Storage {
  /** Name for messages: the path. */
  readonly name: string;
  sizeBytes(): Promise<number>;
  /** Fills `target` from `offsetBytes` on. Throws `FORMAT_TRUNCATED` when the file ends before. */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  /**
   * Writes all pieces one after the other, from `offsetBytes` on. The pieces stay the caller's and
   * must not change until the promise settles.
   */
  write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void>;
  /** Resolves when everything written before the call is on stable storage. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

type StorageMode = 'create' | 'read';

function storageError(name: string, action: string, error: unknown): RepositoryError {
  if (isOutOfSpace(error)) {
    return new RepositoryError('REPOSITORY_FULL', `${action} ${name}: no space left`, {
      cause: error,
      hint: 'free space on the repository volume and run the session again; the restore points before it are untouched',
    });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new RepositoryError('REPOSITORY_IO', `${action} ${name}: ${text}`, {
    cause: error,
    hint: 'check the repository volume and the permissions of the file',
    details: { errno: errnoOf(error) },
  });
}

class FileStorage implements Storage {
  readonly name: string;
  readonly #file: FileHandle;
  readonly #mode: StorageMode;

  constructor(name: string, file: FileHandle, mode: StorageMode) {
    this.name = name;
    this.#file = file;
    this.#mode = mode;
  }

  async sizeBytes(): Promise<number> {
    return (await this.#guard('stat', () => this.#file.stat())).size;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#guard('read', () =>
        this.#file.read(target, done, target.length - done, offsetBytes + done),
      );
      if (bytesRead === 0) {
        throw new FormatError(
          'FORMAT_TRUNCATED',
          `${this.name}: ends at ${offsetBytes + done} B inside ${target.length} B at ${offsetBytes} B`,
          { details: { offsetBytes, expectedBytes: target.length, actualBytes: done } },
        );
      }
      done += bytesRead;
    }
  }

  async write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    await this.#guard('write', () => writeAll(this.#file, pieces, offsetBytes));
  }

  async sync(): Promise<void> {
    await this.#guard('sync', () => this.#file.sync());
  }

  async close(): Promise<void> {
    // A file that was only read has nothing to lose. An error of its close must not hide an earlier
    // one.
    if (this.#mode === 'read') await this.#file.close().catch(() => {});
    else await this.#guard('close', () => this.#file.close());
  }

  async #guard<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw storageError(this.name, action, error);
    }
  }
}

/**
 * Opens the file of a container. The caller closes it.
 *
 * @param mode - `create` makes a new file (mode 0600) and fails when the file exists; `read`
 *   opens a file for reading.
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function openStorage(path: string, mode: StorageMode): Promise<Storage> {
  try {
    return new FileStorage(path, await open(path, mode === 'create' ? 'wx+' : 'r', 0o600), mode);
  } catch (error) {
    throw storageError(path, mode === 'create' ? 'create' : 'open', error);
  }
}
