/**
 * The file under a container: positional reads and writes, and the barrier that the commit protocol needs.
 * Tests put recording and failing storages in its place.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { errnoOf, FormatError, isOutOfSpace, RepositoryError } from '../core/errors.ts';
import { writeAll } from '../core/fileWrites.ts';

export interface Storage {
  /** Name for messages. */
  readonly name: string;
  sizeBytes(): Promise<number>;
  /** Fills `target` from `offsetBytes` on, or throws `FORMAT_TRUNCATED`. */
  read(target: Uint8Array, offsetBytes: number): Promise<void>;
  /** Writes the pieces one after the other from `offsetBytes` on; all of them, or throws. */
  write(pieces: readonly Uint8Array[], offsetBytes: number): Promise<void>;
  /** Everything written before is on stable storage when this resolves. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

type StorageMode = 'create' | 'read';

function storageError(name: string, verb: string, error: unknown): RepositoryError {
  if (isOutOfSpace(error)) {
    return new RepositoryError('REPOSITORY_FULL', `${verb} ${name}: no space left`, {
      cause: error,
      hint: 'free space on the repository volume and run the session again; the restore points before it are untouched',
    });
  }
  const text = error instanceof Error ? error.message : String(error);
  return new RepositoryError('REPOSITORY_IO', `${verb} ${name}: ${text}`, {
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
    // A file that was only read has nothing to lose, and its end must not hide what came before.
    if (this.#mode === 'read') await this.#file.close().catch(() => {});
    else await this.#guard('close', () => this.#file.close());
  }

  async #guard<T>(verb: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw storageError(this.name, verb, error);
    }
  }
}

/**
 * Opens the file of a container.
 *
 * @param mode - `create` makes a new file (mode 0600) and fails when it exists; `read` opens one.
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function openStorage(path: string, mode: StorageMode): Promise<Storage> {
  try {
    return new FileStorage(path, await open(path, mode === 'create' ? 'wx+' : 'r', 0o600), mode);
  } catch (error) {
    throw storageError(path, mode === 'create' ? 'create' : 'open', error);
  }
}
