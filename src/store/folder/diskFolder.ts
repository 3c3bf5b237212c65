/** One folder of a file system, as a place for the files of a VM. */
import { open, readdir, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BackupError, errnoOf } from '../../core/errors.ts';
import { repositoryFailure } from '../../core/systemErrors.ts';
import type { Storage } from '../storage.ts';
import type {
  FailedRemoval,
  FileContent,
  FileFacts,
  LineFile,
  NewContainer,
  StoreFolder,
} from '../store.ts';
import { ChainLock, lockedAtMs } from './chainLock.ts';
import {
  createDurable,
  guardRead,
  guardRepository,
  PARTIAL_SUFFIX,
  publishFile,
  readBytes,
  removeQuietly,
  syncFolder,
  writeDurable,
  writeDurableShared,
} from './durableFile.ts';
import { openStorage } from './fileStorage.ts';
import { DiskLineFile } from './lineFile.ts';

/** ENOTDIR: the folder itself is a file. */
const NO_FILE_ERRNOS = new Set(['ENOENT', 'ENOTDIR']);
const CONTAINER_NAME = /\.(vbk|vib)$/;

export class DiskFolder implements StoreFolder {
  readonly name: string;
  readonly locks = undefined;

  constructor(folder: string) {
    this.name = folder;
  }

  pathOf(fileName: string): string {
    return path.join(this.name, fileName);
  }

  async fileNames(): Promise<string[]> {
    return await guardRead(`read ${this.name}`, () => readdir(this.name));
  }

  async containerNames(): Promise<string[]> {
    return (await this.fileNames()).filter((name) => CONTAINER_NAME.test(name)).toSorted();
  }

  async facts(fileNames: readonly string[]): Promise<ReadonlyMap<string, FileFacts>> {
    const known = new Map<string, FileFacts>();
    for (const fileName of fileNames) {
      const facts = await guardRead(`read ${fileName}`, () => this.#factsOf(fileName));
      if (facts) known.set(fileName, facts);
    }
    return known;
  }

  async #factsOf(fileName: string): Promise<FileFacts | undefined> {
    try {
      const { size, mtimeMs } = await stat(this.pathOf(fileName));
      return { sizeBytes: size, modifiedAtMs: mtimeMs };
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  async readFile(fileName: string, maxBytes: number): Promise<Buffer | undefined> {
    const file = this.pathOf(fileName);
    try {
      return await readBytes(file, maxBytes);
    } catch (error) {
      if (error instanceof BackupError) throw error;
      if (NO_FILE_ERRNOS.has(errnoOf(error) ?? '')) return undefined;
      throw repositoryFailure(`read ${file}`, error);
    }
  }

  async writeFile(fileName: string, content: FileContent): Promise<void> {
    await writeDurable(this.pathOf(fileName), content);
  }

  async writeShared(fileName: string, content: FileContent): Promise<void> {
    await writeDurableShared(this.pathOf(fileName), content);
  }

  async createFile(fileName: string, content: FileContent): Promise<boolean> {
    return await createDurable(this.pathOf(fileName), content);
  }

  /**
   * Writes the same bytes again: then the file server sets the time, and not the clock of this
   * host.
   */
  async touch(fileName: string, content: FileContent): Promise<boolean> {
    const file = this.pathOf(fileName);
    return await guardRepository(`write ${file}`, async () => {
      try {
        const handle = await open(file, 'r+');
        try {
          const bytes = Buffer.from(content);
          await handle.write(bytes, 0, bytes.length, 0);
          await handle.sync();
        } finally {
          await handle.close();
        }
        return true;
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
        return false;
      }
    });
  }

  /** One sync of the folder for all. After a power cut no deleted file comes back. */
  async remove(fileNames: readonly string[]): Promise<FailedRemoval[]> {
    const failed: FailedRemoval[] = [];
    for (const fileName of fileNames) {
      try {
        await rm(this.pathOf(fileName), { force: true });
      } catch (error) {
        failed.push({ fileName, reason: errnoOf(error) ?? String(error) });
      }
    }
    await guardRepository(`sync ${this.name}`, () => syncFolder(this.name));
    return failed;
  }

  async openContainer(fileName: string): Promise<Storage> {
    return await openStorage(this.pathOf(fileName), 'read');
  }

  /** The container has a temporary name until it is published. */
  async createContainer(fileName: string): Promise<NewContainer> {
    const target = this.pathOf(fileName);
    const partial = `${target}${PARTIAL_SUFFIX}`;
    return {
      storage: await openStorage(partial, 'create'),
      lockedUntilMs: undefined,
      publish: () => publishFile(partial, target),
      discard: () => removeQuietly(partial),
    };
  }

  async startLines(fileName: string, lines: readonly string[]): Promise<LineFile> {
    return await DiskLineFile.start(this.pathOf(fileName), lines);
  }

  async removeLeftovers(): Promise<string[]> {
    const leftovers = (await this.fileNames()).filter((name) => name.endsWith(PARTIAL_SUFFIX));
    for (const name of leftovers) {
      const file = this.pathOf(name);
      await guardRepository(`remove ${file}`, () => rm(file, { force: true }));
    }
    return leftovers;
  }

  async lock(): Promise<ChainLock> {
    return await ChainLock.acquire(this.name);
  }

  async lockedAtMs(): Promise<number> {
    return await lockedAtMs(this.name);
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await guardRepository(`read free space of ${this.name}`, () =>
      statfs(this.name),
    );
    return bavail * bsize;
  }
}
