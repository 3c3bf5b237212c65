/**
 * Reads a container in a bucket. Its first bytes come with one request when it is opened. They hold
 * the header and the snapshot slots. Its last bytes come with one request when they are needed.
 * Reads in order get the next bytes ahead. Other reads ask for just their bytes.
 */
import { FormatError, InternalError, RepositoryError } from '../../core/errors.ts';
import { KIB, MIB } from '../../core/units.ts';
import type { Storage } from '../storage.ts';
import type { MetadataCache } from './metadataCache.ts';
import type { Bucket, ObjectFacts } from './requests/bucket.ts';
import type { SegmentMemory } from './segmentMemory.ts';

/** A container without changes is smaller, so one request reads all of it. */
const HEAD_BYTES = 1536 * KIB;
/** A read in these last bytes takes all bytes from there to the end. */
const TAIL_BYTES = 4 * MIB;
/** So much before that read comes too: the fingerprint index lies before the metadata. */
const TAIL_LEAD_BYTES = 512 * KIB;
const WINDOW_BYTES = 4 * MIB;
/** Windows that are read ahead of a read. */
const WINDOWS_AHEAD = 3;
/** Reads count as in order when they begin this near to the end of those before. */
const NEAR_BEFORE_BYTES = 8 * MIB;
const NEAR_AFTER_BYTES = MIB;
/** Reads in order after which bytes are read ahead. */
const ORDERED_READS = 3;

export interface ReadSettings {
  readonly memory: SegmentMemory;
  readonly cache: MetadataCache | undefined;
}

type Reader = Pick<Bucket, 'getRange' | 'head' | 'urlOf'>;

interface Source {
  readonly bucket: Reader;
  readonly key: string;
}

function missing(url: string): RepositoryError {
  return new RepositoryError('REPOSITORY_IO', `open ${url}: there is no such object`, {
    hint: 'run "ovirt-cbt verify" to see what else is missing',
    details: { errno: 'ENOENT' },
  });
}

function changed(url: string): RepositoryError {
  return new RepositoryError('REPOSITORY_IO', `read ${url}: the object was replaced meanwhile`, {
    hint: 'run the command again',
    details: { errno: 'ESTALE' },
  });
}

async function readRange(
  { bucket, key }: Source,
  fromBytes: number,
  lengthBytes: number,
  etag?: string,
): Promise<{ readonly bytes: Buffer; readonly facts: ObjectFacts }> {
  const answer = await bucket.getRange(key, fromBytes, lengthBytes, etag);
  if (answer === 'missing') throw missing(bucket.urlOf(key));
  if (answer === 'changed') throw changed(bucket.urlOf(key));
  if (answer !== 'outside') return answer;
  // An empty object has no range at all.
  const facts = etag === undefined ? await bucket.head(key) : undefined;
  if (facts?.sizeBytes !== 0) throw changed(bucket.urlOf(key));
  return { bytes: Buffer.alloc(0), facts };
}

/**
 * Opens a container.
 *
 * @param known - facts of the object, where they are certain. With a copy of its first bytes in the
 *   cache no request is needed then.
 * @throws {@link RepositoryError} `REPOSITORY_IO` with `details.errno` `ENOENT` when it is missing
 */
export async function openObject(
  bucket: Reader,
  key: string,
  settings: ReadSettings,
  known?: ObjectFacts,
): Promise<Storage> {
  const source = { bucket, key };
  const { cache } = settings;
  const facts = known ?? (cache && (await bucket.head(key)));
  if (cache && !facts) throw missing(bucket.urlOf(key));
  const url = bucket.urlOf(key);
  const copy = cache && facts && (await cache.load({ url, ...facts }, 'head'));
  if (facts && copy?.startBytes === 0) {
    return new ObjectStorage(source, settings, facts, copy.bytes);
  }
  const read = await readRange(source, 0, HEAD_BYTES);
  await cache?.save({ url, ...read.facts }, 'head', { startBytes: 0, bytes: read.bytes });
  return new ObjectStorage(source, settings, read.facts, read.bytes);
}

class ObjectStorage implements Storage {
  readonly name: string;
  readonly canReadBack = true;
  readonly #source: Source;
  readonly #memory: SegmentMemory;
  readonly #cache: MetadataCache | undefined;
  readonly #facts: ObjectFacts;
  /** End of the reads so far, and how many of the last ones were in order. */
  #readEndBytes = 0;
  #orderedReads = 0;
  #isClosed = false;

  constructor(source: Source, settings: ReadSettings, facts: ObjectFacts, head: Buffer) {
    this.name = source.bucket.urlOf(source.key);
    this.#source = source;
    this.#memory = settings.memory;
    this.#cache = settings.cache;
    this.#facts = facts;
    this.#keep(0, head.length, Promise.resolve(head));
  }

  sizeBytes(): Promise<number> {
    return Promise.resolve(this.#facts.sizeBytes);
  }

  async read(target: Uint8Array, offsetBytes: number): Promise<void> {
    const { sizeBytes } = this.#facts;
    if (offsetBytes + target.length > sizeBytes) {
      const actualBytes = Math.max(0, sizeBytes - offsetBytes);
      throw new FormatError(
        'FORMAT_TRUNCATED',
        `${this.name}: ends at ${sizeBytes} B inside ${target.length} B at ${offsetBytes} B`,
        { details: { offsetBytes, expectedBytes: target.length, actualBytes } },
      );
    }
    this.#noteOrder(offsetBytes, target.length);
    for (let doneBytes = 0; doneBytes < target.length; ) {
      const atBytes = offsetBytes + doneBytes;
      const bytes = await this.#bytesAt(atBytes, target.length - doneBytes);
      target.set(bytes, doneBytes);
      doneBytes += bytes.length;
    }
  }

  #noteOrder(offsetBytes: number, lengthBytes: number): void {
    const distanceBytes = offsetBytes - this.#readEndBytes;
    const isNear = distanceBytes >= -NEAR_BEFORE_BYTES && distanceBytes <= NEAR_AFTER_BYTES;
    this.#orderedReads = isNear ? this.#orderedReads + 1 : 0;
    const endBytes = offsetBytes + lengthBytes;
    this.#readEndBytes = isNear ? Math.max(this.#readEndBytes, endBytes) : endBytes;
  }

  /** At least one byte from `offsetBytes` on, and at most `maxBytes`. */
  async #bytesAt(offsetBytes: number, maxBytes: number): Promise<Buffer> {
    const known = this.#memory.find(this, offsetBytes);
    const isOrdered = this.#orderedReads >= ORDERED_READS;
    const isTail = this.#facts.sizeBytes - offsetBytes <= TAIL_BYTES;
    if (!known && isTail) await this.#loadTail(offsetBytes);
    else if (isOrdered) this.#loadWindows(offsetBytes);
    const segment = known ?? this.#memory.find(this, offsetBytes);
    if (!segment) {
      const { bytes } = await readRange(this.#source, offsetBytes, maxBytes, this.#facts.etag);
      return bytes;
    }
    const atBytes = offsetBytes - segment.startBytes;
    return (await segment.bytes).subarray(atBytes, atBytes + maxBytes);
  }

  /** Starts to read the window with `offsetBytes` and those after it, where they are missing. */
  #loadWindows(offsetBytes: number): void {
    const first = Math.floor(offsetBytes / WINDOW_BYTES);
    for (let window = first; window <= first + WINDOWS_AHEAD; window++) {
      const startBytes = window * WINDOW_BYTES;
      const sizeBytes = Math.min(WINDOW_BYTES, this.#facts.sizeBytes - startBytes);
      if (sizeBytes <= 0) return;
      const isNeeded = !this.#memory.find(this, Math.max(offsetBytes, startBytes));
      if (isNeeded) void this.#load(startBytes, sizeBytes);
    }
  }

  #load(startBytes: number, sizeBytes: number): Promise<Buffer> {
    const read = readRange(this.#source, startBytes, sizeBytes, this.#facts.etag);
    const bytes = read.then((answer) => answer.bytes);
    // Without a reader nobody else takes the error.
    bytes.catch(() => {});
    this.#keep(startBytes, sizeBytes, bytes);
    return bytes;
  }

  #keep(startBytes: number, sizeBytes: number, bytes: Promise<Buffer>): void {
    if (this.#isClosed || sizeBytes === 0) return;
    this.#memory.add({ owner: this, startBytes, sizeBytes, bytes });
  }

  async #loadTail(offsetBytes: number): Promise<void> {
    const { sizeBytes } = this.#facts;
    const subject = { url: this.name, ...this.#facts };
    const copy = await this.#cache?.load(subject, 'tail');
    if (
      copy &&
      copy.startBytes <= offsetBytes &&
      copy.startBytes + copy.bytes.length === sizeBytes
    ) {
      this.#keep(copy.startBytes, copy.bytes.length, Promise.resolve(copy.bytes));
      return;
    }
    const startBytes = Math.min(offsetBytes, Math.max(HEAD_BYTES, offsetBytes - TAIL_LEAD_BYTES));
    const bytes = await this.#load(startBytes, sizeBytes - startBytes);
    await this.#cache?.save(subject, 'tail', { startBytes, bytes });
  }

  write(): Promise<void> {
    return Promise.reject(
      new InternalError('INTERNAL_INVARIANT', `${this.name} was opened for reading`),
    );
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#memory.dropOwner(this);
    return Promise.resolve();
  }
}
