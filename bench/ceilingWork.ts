/** The pipeline, and a hand-written loop with the same codecs and threads. For child processes. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { createStageStats } from '../src/core/stats.ts';
import { blockCountOf, blockLengthAt, MIB } from '../src/core/units.ts';
import { openRawImage } from '../src/devices/rawImageDevice.ts';
import type { DiskTask, SinkBlock } from '../src/flow/records.ts';
import { createCompressor } from '../src/flow/stages/compressor.ts';
import { createDirtyZeroFilter } from '../src/flow/stages/dirtyZeroFilter.ts';
import { createExtentSource } from '../src/flow/stages/extentSource.ts';
import { createFileReader } from '../src/flow/stages/fileReader.ts';
import { createHashComparer } from '../src/flow/stages/hashComparer.ts';
import { callbackSink } from '../src/flow/sinks/plainSinks.ts';
import { createSlab, type Slab, type SlabLease } from '../src/flow/slab.ts';
import { connect } from '../src/flow/connect.ts';
import { createWorkerPool, type WorkerPool } from '../src/compute/workerPool.ts';

const BLOCK_BYTES = MIB;
/** Blocks in the loop at the same time: as many as the slab has packed slots. */
const LOOP_BLOCKS = 16;

export interface CeilingArgument {
  readonly image: string;
  readonly workers: number;
}

interface Parts {
  readonly pool: WorkerPool;
  readonly fileReadPool: WorkerPool;
  readonly lease: SlabLease<'pack'>;
  readonly signal: AbortSignal;
}

interface Answer {
  readonly checksum: string;
  readonly seconds: number;
}

/** Checksum over the digests in disk order. It proves that both cases did the same work. */
class Checksum {
  readonly #digests = new Map<number, Uint8Array>();

  add(index: number, digest: Uint8Array): void {
    this.#digests.set(index, digest);
  }

  value(): string {
    const hash = createHash('sha256');
    for (const [, digest] of [...this.#digests].toSorted((a, b) => a[0] - b[0]))
      hash.update(digest);
    return hash.digest('hex');
  }
}

/** Kept for all calls in the process: only the streams are compared, not slab and threads. */
let shared: (Pick<Parts, 'pool' | 'fileReadPool'> & { readonly slab: Slab }) | undefined;

async function timed(
  workers: number,
  work: (parts: Parts, sum: Checksum) => Promise<void>,
): Promise<Answer> {
  if (!shared) {
    const slab = createSlab({ blockSizeBytes: BLOCK_BYTES });
    const pool = await createWorkerPool({ slab, workers });
    shared = { slab, pool, fileReadPool: await createWorkerPool({ slab, workers }) };
  }
  const { pool, fileReadPool, slab } = shared;
  const { signal } = new AbortController();
  const lease = slab.lease('pack');
  const sum = new Checksum();
  const startedAtMs = performance.now();
  await work({ pool, fileReadPool, lease, signal }, sum);
  const seconds = (performance.now() - startedAtMs) / 1000;
  lease.end();
  return { checksum: sum.value(), seconds };
}

/** The stages of a full as streams, with a sink that keeps only digests. */
export async function pipeline({ image, workers }: CeilingArgument): Promise<Answer> {
  const device = await openRawImage(image);
  const { virtualSizeBytes } = device;
  const task: DiskTask = {
    diskId: 'bench',
    alias: 'bench',
    virtualSizeBytes,
    blockSizeBytes: BLOCK_BYTES,
    mode: 'full',
  };
  const stats = createStageStats;
  const { fileDescriptor } = device;
  const answer = await timed(workers, async ({ pool, fileReadPool, lease, signal }, sum) => {
    await connect(
      createExtentSource({ task, device, stats: stats() }),
      [
        createDirtyZeroFilter(task),
        createFileReader({ task, device, fileDescriptor, fileReadPool, lease, stats: stats() }),
        createHashComparer({ task, pool, stats: stats() }),
        createCompressor({ pool, lease, stats: stats() }),
      ],
      callbackSink<SinkBlock>((block) => {
        if (block.kind === 'packed') sum.add(block.index, block.digest);
      }),
      { signal },
    );
  });
  await device.close();
  return answer;
}

/** The same codecs in a loop. */
export async function loop({ image, workers }: CeilingArgument): Promise<Answer> {
  const file = await open(image);
  const { size } = await file.stat();
  const answer = await timed(workers, async ({ pool, fileReadPool, lease }, sum) => {
    const indexes = Array.from({ length: blockCountOf(size, BLOCK_BYTES) }).keys();
    async function lane(): Promise<void> {
      for (const index of indexes) {
        const lengthBytes = blockLengthAt(index, size, BLOCK_BYTES);
        const raw = await lease.acquireRaw();
        const range = {
          fileDescriptor: file.fd,
          offsetBytes: index * BLOCK_BYTES,
          lengthBytes,
        };
        if ((await fileReadPool.read(range, raw)).fingerprint !== 0n) {
          const packed = await lease.acquirePacked();
          sum.add(index, (await pool.pack(raw, lengthBytes, packed)).digest);
          packed.release();
        }
        raw.release();
      }
    }
    await Promise.all(Array.from({ length: LOOP_BLOCKS }, lane));
  });
  await file.close();
  return answer;
}
