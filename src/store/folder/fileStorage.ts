/** The file under a container: reads and writes at an offset, and the sync of the commit. */
import { open, type FileHandle } from 'node:fs/promises';
import { BulkWriter } from '../../core/fileWrites.ts';
import { BackupError, FormatError, invariant } from '../../core/errors.ts';
import { repositoryFailure } from '../../core/systemErrors.ts';
import type { Storage } from '../storage.ts';
import { PooledFile } from './pooledFile.ts';

type StorageMode = 'create' | 'read';

/** The open file of a storage. */
interface OpenFile {
  use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

class FileStorage implements Storage {
  readonly name: string;
  readonly canReadBack = true;
  readonly #file: OpenFile;
  /** Undefined for a file that is only read. */
  readonly #writer: BulkWriter | undefined;

  constructor(name: string, file: OpenFile, writer?: BulkWriter) {
    this.name = name;
    this.#file = file;
    this.#writer = writer;
  }

  async sizeBytes(): Promise<number> {
    return (await this.#use('stat', (file) => file.stat())).size;
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#use('read', (file) =>
        file.read(target, done, target.length - done, offsetBytes + done),
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
    const writer = this.#writer;
    invariant(writer, `write to ${this.name}, which was opened for reading`);
    await guard(`write ${this.name}`, () => writer.write(pieces, offsetBytes));
  }

  async sync(): Promise<void> {
    await this.#use('sync', (file) => file.sync());
  }

  async close(): Promise<void> {
    await guard(`close ${this.name}`, () => this.#file.close());
  }

  async #use<T>(action: string, work: (handle: FileHandle) => Promise<T>): Promise<T> {
    return await guard(`${action} ${this.name}`, () => this.#file.use(work));
  }
}

async function guard<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof BackupError ? error : repositoryFailure(what, error);
  }
}

async function createFile(path: string): Promise<Storage> {
  const file = await guard(`create ${path}`, () => open(path, 'wx+', 0o600));
  const writer = new BulkWriter(file);
  const close = async (): Promise<void> => {
    try {
      await writer.close();
    } finally {
      await file.close();
    }
  };
  return new FileStorage(path, { use: (work) => work(file), close }, writer);
}

/**
 * Opens the file of a container. The caller closes it.
 *
 * @param mode - `create` makes a new file (mode 0600) and fails when the file exists; `read`
 *   opens a file for reading. Its operations are retried while their error may pass.
 * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
 */
export async function openStorage(path: string, mode: StorageMode): Promise<Storage> {
  if (mode === 'create') return await createFile(path);
  return new FileStorage(path, await guard(`open ${path}`, () => PooledFile.open(path)));
}
