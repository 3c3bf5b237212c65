/** Slab, worker threads and abort signal of a session. Disposed when the session ends. */
import { availableParallelism } from 'node:os';
import { UsageError } from '../../core/errors.ts';
import { fingerprintSetup } from '../../compute/slotFingerprint.ts';
import { createSlab, type Slab, type SlabDirection, type SlabLease } from '../../flow/slab.ts';
import type { Compression } from '../../compute/compression.ts';
import { createWorkerPool, type WorkerPool } from '../../compute/workerPool.ts';
import { rangeThreadCount, RangeThreads, THREADED_FROM } from '../../ovirt/imageio/rangeThreads.ts';

const MAX_WORKERS = 64;
/** Four are enough: each reads several GiB a second from the page cache. */
const MAX_READ_THREADS = 4;

export interface ResourceOptions {
  readonly blockSizeBytes: number;
  /**
   * Worker threads; 0 computes on the calling thread.
   *
   * @defaultValue the number of CPUs, at most 8
   */
  readonly workers?: number | undefined;
  /** Whether the session reads local images. @defaultValue false */
  readonly readsImages?: boolean | undefined;
  /** Checked before. @defaultValue default */
  readonly compression?: Compression | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function resolveWorkers(workers: number | undefined): number {
  if (workers === undefined) return Math.min(8, availableParallelism());
  if (Number.isInteger(workers) && workers >= 0 && workers <= MAX_WORKERS) return workers;
  throw new UsageError('USAGE_INVALID_OPTION', `workers: ${workers} is not a whole number 0 to 64`);
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for a number outside 1 to `most` */
export function checkRange(name: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `${name}: ${value} is not a whole number 1 to ${most}`,
  );
}

/**
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a ratio that is not above 0 and at most 1
 */
export function checkRatio(name: string, ratio: number): void {
  if (ratio > 0 && ratio <= 1) return;
  throw new UsageError('USAGE_INVALID_OPTION', `${name} ${ratio}: above 0 and at most 100 %`);
}

/** Data requests per disk at the same time, unless the options give another number. */
export const DEFAULT_CONNECTIONS = 4;

/** @throws as {@link checkRange} */
export function checkConnections(connections: number = DEFAULT_CONNECTIONS): void {
  checkRange('connections', connections, 8);
}

/**
 * The slab of an earlier session, unless it was collected. It is used again, because the collector
 * does not see the size of a slab: a process with many sessions would hold many of them.
 */
let spare: WeakRef<Slab> | undefined;

function takeSlab(blockSizeBytes: number): Slab {
  const slab = spare?.deref();
  spare = undefined;
  return slab?.blockSizeBytes === blockSizeBytes ? slab : createSlab({ blockSizeBytes });
}

export class PipelineResources {
  readonly slab: Slab;
  readonly pool: WorkerPool;
  /** Threads that read local images; undefined for sessions that read none. */
  readonly fileReadPool: WorkerPool | undefined;
  readonly signal: AbortSignal;
  readonly #rangeThreads: RangeThreads | undefined;
  readonly #abort = new AbortController();

  private constructor(
    parts: Pick<PipelineResources, 'slab' | 'pool' | 'fileReadPool'>,
    rangeThreads: RangeThreads | undefined,
    signal?: AbortSignal,
  ) {
    this.slab = parts.slab;
    this.pool = parts.pool;
    this.fileReadPool = parts.fileReadPool;
    this.#rangeThreads = rangeThreads;
    const own = this.#abort.signal;
    this.signal = AbortSignal.any(signal ? [signal, own] : [own]);
  }

  static async create(options: ResourceOptions): Promise<PipelineResources> {
    const slab = takeSlab(options.blockSizeBytes);
    const workers = resolveWorkers(options.workers);
    const { compression } = options;
    const pool = await createWorkerPool({ slab, workers, compression });
    // A pool of its own, so that no thread that waits for a disk holds up compression.
    const readers = options.readsImages ? Math.min(MAX_READ_THREADS, workers) : 0;
    const fileReadPool =
      readers > 0 ? await createWorkerPool({ slab, workers: readers }) : undefined;
    const rangeThreads =
      workers > 0
        ? new RangeThreads(() => fingerprintSetup(slab), rangeThreadCount(workers))
        : undefined;
    return new PipelineResources({ slab, pool, fileReadPool }, rangeThreads, options.signal);
  }

  /**
   * Threads that move the data of an image between connections and the slab. Undefined for a small
   * image, and without workers: then the calling thread moves it.
   */
  rangeThreadsFor(dataBytes: number): RangeThreads | undefined {
    return dataBytes >= THREADED_FROM.bytes ? this.#rangeThreads : undefined;
  }

  /**
   * Starts the threads that get the first blocks, so that they are ready when files are open. All
   * other threads start with their first job: a comparison without changes needs no compressors.
   */
  start(): void {
    (this.fileReadPool ?? this.pool).start();
  }

  /** Stops all chains of the session. */
  stop(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /**
   * Runs one chain with its own lease. The first chain that fails stops the others of the session.
   * The lease ends after the chain is torn down, so that its slots serve other chains.
   *
   * @throws what `work` throws; {@link InternalError} while a chain of the other direction runs
   */
  async withLease<Direction extends SlabDirection, T>(
    direction: Direction,
    work: (lease: SlabLease<Direction>) => Promise<T>,
  ): Promise<T> {
    const lease = this.slab.lease(direction);
    try {
      return await work(lease);
    } catch (error) {
      this.stop(error);
      throw error;
    } finally {
      lease.end();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.pool.close(), this.fileReadPool?.close(), this.#rangeThreads?.close()]);
    if (this.slab.inUseCount === 0) spare = new WeakRef(this.slab);
  }
}

/**
 * Runs `work` on all items, at most `limit` at the same time. A failure ends only the runner that
 * met it.
 *
 * @throws an error of `work`, after all runners have ended
 */
export async function forEachLimited<T>(
  items: readonly T[],
  limit: number,
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const queue = items.entries();
  async function runner(): Promise<void> {
    for (const [index, item] of queue) await work(item, index);
  }
  const runners = Array.from({ length: Math.min(limit, items.length) }, runner);
  const results = await Promise.allSettled(runners);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
