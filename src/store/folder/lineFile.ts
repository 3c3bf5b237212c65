/** A file that grows by lines: a journal. A line that is urgent is on disk when it was appended. */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { LineFile } from '../store.ts';
import { guardRepository, PARTIAL_SUFFIX, syncFolder } from './durableFile.ts';

export class DiskLineFile implements LineFile {
  readonly #file: string;
  readonly #handle: FileHandle;
  #lastWrite: Promise<void> = Promise.resolve();
  #isSynced = true;

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  /**
   * Starts a file and replaces the old one by a rename, so one of the two always exists.
   *
   * @throws {@link RepositoryError} `REPOSITORY_IO`, `REPOSITORY_FULL`
   */
  static async start(file: string, lines: readonly string[]): Promise<DiskLineFile> {
    const partial = `${file}${PARTIAL_SUFFIX}`;
    return await guardRepository(`create ${file}`, async () => {
      await rm(partial, { force: true });
      const started = new DiskLineFile(file, await open(partial, 'wx', 0o600));
      try {
        for (const line of lines) await started.append(line, true);
        await rename(partial, file);
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
