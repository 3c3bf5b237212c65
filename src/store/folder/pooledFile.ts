/**
 * Files that are only read. A long chain has more files than a process may hold open. So only some
 * are open at the same time. The least recently used idle file is closed, and its next read opens
 * it again. That is safe, because the files never change and prune never uses a name twice.
 */
import type { FileHandle } from 'node:fs/promises';
import { RepositoryError } from '../../core/errors.ts';
import { openFileLimit, retryPassing } from '../../core/systemErrors.ts';
import { openRegular } from './regularFile.ts';

/** The rest of the limit is for threads, sockets, images and outputs. */
const SHARE_OF_LIMIT = 1 / 4;
const MAX_OPEN_FILES = 256;

interface OpenFile {
  readonly handle: Promise<FileHandle>;
  /** Operations that need the handle now. */
  users: number;
}

/** Files with an open handle, the least recently used first. */
const openFiles = new Set<PooledFile>();
let mostOpenFiles: number | undefined;

/** Closes idle files until at most `most` files are open. */
function closeIdle(most: number): void {
  for (const file of openFiles) {
    if (openFiles.size <= most) return;
    file.closeIfIdle();
  }
}

async function closeQuietly({ handle }: OpenFile): Promise<void> {
  // A file that was only read has nothing to lose. An error of its close must not hide an earlier
  // one.
  await handle.then((file) => file.close()).catch(() => {});
}

export class PooledFile {
  readonly #path: string;
  #open: OpenFile | undefined;
  #isClosed = false;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Opens a file for reading. The caller closes it. Errors of the system pass unchanged. */
  static async open(path: string): Promise<PooledFile> {
    const file = new PooledFile(path);
    await file.use(() => Promise.resolve());
    return file;
  }

  /**
   * Calls `work` with the open file. Errors of the system that may pass are retried with a new
   * handle: a file server can forget an old one (ESTALE).
   */
  async use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    return await retryPassing(
      () => this.#useOnce(work),
      () => closeIdle(0),
    );
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = this.#forget();
    if (opened) await closeQuietly(opened);
  }

  closeIfIdle(): void {
    if (this.#open?.users !== 0) return;
    const opened = this.#forget();
    if (opened) void closeQuietly(opened);
  }

  async #useOnce<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const opened = this.#take();
    try {
      return await work(await opened.handle);
    } catch (error) {
      if (this.#open === opened) this.#forget();
      throw error;
    } finally {
      opened.users--;
      if (this.#open !== opened && opened.users === 0) await closeQuietly(opened);
    }
  }

  #take(): OpenFile {
    if (this.#isClosed) throw new RepositoryError('REPOSITORY_IO', `${this.#path}: was closed`);
    this.#open ??= { handle: openRegular(this.#path), users: 0 };
    this.#open.users++;
    openFiles.delete(this);
    openFiles.add(this);
    mostOpenFiles ??= Math.min(MAX_OPEN_FILES, (openFileLimit() ?? Infinity) * SHARE_OF_LIMIT);
    closeIdle(mostOpenFiles);
    return this.#open;
  }

  /** The next use opens the file again. */
  #forget(): OpenFile | undefined {
    const opened = this.#open;
    this.#open = undefined;
    openFiles.delete(this);
    return opened;
  }
}
