/** A sealed folder of files. Names, times and locks are those of the folder below. */
import { RepositoryError } from '../../core/errors.ts';
import type { Storage } from '../storage.ts';
import type {
  FailedRemoval,
  FileContent,
  FileFacts,
  FileLocks,
  LineFile,
  NewContainer,
  NewContainerOptions,
  StoreFolder,
  StoreLock,
} from '../store.ts';
import type { FilePlace, KeyRing } from './keys.ts';
import { headerLine, maxSealedBytes, openSmallFile, sealLine, sealWhole } from './sealedFiles.ts';
import type { ChunkCipher } from './chunkCipher.ts';
import { LINES_MAGIC, plainSizeOf, sealedSizeOf } from './sealFormat.ts';
import { SealedReader } from './sealedReader.ts';
import { SealedWriter } from './sealedWriter.ts';

class SealedLines implements LineFile {
  readonly #base: LineFile;
  readonly #cipher: ChunkCipher;
  #lineNumber: number;

  constructor(base: LineFile, cipher: ChunkCipher, lineNumber: number) {
    this.#base = base;
    this.#cipher = cipher;
    this.#lineNumber = lineNumber;
  }

  async append(line: string, isUrgent: boolean): Promise<void> {
    const sealed = sealLine(this.#cipher, line, this.#lineNumber++);
    await this.#base.append(sealed, isUrgent);
  }

  async close(): Promise<void> {
    await this.#base.close();
  }
}

export class SealedFolder implements StoreFolder {
  readonly name: string;
  readonly locks: FileLocks | undefined;
  readonly #base: StoreFolder;
  readonly #folder: string;
  readonly #keys: KeyRing;

  /** @param folder - its name in the store. The keys of its files depend on it. */
  constructor(base: StoreFolder, folder: string, keys: KeyRing) {
    this.name = base.name;
    this.locks = base.locks;
    this.#base = base;
    this.#folder = folder;
    this.#keys = keys;
  }

  pathOf(fileName: string): string {
    return this.#base.pathOf(fileName);
  }

  async fileNames(): Promise<string[]> {
    return await this.#base.fileNames();
  }

  async containerNames(): Promise<string[]> {
    return await this.#base.containerNames();
  }

  /** Sizes are those of the plain files. For files of lines they are only near. */
  async facts(fileNames: readonly string[]): Promise<ReadonlyMap<string, FileFacts>> {
    const facts = await this.#base.facts(fileNames);
    return new Map(
      Array.from(facts, ([fileName, { sizeBytes, modifiedAtMs }]) => [
        fileName,
        { sizeBytes: plainSizeOf(sizeBytes), modifiedAtMs },
      ]),
    );
  }

  async readFile(fileName: string, maxBytes: number): Promise<Buffer | undefined> {
    const sealed = await this.#base.readFile(fileName, maxSealedBytes(maxBytes));
    if (!sealed) return undefined;
    const plain = openSmallFile(this.#keys, this.#placeOf(fileName), sealed);
    if (plain.length <= maxBytes) return plain;
    throw new RepositoryError(
      'REPOSITORY_METADATA_INVALID',
      `${this.pathOf(fileName)} has more than ${maxBytes} B; no file of a repository is so large`,
    );
  }

  async writeFile(fileName: string, content: FileContent): Promise<void> {
    await this.#base.writeFile(fileName, this.#seal(fileName, content));
  }

  async writeShared(fileName: string, content: FileContent): Promise<void> {
    await this.#base.writeShared(fileName, this.#seal(fileName, content));
  }

  async createFile(fileName: string, content: FileContent): Promise<boolean> {
    return await this.#base.createFile(fileName, this.#seal(fileName, content));
  }

  /** The content is sealed anew. The store below may write it, or change the time only. */
  async touch(fileName: string, content: FileContent): Promise<boolean> {
    return await this.#base.touch(fileName, this.#seal(fileName, content));
  }

  async remove(fileNames: readonly string[]): Promise<FailedRemoval[]> {
    return await this.#base.remove(fileNames);
  }

  async openContainer(fileName: string): Promise<Storage> {
    const storage = await this.#base.openContainer(fileName);
    return await SealedReader.open(storage, this.#keys, this.#placeOf(fileName));
  }

  async createContainer(
    fileName: string,
    { expectedBytes }: NewContainerOptions = {},
  ): Promise<NewContainer> {
    const sealedBytes = expectedBytes === undefined ? undefined : sealedSizeOf(expectedBytes);
    const container = await this.#base.createContainer(fileName, { expectedBytes: sealedBytes });
    const storage = await this.#startContainer(container, fileName);
    const { lockedUntilMs } = container;
    return {
      storage,
      lockedUntilMs,
      publish: () => container.publish(),
      withdraw: () => container.withdraw(),
      discard: () => container.discard(),
    };
  }

  async startLines(fileName: string, lines: readonly string[]): Promise<LineFile> {
    const { cipher, header } = this.#keys.startFile(LINES_MAGIC, this.#placeOf(fileName));
    const sealed = lines.map((line, index) => sealLine(cipher, line, index + 1));
    const base = await this.#base.startLines(fileName, [headerLine(cipher, header), ...sealed]);
    return new SealedLines(base, cipher, lines.length + 1);
  }

  async removeLeftovers(): Promise<string[]> {
    return await this.#base.removeLeftovers();
  }

  async lock(): Promise<StoreLock> {
    return await this.#base.lock();
  }

  async lockedAtMs(): Promise<number> {
    return await this.#base.lockedAtMs();
  }

  async freeBytes(): Promise<number | undefined> {
    return await this.#base.freeBytes();
  }

  async #startContainer(container: NewContainer, fileName: string): Promise<Storage> {
    try {
      return await SealedWriter.create(container.storage, this.#keys, this.#placeOf(fileName));
    } catch (error) {
      await container.storage.close().catch(() => {});
      await container.discard();
      throw error;
    }
  }

  #seal(fileName: string, content: FileContent): Buffer {
    return sealWhole(this.#keys, this.#placeOf(fileName), Buffer.from(content));
  }

  #placeOf(fileName: string): FilePlace {
    return { file: this.pathOf(fileName), folder: this.#folder, fileName };
  }
}
