/** A repository in a bucket. */
import { LOCK_TIMES, type LockTimes } from '../lockLease.ts';
import type { Immutability, Store, StoreFolder, StoreOptions, Undeleted } from '../store.ts';
import { type S3Place, S3Folder } from './folder.ts';
import { keyOf, type S3Location, urlOf } from './location.ts';
import { MetadataCache } from './metadataCache.ts';
import { BucketLocks } from './objectLocks.ts';
import { Bucket } from './requests/bucket.ts';
import { connectS3, type RetryTimes, type S3Requests } from './requests/client.ts';
import { SegmentMemory } from './segmentMemory.ts';
import { undelete } from './undelete.ts';

/** Times that tests shorten. */
export interface S3Times {
  readonly retry?: RetryTimes;
  readonly lock?: LockTimes;
}

/**
 * Opens a repository in a bucket. Credentials, region and endpoint come from the environment and
 * the files of the AWS tools.
 *
 * @throws {@link UsageError} `TOOL_MISSING`, `USAGE_INVALID_OPTION`
 * @throws {@link RepositoryError} `REPOSITORY_UNSUPPORTED` when objects shall be locked and cannot;
 *   `REPOSITORY_REFUSED`, `REPOSITORY_NOT_FOUND`, `REPOSITORY_UNREACHABLE`, `REPOSITORY_CLOCK`
 */
export async function openS3Store(
  location: S3Location,
  options: StoreOptions = {},
  times: S3Times = {},
): Promise<S3Store> {
  const connection = await connectS3(times.retry, options);
  const bucket = new Bucket(location.bucket, connection, options.noLock !== true);
  const locks = new BucketLocks(bucket, options.immutable);
  const cache = options.cache === undefined ? undefined : new MetadataCache(options.cache);
  const place: S3Place = {
    location,
    bucket,
    locks,
    reads: { memory: new SegmentMemory(), cache },
    lockTimes: times.lock ?? LOCK_TIMES,
  };
  try {
    if (options.immutable) await locks.check();
  } catch (error) {
    connection.close();
    throw error;
  }
  return new S3Store(place, options.immutable);
}

export class S3Store implements Store {
  readonly name: string;
  readonly root: StoreFolder;
  readonly immutability: Immutability | undefined;
  readonly #place: S3Place;
  readonly #folders = new Map<string, S3Folder>();

  constructor(place: S3Place, immutability: Immutability | undefined) {
    this.name = urlOf(place.location);
    this.root = new S3Folder(place, '');
    this.immutability = immutability;
    this.#place = place;
  }

  /** Requests that were sent so far, with those that were sent again. */
  get requests(): S3Requests {
    return this.#place.bucket.connection.requests;
  }

  /** A place in a bucket exists as soon as there is an object. */
  async names(): Promise<string[] | undefined> {
    const prefix = keyOf(this.#place.location);
    const { files, folders } = await this.#place.bucket.list(prefix && `${prefix}/`);
    const names = [...files.keys(), ...folders];
    return names.length > 0 ? names : undefined;
  }

  /** Always the same object for a name, because it knows whether its lock is held. */
  folder(name: string): StoreFolder {
    const known = this.#folders.get(name) ?? new S3Folder(this.#place, name);
    this.#folders.set(name, known);
    return known;
  }

  /** A bucket is made by its administrator, and needs no folders. */
  async make(): Promise<void> {}

  async makeFolder(): Promise<void> {}

  async keepReserve(): Promise<void> {}

  freeReserve(): Promise<boolean> {
    return Promise.resolve(false);
  }

  readonly undelete = async (): Promise<Undeleted> => {
    const prefix = keyOf(this.#place.location);
    return await undelete(this.#place.bucket, prefix && `${prefix}/`);
  };

  async close(): Promise<void> {
    try {
      await this.#place.reads.cache?.trim();
    } finally {
      this.#place.bucket.connection.close();
    }
  }
}
