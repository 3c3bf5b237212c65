/** One folder of a repository in a bucket. */
import { RepositoryError } from '../../core/errors.ts';
import { isShared, type LockTimes } from '../lockLease.ts';
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
import { openObject, type ReadSettings } from './containerRead.ts';
import { ContainerUpload } from './containerUpload.ts';
import { ObjectLines } from './lineFile.ts';
import { ObjectLock } from './lock.ts';
import { lockTimeMs } from './lockHolder.ts';
import { keyOf, type S3Location, urlOf } from './location.ts';
import type { BucketLocks } from './objectLocks.ts';
import type { Bucket, ObjectFacts, Retention } from './requests/bucket.ts';
import { removeObjects, removeRemains } from './requests/removal.ts';
import { Uploads } from './requests/uploads.ts';

const LOCK_NAME = 'lock';
const CONTAINER_NAME = /\.(?:vbk|vib)$/;
/** Left by a backup session that was killed. */
const JOURNAL_NAME = 'journal.ndjson';

/** What the folders of a repository share. */
export interface S3Place {
  readonly location: S3Location;
  readonly bucket: Bucket;
  readonly locks: BucketLocks;
  readonly reads: ReadSettings;
  readonly lockTimes: LockTimes;
}

const UNLOCKED: StoreLock = {
  token: 0,
  mustMark: false,
  lost: new AbortController().signal,
  assertHeld: () => Promise.resolve(),
  isHeld: () => Promise.resolve(true),
  release: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/**
 * A container of another process that is so much newer than the lock is of a holder that was
 * paused. Times of a server are rounded to seconds.
 */
const LATE_AFTER_MS = 2000;
/** Its own process deletes it, unless the times are too near to tell. */
const WITHDRAWN_AFTER_MS = 2 * LATE_AFTER_MS;

type Listing = Map<string, ObjectFacts>;

function bytesOf(content: FileContent): Buffer {
  return typeof content === 'string' ? Buffer.from(content) : Buffer.from(content);
}

export class S3Folder implements StoreFolder {
  readonly name: string;
  readonly locks: FileLocks;
  readonly #place: S3Place;
  readonly #bucket: Bucket;
  readonly #uploads: Uploads;
  /** '' for the root. */
  readonly #folder: string;
  readonly #openLines = new Map<string, ObjectLines>();
  #lock: ObjectLock | undefined;
  /** Objects of the folder since the lock is held. Own writes are added. */
  #listing: Promise<Listing> | undefined;
  readonly #published = new Set<string>();
  /** Uploads of others that were ended with the lock. */
  #endedUploads: string[] | undefined;
  /** True when parts of an own upload could not be deleted. */
  #hasLeftParts = false;

  constructor(place: S3Place, folder: string) {
    this.#place = place;
    this.#bucket = place.bucket;
    this.#folder = folder;
    this.#uploads = new Uploads(place.bucket);
    this.name = urlOf(place.location, folder);
    this.locks = place.locks.filesOf((fileName) => this.#keyOf(fileName));
  }

  pathOf(fileName: string): string {
    return urlOf(this.#place.location, this.#folder, fileName);
  }

  #keyOf(fileName: string): string {
    return keyOf(this.#place.location, this.#folder, fileName);
  }

  get #prefix(): string {
    const prefix = keyOf(this.#place.location, this.#folder);
    return prefix && `${prefix}/`;
  }

  async #list(): Promise<Listing> {
    const { files } = await this.#bucket.list(this.#prefix);
    for (const [name, { modifiedAtMs }] of files) {
      const isOwn = !CONTAINER_NAME.test(name) || this.#published.has(name);
      if (!isOwn && modifiedAtMs > this.#lateAfterMs) files.delete(name);
    }
    return files;
  }

  get #lateAfterMs(): number {
    return this.#lock ? this.#lock.takenAtMs + LATE_AFTER_MS : Infinity;
  }

  /** One list for the time of the lock. Without the lock it is always a new one. */
  async #heldListing(): Promise<Listing> {
    if (!this.#lock) return await this.#list();
    if (!this.#listing) this.#hold(this.#list());
    return await (this.#listing ?? this.#list());
  }

  /** Keeps a list. After its failure the next reader lists anew. */
  #hold(listing: Promise<Listing>): void {
    this.#listing = listing;
    listing.catch(() => {
      if (this.#listing === listing) this.#listing = undefined;
    });
  }

  /** Keeps the list up to date. */
  #note(fileName: string, facts: ObjectFacts | undefined): void {
    const noted = this.#listing?.then((files) => {
      if (facts) files.set(fileName, facts);
      else files.delete(fileName);
      return files;
    });
    if (noted) this.#hold(noted);
  }

  /** Facts of a file that only the holder of the lock makes; `unknown` without the lock. */
  async #heldFacts(fileName: string): Promise<ObjectFacts | undefined | 'unknown'> {
    if (!this.#lock || isShared(fileName)) return 'unknown';
    return (await this.#heldListing()).get(fileName);
  }

  /** A bucket has no limit of its own. */
  freeBytes(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async fileNames(): Promise<string[]> {
    const listing = this.#list();
    if (this.#lock) this.#hold(listing);
    return [...(await listing).keys()];
  }

  async containerNames(): Promise<string[]> {
    return [...(await this.#heldListing()).keys()].filter((name) => CONTAINER_NAME.test(name));
  }

  async facts(fileNames: readonly string[]): Promise<ReadonlyMap<string, FileFacts>> {
    const isHeld = fileNames.every((name) => !isShared(name));
    const files = isHeld ? await this.#heldListing() : await this.#list();
    const found = new Map<string, FileFacts>();
    for (const name of fileNames) {
      const facts = files.get(name);
      if (facts) {
        const { sizeBytes, modifiedAtMs } = facts;
        found.set(name, { sizeBytes, modifiedAtMs });
      }
    }
    return found;
  }

  async readFile(fileName: string, maxBytes: number): Promise<Buffer | undefined> {
    const known = await this.#heldFacts(fileName);
    if (known === undefined) return undefined;
    const found = await this.#bucket.get(this.#keyOf(fileName), maxBytes);
    // The next write replaces what was read here, and nothing else.
    if (known !== 'unknown') this.#note(fileName, found?.facts);
    return found?.bytes;
  }

  async writeFile(fileName: string, content: FileContent): Promise<void> {
    const retention = this.#place.locks.retention();
    if (await this.#replace(fileName, content, retention)) return;
    await this.#lock?.assertHeld();
    throw new RepositoryError(
      'REPOSITORY_LOCKED',
      `${this.pathOf(fileName)} was changed by another session`,
      { hint: 'nothing was changed here since then; run the command again' },
    );
  }

  /**
   * Writes a file that only the holder of the lock writes.
   *
   * @returns false when it is not as this process knows it.
   */
  async #replace(
    fileName: string,
    content: FileContent,
    retention: Retention | undefined,
  ): Promise<boolean> {
    const known = await this.#heldFacts(fileName);
    if (known === 'unknown') return await this.#write(fileName, content, { retention });
    if (known) return await this.#write(fileName, content, { retention, ifMatch: known.etag });
    const options = { retention, onlyIfAbsent: true };
    if (await this.#write(fileName, content, options)) return true;
    // A deleted file may still count there for a write with a condition.
    const areGone = await removeRemains(this.#bucket, this.#keyOf(fileName));
    return areGone && (await this.#write(fileName, content, options));
  }

  async writeShared(fileName: string, content: FileContent): Promise<void> {
    await this.#write(fileName, content, {});
  }

  async #write(
    fileName: string,
    content: FileContent,
    options: Parameters<Bucket['put']>[2],
  ): Promise<boolean> {
    const facts = await this.#bucket.put(this.#keyOf(fileName), bytesOf(content), options);
    if (facts === 'conflict') return false;
    this.#note(fileName, facts);
    return true;
  }

  async createFile(fileName: string, content: FileContent): Promise<boolean> {
    const key = this.#keyOf(fileName);
    const body = bytesOf(content);
    const { locks } = this.#place;
    if (!this.#bucket.hasConditions) {
      if (await this.#bucket.head(key)) return false;
      await this.writeFile(fileName, content);
      return true;
    }
    const isRoot = this.#folder === '';
    // The first file of a repository shows what the server can do, before anything else is there.
    // So it is not locked until the server has proved it.
    const retention = locks.retention();
    const options = { onlyIfAbsent: true, ...(isRoot ? {} : { retention }) };
    const facts = await this.#bucket.put(key, body, options);
    if (facts === 'conflict') return false;
    if (isRoot) await this.#proveConditions(key, body);
    if (isRoot && retention) await this.writeFile(fileName, content);
    this.#note(fileName, facts);
    return true;
  }

  /**
   * Writes a new object once more, which the server must refuse. Locks need a server that does.
   *
   * @throws {@link RepositoryError} `REPOSITORY_UNSUPPORTED`. Nothing is left then.
   */
  async #proveConditions(key: string, body: Buffer): Promise<void> {
    const other = Buffer.concat([body, Buffer.from('\n')]);
    const again = await this.#bucket.put(key, other, { onlyIfAbsent: true });
    if (again === 'conflict') return;
    await removeObjects(this.#bucket, [key]);
    throw new RepositoryError(
      'REPOSITORY_UNSUPPORTED',
      `${this.name}: the server has no conditional writes, so it cannot lock the repository`,
      {
        hint: 'use another server, or --no-lock when only one session at a time works on this repository',
      },
    );
  }

  async touch(fileName: string, content: FileContent): Promise<boolean> {
    const key = this.#keyOf(fileName);
    const found = await this.#bucket.head(key);
    if (!found) return false;
    const condition = this.#bucket.hasConditions ? { ifMatch: found.etag } : {};
    const facts = await this.#bucket.put(key, bytesOf(content), condition);
    return facts !== 'conflict';
  }

  async remove(fileNames: readonly string[]): Promise<FailedRemoval[]> {
    if (fileNames.length === 0) return [];
    if (!fileNames.every(isShared)) await this.#lock?.assertFresh();
    for (const name of fileNames) {
      await this.#openLines.get(name)?.drop();
      this.#openLines.delete(name);
    }
    const failures = await removeObjects(
      this.#bucket,
      fileNames.map((name) => this.#keyOf(name)),
    );
    const failed: FailedRemoval[] = [];
    for (const fileName of fileNames) {
      const reason = failures.get(this.#keyOf(fileName));
      if (reason === undefined) this.#note(fileName, undefined);
      else failed.push({ fileName, reason });
    }
    return failed;
  }

  async openContainer(fileName: string): Promise<Storage> {
    const facts = await this.#heldFacts(fileName);
    const key = this.#keyOf(fileName);
    const known = facts === 'unknown' ? undefined : facts;
    return await openObject(this.#bucket, key, this.#place.reads, known);
  }

  createContainer(fileName: string, options: NewContainerOptions = {}): Promise<NewContainer> {
    const upload = new ContainerUpload(
      { bucket: this.#bucket, uploads: this.#uploads },
      {
        key: this.#keyOf(fileName),
        expectedBytes: options.expectedBytes,
        retention: this.#place.locks.retention(),
        onPublished: (facts) => {
          this.#published.add(fileName);
          this.#note(fileName, facts);
        },
        withdraw: (facts) => this.#withdraw(fileName, facts),
        onLeft: () => {
          this.#hasLeftParts = true;
        },
      },
    );
    return Promise.resolve(upload);
  }

  /**
   * The holder of the lock may be adding containers of a stopped session just now. It ignores those
   * that are newer than its lock, so only these are deleted.
   */
  async #withdraw(fileName: string, { modifiedAtMs }: ObjectFacts): Promise<void> {
    const lockMs = await lockTimeMs(this.#bucket, this.#keyOf(LOCK_NAME));
    if (modifiedAtMs > lockMs + WITHDRAWN_AFTER_MS) {
      await removeObjects(this.#bucket, [this.#keyOf(fileName)]);
    }
  }

  /** The first urgent line writes the object. Until then an older object stays, so none is lost. */
  async startLines(fileName: string, lines: readonly string[]): Promise<LineFile> {
    let isNew = (await this.#heldFacts(fileName)) === undefined;
    const file = new ObjectLines(lines, async (content) => {
      await this.#writeLines(fileName, content, isNew);
      isNew = false;
    });
    this.#openLines.set(fileName, file);
    return file;
  }

  /** A paused holder may have deleted the file of the holder after it, which writes it again. */
  async #writeLines(fileName: string, content: string, isNew: boolean): Promise<void> {
    if (!this.#lock) await this.#write(fileName, content, { isNew });
    if (!this.#lock || (await this.#replace(fileName, content, undefined))) return;
    await this.#lock.assertHeld();
    await this.#write(fileName, content, {});
  }

  /**
   * Ends uploads that a session left. Such a session left its lock or its journal too, unless it
   * worked without a lock. So after a session that ended well, no list of uploads is asked for.
   */
  async removeLeftovers(): Promise<string[]> {
    const known = this.#endedUploads;
    this.#endedUploads = undefined;
    if (known) return known;
    const isSure = this.#lock && !this.#lock.isTakenOver && !this.#hasLeftParts;
    if (isSure && !(await this.#heldListing()).has(JOURNAL_NAME)) return [];
    return await this.#endUploads();
  }

  async #endUploads(): Promise<string[]> {
    const left = (await this.#uploads.list(this.#prefix)).filter(
      ({ key }) => !key.slice(this.#prefix.length).includes('/'),
    );
    for (const upload of left) await this.#uploads.abort(upload);
    this.#hasLeftParts = false;
    return left.map(({ key }) => key.slice(this.#prefix.length));
  }

  /** The uploads of others end first: their holder may only be paused. */
  async lock(): Promise<StoreLock> {
    if (!this.#bucket.hasConditions) return UNLOCKED;
    const { lockTimes } = this.#place;
    const key = this.#keyOf(LOCK_NAME);
    const lock = await ObjectLock.acquire(this.#bucket, key, () => this.#unlock(), lockTimes);
    this.#lock = lock;
    this.#listing = undefined;
    try {
      this.#endedUploads = lock.isTakenOver ? await this.#endUploads() : undefined;
      return lock;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Parts that could not be deleted are tried once more. */
  async #unlock(): Promise<void> {
    if (this.#hasLeftParts) await this.#endUploads().catch(() => {});
    this.#lock = undefined;
    this.#listing = undefined;
  }

  async lockedAtMs(): Promise<number> {
    if (!this.#bucket.hasConditions) return -Infinity;
    return this.#lock?.takenAtMs ?? (await lockTimeMs(this.#bucket, this.#keyOf(LOCK_NAME)));
  }
}
