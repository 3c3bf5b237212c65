/** A file that grows by lines: a journal. A line that is urgent is on disk when it was appended. */
import { type FileHandle, open, rm } from 'node:fs/promises';
import path from 'node:path';
import type { LineFile } from '../store.ts';
import { type Fence, guardRepository, partialOf, renameFenced, syncFolder } from './durableFile.ts';

export class DiskLineFile implements LineFile {
  readonly #file: string;
  readonly #handle: FileHandle;
  readonly #fence: Fence | undefined;
  #lastWrite: Promise<void> = Promise.resolve();
  #isSynced = true;

  private constructor(file: string, handle: FileHandle, fence: Fence | undefined) {
    this.#file = file;
    this.#handle = handle;
    this.#fence = fence;
  }

  /**
   * Starts a file and replaces the old one by a rename, so one of the two always exists.
   *
   * @param fence - checked before each urgent line. So no step begins without the lock.
   * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`, and what the fence throws
   */
  static async start(file: string, lines: readonly string[], fence?: Fence): Promise<DiskLineFile> {
    const partial = partialOf(file, fence);
    return await guardRepository(`create ${file}`, async () => {
      await rm(partial, { force: true });
      const started = new DiskLineFile(file, await open(partial, 'wx', 0o600), fence);
      try {
        for (const line of lines) await started.append(line, true);
        await renameFenced(partial, file, fence);
        await syncFolder(path.dirname(file));
      } catch (error) {
        await started.close();
        throw error;
      }
      return started;
    });
  }

  async append(line: string, isUrgent: boolean): Promise<void> {
    const write = this.#lastWrite.then(async () => {
      await guardRepository(`write ${this.#file}`, async () => {
        if (isUrgent) await this.#fence?.check();
        // `write` may write only a part of the line. `writeFile` writes all of it.
        await this.#handle.writeFile(line);
        this.#isSynced = isUrgent;
        if (this.#isSynced) await this.#handle.datasync();
      });
    });
    this.#lastWrite = write.catch(() => {});
    await write;
  }

  async close(): Promise<void> {
    if (!this.#isSynced) await this.#handle.datasync().catch(() => {});
    await this.#handle.close().catch(() => {});
  }
}
