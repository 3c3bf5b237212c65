/**
 * One folder of a file system, as a place for the files of a VM.
 *
 * While it holds the lock, all its changes are fenced, see {@link ChainLock}. A deletion has no
 * temporary file. It checks the lock right before, so only a holder that is paused between these
 * two calls can delete later. That is safe: the chain metadata gave the file up before, so the next
 * session deletes it, too, and no name of a container is used again. A journal that is deleted so
 * late names things on the engine that `ownership` finds by their descriptions.
 */
import { open, readdir, rm, stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BackupError, errnoOf } from '../../core/errors.ts';
import { repositoryFailure } from '../../core/systemErrors.ts';
import { isShared } from '../lockLease.ts';
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
  type Fence,
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
/** Temporary files of writers without the lock end with a UUID. They are no business of a fence. */
const SHARED_PARTIAL = /\.[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}\.partial$/;

export class DiskFolder implements StoreFolder {
  readonly name: string;
  readonly locks = undefined;
  #lock: ChainLock | undefined;
  /** Temporary files of others that were deleted with the lock. */
  #removedPartials: string[] = [];

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
    await writeDurable(this.pathOf(fileName), content, this.#fence);
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
      if (!isShared(fileName)) await this.#fence?.check();
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
    const fence = this.#fence;
    return {
      storage: await openStorage(partial, 'create'),
      lockedUntilMs: undefined,
      publish: () => publishFile(partial, target, fence),
      withdraw: () => Promise.resolve(),
      discard: () => removeQuietly(partial),
    };
  }

  async startLines(fileName: string, lines: readonly string[]): Promise<LineFile> {
    const fence = isShared(fileName) ? undefined : this.#fence;
    return await DiskLineFile.start(this.pathOf(fileName), lines, fence);
  }

  async removeLeftovers(): Promise<string[]> {
    const known = this.#removedPartials.splice(0);
    return [...known, ...(await this.#removePartials(() => true))];
  }

  async #removePartials(isWanted: (name: string) => boolean): Promise<string[]> {
    const names = (await this.fileNames()).filter((name) => name.endsWith(PARTIAL_SUFFIX));
    const wanted = names.filter(isWanted);
    for (const name of wanted) {
      const file = this.pathOf(name);
      await this.#fence?.check();
      await guardRepository(`remove ${file}`, () => rm(file, { force: true }));
    }
    return wanted;
  }

  /** The temporary files of others go first: their holders may only be paused. */
  async lock(): Promise<ChainLock> {
    const lock = await ChainLock.acquire(this.name);
    try {
      this.#lock = lock;
      this.#removedPartials = await this.#removePartials((name) => !SHARED_PARTIAL.test(name));
      return lock;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Undefined without the lock. */
  get #fence(): Fence | undefined {
    const lock = this.#lock;
    if (!lock || lock.isReleased) return undefined;
    return { tag: String(lock.token), check: () => lock.assertHeld() };
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
