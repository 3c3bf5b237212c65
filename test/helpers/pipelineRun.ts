/**
 * The whole chain of one disk with everything around it: slab, lease, worker pool, stages.
 *
 * A tap sees every place that a block passes before the work there starts; it may wait, throw, abort the run
 * or end threads. That makes faults at an exact moment possible without sleeping.
 */
import type { Duplex, Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { createStageStats } from '../../src/core/stats.ts';
import type {
  BlockDevice,
  DiskTask,
  PlannedRun,
  SinkBlock,
  WantedBlock,
  ZeroRun,
} from '../../src/flow/records.ts';
import { createBlockReader } from '../../src/flow/stages/blockReader.ts';
import { createCompressor } from '../../src/flow/stages/compressor.ts';
import { createDirtyZeroFilter } from '../../src/flow/stages/dirtyZeroFilter.ts';
import { createExtentSource } from '../../src/flow/stages/extentSource.ts';
import type { ParentDisk } from '../../src/flow/fingerprintMap.ts';
import { createHashComparer } from '../../src/flow/stages/hashComparer.ts';
import { createSlab, type Slab, type SlabLease, type Slot } from '../../src/flow/slab.ts';
import { connect, type Sink, type StageFunction } from '../../src/flow/connect.ts';
import type { HashResult, PackResult } from '../../src/compute/poolTypes.ts';
import { loadPoolParts, WorkerPool } from '../../src/compute/workerPool.ts';

export type Place = 'extents' | 'read' | 'hash' | 'pack';
/** Called before the `count`-th piece of work (from 1) at `place`. */
export type Tap = (place: Place, count: number) => Promise<void> | void;

/** A pool that tells the tap about its jobs and counts those not settled. */
class TappedPool extends WorkerPool {
  pendingJobs = 0;
  readonly #tap: Tap;
  readonly #slab: Slab;
  #hashed = 0;
  #packed = 0;

  constructor(tap: Tap, ...rest: ConstructorParameters<typeof WorkerPool>) {
    super(...rest);
    this.#tap = tap;
    this.#slab = rest[0] as Slab;
  }

  /** Waits until a thread works, by a job that no tap sees. */
  async warmUp(): Promise<void> {
    const lease = this.#slab.lease();
    await super.hash(await lease.acquireRaw(), 0);
    lease.end();
  }

  override async hash(slot: Slot, lengthBytes: number): Promise<HashResult> {
    return await this.#count('hash', ++this.#hashed, () => super.hash(slot, lengthBytes));
  }

  override async pack(raw: Slot, lengthBytes: number, packed: Slot): Promise<PackResult> {
    return await this.#count('pack', ++this.#packed, () => super.pack(raw, lengthBytes, packed));
  }

  async #count<T>(place: Place, count: number, work: () => Promise<T>): Promise<T> {
    this.pendingJobs++;
    try {
      await nextTurn();
      await this.#tap(place, count);
      return await work();
    } finally {
      this.pendingJobs--;
    }
  }
}

function tappedDevice(device: BlockDevice, tap: Tap): BlockDevice {
  let reads = 0;
  let extents = 0;
  return {
    virtualSizeBytes: device.virtualSizeBytes,
    async *extents(context, signal) {
      for await (const extent of device.extents(context, signal)) {
        await tap('extents', ++extents);
        yield extent;
      }
    },
    async readInto(target, offsetBytes, signal) {
      await tap('read', ++reads);
      return await device.readInto(target, offsetBytes, signal);
    },
    close: () => device.close(),
  };
}

export interface PipelineRunOptions {
  readonly task: DiskTask;
  readonly device: BlockDevice;
  /** @defaultValue 0 */
  readonly workers?: number | undefined;
  /** @defaultValue room for 3 raw and 2 packed slots */
  readonly slabBytes?: number | undefined;
  readonly parent?: ParentDisk | undefined;
  readonly readers?: number | undefined;
  readonly tap?: Tap | undefined;
}

export class PipelineRun {
  readonly controller: AbortController = new AbortController();
  readonly slab: Slab;
  readonly lease: SlabLease;
  readonly source: Readable;
  readonly filter: StageFunction<PlannedRun, WantedBlock | ZeroRun>;
  readonly reader: ReturnType<typeof createBlockReader>;
  readonly comparer: ReturnType<typeof createHashComparer>;
  readonly compressor: ReturnType<typeof createCompressor>;
  /** Threads of the pool that have not ended. */
  readonly threads: ReadonlySet<Worker>;
  readonly #pool: TappedPool;
  readonly #watch: ReturnType<typeof watchThreads>;

  constructor(
    options: PipelineRunOptions,
    parts: { slab: Slab; pool: TappedPool; watch: ReturnType<typeof watchThreads> },
  ) {
    const { task, tap = () => {}, parent, readers } = options;
    const { slab, pool } = parts;
    this.slab = slab;
    this.threads = parts.watch.threads;
    this.#watch = parts.watch;
    this.#pool = pool;
    this.lease = slab.lease();
    const device = tappedDevice(options.device, tap);
    const { lease } = this;
    this.source = createExtentSource({ task, device, stats: createStageStats() });
    this.filter = createDirtyZeroFilter(task);
    const forReader = { task, device, lease, readers, retryDelayMs: 1 };
    this.reader = createBlockReader({ ...forReader, stats: createStageStats() });
    this.comparer = createHashComparer({ task, pool, parent, stats: createStageStats() });
    this.compressor = createCompressor({ pool, lease, stats: createStageStats() });
  }

  /** Jobs handed to the pool that are not settled. */
  get pendingJobs(): number {
    return this.#pool.pendingJobs;
  }

  get streams(): readonly (Readable | Duplex)[] {
    return [this.source, this.reader, this.comparer, this.compressor];
  }

  async backupTo(sink: Sink<SinkBlock>): Promise<void> {
    const { source, filter, reader, comparer, compressor, controller } = this;
    const { signal } = controller;
    await connect(source, [filter, reader, comparer, compressor], sink, { signal });
  }

  async close(): Promise<void> {
    await this.#pool.close();
    this.#watch.stop();
  }

  /** One more chain over the same slab and threads. */
  besides(options: PipelineRunOptions): PipelineRun {
    return new PipelineRun(options, { slab: this.slab, pool: this.#pool, watch: this.#watch });
  }
}

/** Threads that are started from now on until `stop`, each until it ends. The first job starts those of a pool. */
function watchThreads(): { readonly threads: ReadonlySet<Worker>; stop(): void } {
  const threads = new Set<Worker>();
  const keep = (worker: Worker): void => {
    threads.add(worker);
    worker.once('exit', () => threads.delete(worker));
  };
  process.on('worker', keep);
  return { threads, stop: () => void process.off('worker', keep) };
}

/** Makes a run; close it when its chain has ended. */
export async function openPipelineRun(options: PipelineRunOptions): Promise<PipelineRun> {
  const { task, tap = () => {}, workers = 0, slabBytes = 5 * task.blockSizeBytes } = options;
  const slab = createSlab({ blockSizeBytes: task.blockSizeBytes, slabBytes });
  const parts = await loadPoolParts({ slab, workers });
  const watch = watchThreads();
  const pool = new TappedPool(tap, slab, workers, parts);
  await pool.warmUp();
  return new PipelineRun(options, { slab, pool, watch });
}
