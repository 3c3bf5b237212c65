/**
 * Where a repository lives: the little that it needs of a place. A folder and a bucket implement
 * it. Sealing wraps either.
 *
 * Errors of the place are thrown as {@link RepositoryError}: `REPOSITORY_IO`, `REPOSITORY_FULL`, or
 * a code that an implementation names. Reads are repeated while their error may pass.
 */
import type { Storage } from './storage.ts';

/** Content of a small file. Texts are UTF-8. A sealed file is no text. */
export type FileContent = string | Uint8Array;

/** Size and time of a file, by the clock of its server. */
export interface FileFacts {
  readonly sizeBytes: number;
  readonly modifiedAtMs: number;
}

/** A file that could not be deleted. It still exists, or may still exist. */
export interface FailedRemoval {
  readonly fileName: string;
  /** One word of the system or the server: an errno, or an error code of S3. */
  readonly reason: string;
}

/**
 * The lock of a folder, held by this process. It has a lease that its holder renews. A holder that
 * does not renew it, because it was paused, loses it to the next process that wants it.
 *
 * Writes of the folder that holds the lock are fenced: after another process took the lock, they
 * fail with `REPOSITORY_LOCKED` and change nothing. Each place says how.
 */
export interface StoreLock extends AsyncDisposable {
  /** Fencing token. A process that takes a lock over has a larger one than the holder before. */
  readonly token: number;
  /**
   * True when the place fences chain metadata by its content. Then a process that took the lock
   * over must write the metadata with its token before it relies on it.
   */
  readonly mustMark: boolean;
  /** Aborted, with the error as reason, when the holder notices that it lost the lock. */
  readonly lost: AbortSignal;
  /**
   * Checks that nobody took the lock over. Call it right before a restore point is published.
   *
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
   */
  assertHeld(): Promise<void>;
  /**
   * As {@link assertHeld}, for clean-up. Where that would take a request, a renewal of a moment ago
   * is enough. Never throws.
   */
  isHeld(): Promise<boolean>;
  /** Never throws, because the result of the session must not change any more. */
  release(): Promise<void>;
}

/** A container that is being written. It has no name yet, or one that no reader looks for. */
export interface NewContainer {
  /** Its owner closes it before {@link publish} or {@link discard}. */
  readonly storage: Storage;
  /** Time until which the container will be locked against deletion; undefined without a lock. */
  readonly lockedUntilMs: number | undefined;
  /** Gives the finished container its name. From then on it is there, whole, after a crash too. */
  publish(): Promise<void>;
  /**
   * Deletes a container that got its name after another process took the lock over, where a place
   * cannot refuse that. Does nothing elsewhere. Chain metadata must not name it. Never throws.
   */
  withdraw(): Promise<void>;
  /** Deletes what was written. Never throws: the next session deletes what is left. */
  discard(): Promise<void>;
}

export interface NewContainerOptions {
  /** The most bytes that the container may get, if known. Parts of an upload follow from it. */
  readonly expectedBytes?: number | undefined;
}

/** A file that grows by lines. */
export interface LineFile {
  /**
   * Adds a line. Lines keep the order of the calls.
   *
   * @param line - ends with a newline.
   * @param isUrgent - the promise resolves when the line is on stable storage, with all before it.
   *   Otherwise the line may be on its way for long.
   */
  append(line: string, isUrgent: boolean): Promise<void>;
  /** Writes what is on its way. Never throws. May be called twice. */
  close(): Promise<void>;
}

/** Object Lock of a bucket: files that nobody may delete before a time. */
export interface FileLocks {
  /** Times until which files are locked. Files without a lock are absent. */
  lockedUntil(fileNames: readonly string[]): Promise<ReadonlyMap<string, number>>;
  /** Makes each lock last until `untilMs` at least. Locks are never shortened. */
  extend(fileNames: readonly string[], untilMs: number): Promise<void>;
}

/**
 * One flat folder of files. File names are single path elements. Times of files are those of the
 * file server.
 */
export interface StoreFolder {
  /** Path or URL, for messages and reports. */
  readonly name: string;
  /** Path or URL of a file, for messages. */
  pathOf(fileName: string): string;
  /** Names of all files, as they are now. Empty when the folder does not exist. */
  fileNames(): Promise<string[]>;
  /**
   * Names of all finished containers. While this process holds the lock it may answer from memory,
   * because only the holder of the lock makes and deletes containers.
   */
  containerNames(): Promise<string[]>;
  /** Facts of those files that exist. */
  facts(fileNames: readonly string[]): Promise<ReadonlyMap<string, FileFacts>>;
  /**
   * The content of a file; undefined when there is none.
   *
   * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when it has more than `maxBytes`
   */
  readFile(fileName: string, maxBytes: number): Promise<Buffer | undefined>;
  /** Replaces a file whole. The caller must hold the lock. Locked, where files are locked. */
  writeFile(fileName: string, content: FileContent): Promise<void>;
  /** As {@link writeFile}, for files of several writers without the lock. Never locked. */
  writeShared(fileName: string, content: FileContent): Promise<void>;
  /** Creates a file. Of several processes one wins. @returns false when there was one. */
  createFile(fileName: string, content: FileContent): Promise<boolean>;
  /**
   * Gives a file, which this process wrote with the same content, the time of the file server.
   *
   * @returns false when the file is gone.
   */
  touch(fileName: string, content: FileContent): Promise<boolean>;
  /** Deletes files. Files that do not exist count as deleted. What is deleted stays so. */
  remove(fileNames: readonly string[]): Promise<FailedRemoval[]>;
  /**
   * Opens a container for reading.
   *
   * @throws {@link RepositoryError} `REPOSITORY_IO`, with `details.errno` `ENOENT` when it is
   *   missing
   */
  openContainer(fileName: string): Promise<Storage>;
  /** Starts a container. `fileName` must be unused. The caller must hold the lock. */
  createContainer(fileName: string, options?: NewContainerOptions): Promise<NewContainer>;
  /** Starts a file of lines. It replaces an older one at once, with `lines` in it. */
  startLines(fileName: string, lines: readonly string[]): Promise<LineFile>;
  /**
   * Deletes what stopped sessions left unfinished. The caller must hold the lock.
   *
   * @returns their names.
   */
  removeLeftovers(): Promise<string[]>;
  /** @throws {@link RepositoryError} `REPOSITORY_LOCKED` */
  lock(): Promise<StoreLock>;
  /** When the lock was taken, by the clock of the file server; -Infinity without a lock. */
  lockedAtMs(): Promise<number>;
  /** Bytes that can still be written; undefined when there is no limit or it is not known. */
  freeBytes(): Promise<number | undefined>;
  /** Undefined where files cannot be locked against deletion. */
  readonly locks: FileLocks | undefined;
}

/** How new containers and chain metadata are locked against deletion. */
export interface Immutability {
  readonly periodMs: number;
  /** `governance`: an account with a special permission may end it. `compliance`: nobody may. */
  readonly mode: 'compliance' | 'governance';
}

/** Files that were brought back. Names are paths below the top. */
export interface Undeleted {
  readonly files: readonly string[];
  /** Files that stay hidden, because what hides them could not be deleted. */
  readonly failed: readonly FailedRemoval[];
}

export interface Store {
  /** Path or URL, for messages and reports. Without secrets. */
  readonly name: string;
  /** Files beside the folders of VMs: the marker of the repository. They are never sealed. */
  readonly root: StoreFolder;
  /** Names of files and folders at the top; undefined when there is no such place. */
  names(): Promise<string[] | undefined>;
  /** A folder at the top. It need not exist. No I/O. */
  folder(name: string): StoreFolder;
  /** Makes the place itself, where it is missing. */
  make(): Promise<void>;
  /** Makes a folder at the top. It is no error when it exists. */
  makeFolder(name: string): Promise<void>;
  /** Keeps a little space, so that a prune can begin on a full volume. Never throws. */
  keepReserve(): Promise<void>;
  /** Gives that space away. @returns false when there is none. */
  freeReserve(): Promise<boolean>;
  readonly immutability: Immutability | undefined;
  /**
   * Brings back containers, chain metadata, keys and the marker that somebody deleted, and
   * containers that somebody replaced. Undefined where a place keeps no old versions.
   */
  readonly undelete?: (() => Promise<Undeleted>) | undefined;
  /** Ends connections and removes keys from memory. May be called twice. */
  close(): Promise<void>;
}

export interface StoreOptions {
  /** File with a generated key, a passphrase or a recovery key of a sealed repository. */
  readonly keyFile?: string | undefined;
  /** Folder for copies of metadata of containers in a bucket. It may be deleted at any time. */
  readonly cache?: string | undefined;
  /** Locks new containers in a bucket against deletion. */
  readonly immutable?: Immutability | undefined;
  /**
   * Stops waits for a server that does not answer. Requests that clean up afterwards have a few
   * seconds each.
   */
  readonly signal?: AbortSignal | undefined;
  /** Gets a text when requests are repeated, because a server does not answer. */
  readonly onWait?: ((text: string) => void) | undefined;
  /** Works without a lock where the server has no conditional writes. @defaultValue false */
  readonly noLock?: boolean | undefined;
}
