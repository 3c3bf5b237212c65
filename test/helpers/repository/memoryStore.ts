/** A store in memory, over a filesystem-like place or one like object storage. */
import { RepositoryError } from '../../../src/core/errors.ts';
import type { Storage } from '../../../src/store/storage.ts';
import type {
  FailedRemoval,
  FileContent,
  FileFacts,
  FileLocks,
  Immutability,
  LineFile,
  NewContainer,
  Store,
  StoreFolder,
  StoreLock,
} from '../../../src/store/store.ts';
import { MemoryStorage } from '../bytes/memoryStorage.ts';

/** One write of a container, as the store got it. */
export interface StoredWrite {
  readonly offsetBytes: number;
  readonly bytes: Buffer;
}

/** The bytes of one container. */
export class StoredContainer extends MemoryStorage {
  override readonly canReadBack: boolean;

  constructor(name: string, content: Buffer, canReadBack: boolean) {
    super(content, name);
    this.canReadBack = canReadBack;
  }

  /** In the order of the calls. */
  get writes(): StoredWrite[] {
    return this.events.filter((event) => event.kind === 'write');
  }

  get syncs(): number {
    return this.events.filter((event) => event.kind === 'sync').length;
  }
}

interface StoredFile {
  readonly content: Buffer;
  readonly modifiedAtMs: number;
}

export interface MemoryStoreOptions {
  /** False for a store that behaves as object storage does. @defaultValue true */
  readonly canReadBack?: boolean;
  /** Locks new containers. With it, files can be locked at all. */
  readonly immutability?: Immutability;
}

/** Locks of a folder, as a server keeps them. Tests change them. */
export class MemoryLocks implements FileLocks {
  readonly untilMs = new Map<string, number>();
  /** Calls of {@link extend}: its files and time, in order. */
  readonly extended: { readonly fileNames: readonly string[]; readonly untilMs: number }[] = [];

  async lockedUntil(fileNames: readonly string[]): Promise<ReadonlyMap<string, number>> {
    return new Map([...this.untilMs].filter(([fileName]) => fileNames.includes(fileName)));
  }

  async extend(fileNames: readonly string[], untilMs: number): Promise<void> {
    this.extended.push({ fileNames, untilMs });
    for (const fileName of fileNames) {
      this.untilMs.set(fileName, Math.max(untilMs, this.untilMs.get(fileName) ?? 0));
    }
  }

  isLocked(fileName: string): boolean {
    return (this.untilMs.get(fileName) ?? 0) > Date.now();
  }
}

export class MemoryFolder implements StoreFolder {
  readonly name: string;
  readonly locks: MemoryLocks | undefined;
  /** Files by name, containers too. Tests change them. */
  readonly files = new Map<string, StoredFile>();
  /** The last container that was started. */
  started: StoredContainer | undefined;
  readonly #canReadBack: boolean;
  readonly #immutability: Immutability | undefined;
  #lockedAtMs: number | undefined;
  #nowMs = Date.UTC(2026, 0, 1);

  constructor(name: string, { canReadBack = true, immutability }: MemoryStoreOptions = {}) {
    this.name = name;
    this.locks = immutability && new MemoryLocks();
    this.#canReadBack = canReadBack;
    this.#immutability = immutability;
  }

  pathOf(fileName: string): string {
    return `${this.name}/${fileName}`;
  }

  /** Replaces the bytes of a file, as somebody who can write to the place does. */
  put(fileName: string, content: Uint8Array): void {
    this.files.set(fileName, { content: Buffer.from(content), modifiedAtMs: this.#nowMs++ });
  }

  contentOf(fileName: string): Buffer {
    const file = this.files.get(fileName);
    if (!file) throw new Error(`no file ${fileName}`);
    return file.content;
  }

  async fileNames(): Promise<string[]> {
    return [...this.files.keys()];
  }

  async containerNames(): Promise<string[]> {
    return [...this.files.keys()].filter((name) => /\.v[bi][bk]$/.test(name));
  }

  async facts(fileNames: readonly string[]): Promise<ReadonlyMap<string, FileFacts>> {
    const facts = new Map<string, FileFacts>();
    for (const fileName of fileNames) {
      const file = this.files.get(fileName);
      if (!file) continue;
      facts.set(fileName, { sizeBytes: file.content.length, modifiedAtMs: file.modifiedAtMs });
    }
    return facts;
  }

  async readFile(fileName: string, maxBytes: number): Promise<Buffer | undefined> {
    const file = this.files.get(fileName);
    if (!file || file.content.length <= maxBytes) return file && Buffer.from(file.content);
    throw new RepositoryError('REPOSITORY_METADATA_INVALID', `${fileName} is too large`);
  }

  async writeFile(fileName: string, content: FileContent): Promise<void> {
    this.put(fileName, Buffer.from(content));
  }

  async writeShared(fileName: string, content: FileContent): Promise<void> {
    this.put(fileName, Buffer.from(content));
  }

  async createFile(fileName: string, content: FileContent): Promise<boolean> {
    if (this.files.has(fileName)) return false;
    this.put(fileName, Buffer.from(content));
    return true;
  }

  async touch(fileName: string, content: FileContent): Promise<boolean> {
    if (!this.files.has(fileName)) return false;
    this.put(fileName, Buffer.from(content));
    return true;
  }

  async remove(fileNames: readonly string[]): Promise<FailedRemoval[]> {
    const locked = fileNames.filter((fileName) => this.locks?.isLocked(fileName));
    for (const fileName of fileNames) if (!locked.includes(fileName)) this.files.delete(fileName);
    return locked.map((fileName) => ({ fileName, reason: 'LOCKED' }));
  }

  async openContainer(fileName: string): Promise<Storage> {
    const file = this.files.get(fileName);
    if (file) return new StoredContainer(this.pathOf(fileName), file.content, true);
    const details = { errno: 'ENOENT' };
    throw new RepositoryError('REPOSITORY_IO', `open ${this.pathOf(fileName)}: ENOENT`, {
      details,
    });
  }

  async createContainer(fileName: string): Promise<NewContainer> {
    const name = this.pathOf(fileName);
    const storage = new StoredContainer(name, Buffer.alloc(0), this.#canReadBack);
    this.started = storage;
    const { periodMs } = this.#immutability ?? {};
    const lockedUntilMs = periodMs === undefined ? undefined : Date.now() + periodMs;
    return {
      storage,
      lockedUntilMs,
      publish: async () => {
        this.put(fileName, storage.content);
        if (lockedUntilMs !== undefined) this.locks?.untilMs.set(fileName, lockedUntilMs);
      },
      withdraw: async () => {},
      discard: async () => {},
    };
  }

  async startLines(fileName: string, lines: readonly string[]): Promise<LineFile> {
    this.put(fileName, Buffer.from(lines.join('')));
    return {
      append: async (line) => {
        this.put(fileName, Buffer.concat([this.contentOf(fileName), Buffer.from(line)]));
      },
      close: async () => {},
    };
  }

  async freeBytes(): Promise<undefined> {
    return undefined;
  }

  async removeLeftovers(): Promise<string[]> {
    return [];
  }

  async lock(): Promise<StoreLock> {
    if (this.#lockedAtMs !== undefined) {
      throw new RepositoryError('REPOSITORY_LOCKED', `${this.name} is locked`);
    }
    this.#lockedAtMs = this.#nowMs++;
    const release = async (): Promise<void> => {
      this.#lockedAtMs = undefined;
    };
    return {
      token: this.#lockedAtMs,
      mustMark: false,
      lost: new AbortController().signal,
      assertHeld: async () => {},
      isHeld: async () => true,
      release,
      [Symbol.asyncDispose]: release,
    };
  }

  async lockedAtMs(): Promise<number> {
    return this.#lockedAtMs ?? Number.NEGATIVE_INFINITY;
  }
}

export class MemoryStore implements Store {
  readonly name = 'memory';
  readonly immutability: Immutability | undefined;
  readonly root: MemoryFolder;
  isClosed = false;
  readonly #options: MemoryStoreOptions;
  readonly #folders = new Map<string, MemoryFolder>();

  constructor(options: MemoryStoreOptions = {}) {
    this.#options = options;
    this.immutability = options.immutability;
    this.root = new MemoryFolder(this.name, options);
  }

  async names(): Promise<string[]> {
    return [...this.root.files.keys(), ...this.#folders.keys()];
  }

  folder(name: string): MemoryFolder {
    const known = this.#folders.get(name);
    if (known) return known;
    const folder = new MemoryFolder(`${this.name}/${name}`, this.#options);
    this.#folders.set(name, folder);
    return folder;
  }

  async make(): Promise<void> {}

  async makeFolder(name: string): Promise<void> {
    this.folder(name);
  }

  async keepReserve(): Promise<void> {}

  async freeReserve(): Promise<boolean> {
    return false;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}
