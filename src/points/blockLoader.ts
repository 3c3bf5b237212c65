/**
 * Loads stored blocks of restore points: reads, expands in a worker thread, checks, and copies the
 * plain bytes out of the slab.
 *
 * A load holds its slots only while it works, and never while its result waits for a reader. So any
 * number of readers may share one loader, in any order, and none can block another.
 */
import { createBlockCodecs, type BlockCodecs } from '../compute/blockCodecs.ts';
import { createWorkerPool, type WorkerPool } from '../compute/workerPool.ts';
import { blockDamage } from '../container/read/blockCheck.ts';
import {
  type BlockToFetch,
  checkRoom,
  fingerprintDamage,
  fingerprintError,
} from '../container/read/restoreStages.ts';
import { UsageError } from '../core/errors.ts';
import { MIB } from '../core/units.ts';
import { createSlab, type Slab, type SlabLease, type Slot } from '../flow/slab.ts';
import { resolveWorkers } from '../sessions/shared/pipelineResources.ts';
import type { TakeRoom } from './blockCache.ts';

/** Slots of all loads together. Readers copy, so few slots are enough. */
const SLAB_BYTES = 32 * MIB;

export class BlockLoader {
  readonly codecs: BlockCodecs;
  readonly #lease: SlabLease<'unpack'>;
  readonly #pool: WorkerPool;
  readonly #inFlight = new Set<Promise<void>>();
  #isClosed = false;

  private constructor(codecs: BlockCodecs, slab: Slab, pool: WorkerPool) {
    this.codecs = codecs;
    this.#lease = slab.lease('unpack');
    this.#pool = pool;
  }

  /**
   * @param blockSizeBytes - block size of the containers.
   * @param workers - worker threads; 0 computes on the calling thread.
   */
  static async create(blockSizeBytes: number, workers: number | undefined): Promise<BlockLoader> {
    const slab = createSlab({ blockSizeBytes, slabBytes: SLAB_BYTES });
    const pool = await createWorkerPool({ slab, workers: resolveWorkers(workers) });
    return new BlockLoader(await createBlockCodecs(), slab, pool);
  }

  /**
   * Writes the checked bytes of a block into the room, which has at least `lengthBytes`. They are
   * zeros from `validBytes` on. The room is taken when the bytes are there.
   *
   * @throws {@link IntegrityError}, {@link FormatError} for a damaged block; {@link
   *   RepositoryError} when its file cannot be read; {@link UsageError} after {@link close}
   */
  async load(block: BlockToFetch, takeRoom: TakeRoom): Promise<void> {
    if (this.#isClosed) throw closedError();
    const work = this.#load(block, takeRoom);
    this.#inFlight.add(work);
    try {
      await work;
    } finally {
      this.#inFlight.delete(work);
    }
  }

  /** Waits for the loads under way, then ends the threads. May be called twice. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await Promise.allSettled(this.#inFlight);
    this.#lease.end();
    await this.#pool.close();
  }

  async #load(block: BlockToFetch, takeRoom: TakeRoom): Promise<void> {
    const packed = await this.#lease.acquirePacked();
    try {
      checkRoom(block, packed);
      const { extent, reader } = block;
      await reader.storage.read(packed.bytes.subarray(0, extent.storedBytes), extent.offsetBytes);
      const raw = await this.#lease.acquireRaw();
      try {
        if (isTold(block)) await this.#expand(block, packed, raw);
        else await this.#expandWithDigest(block, packed, raw);
        raw.bytes.copy(takeRoom(), 0, 0, block.lengthBytes);
      } finally {
        raw.release();
      }
    } finally {
      packed.release();
    }
  }

  /** Compares the fingerprint. It tells a wrong block as surely as the MD5, in less time. */
  async #expand(block: BlockToFetch, packed: Slot, raw: Slot): Promise<void> {
    const { extent, reader } = block;
    const expanded = await this.#pool.expand(packed, extent, raw, extent.sourceBytes);
    const { status, fingerprint } = expanded;
    if (status === 0 && fingerprint === block.fingerprint) return;
    // The MD5 tells a damaged block from a sound one that is in the wrong place.
    const digest = this.codecs.digest(raw.bytes.subarray(0, extent.sourceBytes));
    throw (
      blockDamage(reader.name, extent, { status, digest }, undefined) ?? fingerprintError(block)
    );
  }

  async #expandWithDigest(block: BlockToFetch, packed: Slot, raw: Slot): Promise<void> {
    const { extent, reader } = block;
    const unpacked = await this.#pool.unpack(packed, extent, raw, extent.sourceBytes);
    const damage =
      blockDamage(reader.name, extent, unpacked, undefined) ??
      fingerprintDamage(this.codecs, block, raw, unpacked.fingerprint);
    if (damage) throw damage;
  }
}

/** True when the fingerprint of the stored block is that of the disk: nothing is cut or added. */
function isTold({ fingerprint, extent, validBytes, lengthBytes }: BlockToFetch): boolean {
  return (
    fingerprint !== undefined && validBytes === lengthBytes && lengthBytes === extent.sourceBytes
  );
}

export function closedError(): UsageError {
  return new UsageError('USAGE_WRONG_STATE', 'the repository was closed', {
    hint: 'open it again, or close it later',
  });
}
