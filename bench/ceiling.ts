/** The pipeline against a hand-written loop over the same verbs in the same threads: what the streams cost. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createStageStats } from '../src/core/stats.ts';
import { blockCountOf, blockLengthAt, MIB } from '../src/core/units.ts';
import { openRawImage } from '../src/devices/rawImageDevice.ts';
import type { DiskTask, SinkBlock } from '../src/pipeline/blocks.ts';
import { createBlockReader } from '../src/pipeline/blockReader.ts';
import { createCompressor } from '../src/pipeline/compressor.ts';
import { createDirtyZeroFilter } from '../src/pipeline/dirtyZeroFilter.ts';
import { createExtentSource } from '../src/pipeline/extentSource.ts';
import { createHashComparer } from '../src/pipeline/hashComparer.ts';
import { callbackSink } from '../src/pipeline/plainSinks.ts';
import { createSlab, type Slab, type SlabLease } from '../src/pipeline/slab.ts';
import { connect } from '../src/pipeline/stage.ts';
import { createWorkerPool, type WorkerPool } from '../src/pipeline/workerPool.ts';
import type { BenchCase } from './measure.ts';

const BLOCK_BYTES = MIB;
/** Blocks in hand at once in the loop; the same as fit the slab's packed slots. */
const LOOP_BLOCKS = 16;

interface Setup {
  readonly slab: Slab;
  readonly pool: WorkerPool;
  readonly lease: SlabLease;
  readonly signal: AbortSignal;
}

/** Sum over digests in disk order, so that both cases prove the same work. */
class Checksum {
  readonly #digests = new Map<number, Uint8Array>();

  add(index: number, digest: Uint8Array): void {
    this.#digests.set(index, digest);
  }

  value(): string {
    const hash = createHash('sha256');
    for (const [, digest] of [...this.#digests].sort((a, b) => a[0] - b[0])) hash.update(digest);
    return hash.digest('hex');
  }
}

async function withSetup(
  workers: number,
  work: (setup: Setup, sum: Checksum) => Promise<void>,
): Promise<string> {
  const slab = createSlab({ blockSizeBytes: BLOCK_BYTES });
  await using pool = await createWorkerPool({ slab, workers });
  const { signal } = new AbortController();
  const lease = slab.lease();
  const sum = new Checksum();
  await work({ slab, pool, lease, signal }, sum);
  lease.end();
  return sum.value();
}

async function runPipeline(image: string, setup: Setup, sum: Checksum): Promise<void> {
  const { pool, lease, signal } = setup;
  const device = await openRawImage(image);
  const task: DiskTask = {
    diskId: 'bench',
    alias: 'bench',
    virtualSizeBytes: device.virtualSizeBytes,
    blockSizeBytes: BLOCK_BYTES,
    mode: 'full',
  };
  const stats = createStageStats;
  await connect(
    createExtentSource({ task, device, stats: stats() }),
    [
      createDirtyZeroFilter(task),
      createBlockReader({ task, device, lease, stats: stats() }),
      createHashComparer({ task, pool, stats: stats() }),
      createCompressor({ pool, lease, stats: stats() }),
    ],
    callbackSink<SinkBlock>((block) => {
      if (block.kind === 'packed') sum.add(block.index, block.digest);
    }),
    { signal },
  );
  await device.close();
}

async function runLoop(image: string, setup: Setup, sum: Checksum): Promise<void> {
  const { pool, lease } = setup;
  const file = await open(image);
  const { size } = await file.stat();
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const indexes = Array.from({ length: blockCountOf(size, BLOCK_BYTES) }).keys();
  async function lane(): Promise<void> {
    for (const index of indexes) {
      const lengthBytes = blockLengthAt(index, size, BLOCK_BYTES);
      const raw = await lease.acquireRaw();
      await file.read(raw.bytes, 0, lengthBytes, index * BLOCK_BYTES);
      if (!raw.bytes.subarray(0, lengthBytes).equals(zeros.subarray(0, lengthBytes))) {
        await pool.hash(raw, lengthBytes);
        const packed = await lease.acquirePacked();
        sum.add(index, (await pool.pack(raw, lengthBytes, packed)).digest);
        packed.release();
      }
      raw.release();
    }
  }
  await Promise.all(Array.from({ length: LOOP_BLOCKS }, lane));
  await file.close();
}

export function ceilingCases(image: string, workers: number): { ours: BenchCase; peer: BenchCase } {
  const make = (name: string, work: typeof runPipeline): BenchCase => ({
    name,
    run: async () => {
      const startedAtMs = performance.now();
      const checksum = await withSetup(workers, (setup, sum) => work(image, setup, sum));
      return { checksum, seconds: (performance.now() - startedAtMs) / 1000 };
    },
  });
  return {
    ours: make('pipeline of streams', runPipeline),
    peer: make('bare loop, same verbs and threads', runLoop),
  };
}
