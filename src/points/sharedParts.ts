/** Loaders and caches that the points of a repository share. */
import { UsageError } from '../core/errors.ts';
import { MIB } from '../core/units.ts';
import type { StoreOptions } from '../store/store.ts';
import { BlockCache } from './blockCache.ts';
import { BlockLoader, closedError } from './blockLoader.ts';
import { PlaceCache } from './placeCache.ts';

const DEFAULT_CACHE_BYTES = 64 * MIB;
const MAX_CACHE_BYTES = 4096 * MIB;

export interface OpenRepositoryOptions {
  /** Worker threads that expand blocks. @defaultValue the number of CPUs, at most 8 */
  readonly workers?: number | undefined;
  /** Memory for expanded blocks that `read` keeps. @defaultValue 64 MiB */
  readonly cacheBytes?: number | undefined;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
}

/** A point that is closed with its repository. */
interface Closable {
  close(): Promise<void>;
}

/** Loaders, cache and open points of an opened repository. */
export class SharedParts {
  readonly cache: BlockCache;
  readonly places: PlaceCache = new PlaceCache();
  readonly #points = new Set<Closable>();
  readonly #workers: number | undefined;
  /** By block size: slots of a slab have one size. */
  readonly #loaders = new Map<number, Promise<BlockLoader>>();
  isClosed = false;

  constructor({ workers, cacheBytes = DEFAULT_CACHE_BYTES }: OpenRepositoryOptions) {
    this.#workers = workers;
    this.cache = new BlockCache(cacheBytes);
  }

  assertOpen(): void {
    if (this.isClosed) throw closedError();
  }

  add(point: Closable): void {
    this.#points.add(point);
  }

  /** Drops a point that was closed. Otherwise its index would stay in memory. */
  delete(point: Closable): void {
    this.#points.delete(point);
  }

  async loader(blockSizeBytes: number): Promise<BlockLoader> {
    this.assertOpen();
    const known = this.#loaders.get(blockSizeBytes);
    if (known) return await known;
    const created = BlockLoader.create(blockSizeBytes, this.#workers);
    this.#loaders.set(blockSizeBytes, created);
    return await created;
  }

  async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    try {
      await allEnded([...this.#points].map((point) => point.close()));
    } finally {
      await Promise.all([...this.#loaders.values()].map(async (loader) => (await loader).close()));
    }
  }
}

/** Waits for all of them, also when one fails. @throws the first failure */
export async function allEnded(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function checkCache(cacheBytes: number | undefined): void {
  if (cacheBytes === undefined) return;
  if (Number.isInteger(cacheBytes) && cacheBytes >= 0 && cacheBytes <= MAX_CACHE_BYTES) return;
  throw new UsageError('USAGE_INVALID_OPTION', `cacheBytes: ${cacheBytes} is not 0 B to 4 GiB`, {
    hint: 'leave it out for 64 MiB',
  });
}
