/** What a run holds besides files: slab, workers, one abort signal. Disposed when the run ends. */
import { availableParallelism } from 'node:os';
import { UsageError } from '../core/errors.ts';
import { createSlab, type Slab, type SlabLease } from '../pipeline/slab.ts';
import { createWorkerPool, type WorkerPool } from '../pipeline/workerPool.ts';

const MAX_WORKERS = 64;

export interface ResourceOptions {
  readonly blockSizeBytes: number;
  /** Worker threads. @defaultValue the number of CPUs, at most 8; 0 runs inline */
  readonly workers?: number | undefined;
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

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` for anything but a part of a whole */
export function checkRatio(name: string, ratio: number): void {
  if (ratio > 0 && ratio <= 1) return;
  throw new UsageError('USAGE_INVALID_OPTION', `${name} ${ratio}: above 0 and at most 100 %`);
}

/** Data requests at once per disk, when nothing else is asked for. */
export const DEFAULT_CONNECTIONS = 4;

/** @throws as {@link checkRange} */
export function checkConnections(connections: number = DEFAULT_CONNECTIONS): void {
  checkRange('connections', connections, 8);
}

export class RunResources {
  readonly slab: Slab;
  readonly pool: WorkerPool;
  readonly signal: AbortSignal;
  readonly #abort: AbortController;

  private constructor(slab: Slab, pool: WorkerPool, abort: AbortController, signal: AbortSignal) {
    this.slab = slab;
    this.pool = pool;
    this.#abort = abort;
    this.signal = signal;
  }

  static async create(options: ResourceOptions): Promise<RunResources> {
    const slab = createSlab({ blockSizeBytes: options.blockSizeBytes });
    const pool = await createWorkerPool({ slab, workers: resolveWorkers(options.workers) });
    const abort = new AbortController();
    const signals = options.signal ? [options.signal, abort.signal] : [abort.signal];
    return new RunResources(slab, pool, abort, AbortSignal.any(signals));
  }

  /** Stops all chains of the run. */
  stop(reason: unknown): void {
    this.#abort.abort(reason);
  }

  /**
   * Runs one chain with its own lease; the first failing chain stops the others of the run. The lease ends
   * after the chain is torn down, so that its slots serve other chains.
   */
  async withLease<T>(work: (lease: SlabLease) => Promise<T>): Promise<T> {
    const lease = this.slab.lease();
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
    await this.pool.close();
  }
}

/** Runs `work` on all items, at most `limit` at once; waits for all, then throws the first error. */
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
