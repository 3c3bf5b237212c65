/**
 * Copies stored blocks of older containers as they are: bytes, codec and digest. Every block is
 * expanded and checked (LZ4, CRC-32C, MD5, fingerprint at its place), so that a copy cannot hide
 * damage. A block that does not fill its place is packed again, because the disk was cut or grew
 * since. So is one in a form that we only read.
 */
import { type BusyClock, clockOf, countCpu, type StageStats } from '../../core/stats.ts';
import { roundUp } from '../../core/units.ts';
import type { PackedBlock, ZeroRun } from '../../flow/records.ts';
import { OrderedStage } from '../../flow/orderedStage.ts';
import type { SlabLease, Slot } from '../../flow/slab.ts';
import type { Stage } from '../../flow/connect.ts';
import { CLUSTER_BYTES } from '../../compute/storedForm.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';
import { checkPlainBlock } from '../read/blockCheck.ts';
import { checkRoom, fingerprintError, type BlockToFetch } from '../read/restoreStages.ts';

/** A block to copy, with the fingerprint that its place has in the index. */
export interface CopiedBlock extends BlockToFetch {
  readonly fingerprint: bigint;
}

export interface BlockCopierOptions {
  readonly pool: WorkerPool;
  /**
   * Stored bytes go from packed slot to packed slot, but the lease is `unpack`: a block holds its
   * packed slot while it waits for the raw one in which it is checked.
   */
  readonly lease: SlabLease<'unpack'>;
  /** Blocks and their stored bytes. */
  readonly stats: StageStats;
}

type Form = Pick<PackedBlock, 'codec' | 'storedBytes' | 'digest'>;

/** Blocks inside the stage at once. */
const COPY_WINDOW_BLOCKS = 12;

class BlockCopier {
  readonly #options: BlockCopierOptions;
  readonly #clock: BusyClock;

  constructor(options: BlockCopierOptions) {
    this.#options = options;
    this.#clock = clockOf(options.stats);
  }

  async copy(block: CopiedBlock, signal: AbortSignal): Promise<PackedBlock[]> {
    const { lease, stats } = this.#options;
    const slot = await lease.acquirePacked(signal);
    try {
      await this.#fetch(block, slot);
      const form = await this.#form(block, slot, await lease.acquireRaw(signal));
      stats.blocks++;
      stats.bytes += block.extent.storedBytes;
      const { diskId, index, offsetBytes, lengthBytes, fingerprint } = block;
      const place = { diskId, index, offsetBytes, lengthBytes, fingerprint };
      return [{ kind: 'packed', ...place, slot, ...form }];
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  async #fetch(block: CopiedBlock, slot: Slot): Promise<void> {
    const { offsetBytes, storedBytes } = block.extent;
    checkRoom(block, slot);
    const bytes = slot.bytes.subarray(0, storedBytes);
    await this.#clock.time(() => block.reader.storage.read(bytes, offsetBytes));
    slot.bytes.fill(0, storedBytes, roundUp(storedBytes, CLUSTER_BYTES));
  }

  /**
   * Checks the block in `slot`. Packs it again into `slot` where that is needed. Releases `raw`.
   */
  async #form(block: CopiedBlock, slot: Slot, raw: Slot): Promise<Form> {
    const { pool, stats } = this.#options;
    const { extent, reader, lengthBytes, validBytes } = block;
    try {
      const unpacked = await pool.unpack(slot, extent, raw, extent.sourceBytes);
      countCpu(stats, extent.sourceBytes, unpacked.workMs, pool.workerCount);
      checkPlainBlock(reader.name, extent, unpacked, undefined);
      const isWhole = validBytes === lengthBytes && lengthBytes === extent.sourceBytes;
      if (!isWhole) return await this.#remake(block, slot, raw);
      if (unpacked.fingerprint !== block.fingerprint) throw fingerprintError(block);
      const { codec, storedBytes } = extent;
      if (codec !== 'plain' && codec !== 'lz4') return await this.#remake(block, slot, raw);
      return { codec, storedBytes, digest: unpacked.digest };
    } finally {
      raw.release();
    }
  }

  /** Cuts or extends the plain bytes in `raw`, and packs them into `slot`. */
  async #remake(block: CopiedBlock, slot: Slot, raw: Slot): Promise<Form> {
    const { pool } = this.#options;
    const { lengthBytes, validBytes } = block;
    raw.bytes.fill(0, validBytes, lengthBytes);
    const { fingerprint } = await pool.hash(raw, lengthBytes);
    if (fingerprint !== block.fingerprint) throw fingerprintError(block);
    const { codec, storedBytes, digest } = await pool.pack(raw, lengthBytes, slot);
    if (codec === 'plain') raw.bytes.copy(slot.bytes, 0, 0, roundUp(storedBytes, CLUSTER_BYTES));
    return { codec, storedBytes, digest };
  }
}

/**
 * Makes the copier of one disk. Zero runs pass in their order.
 *
 * Ownership: acquires one packed slot per block, in record order, which goes on in the
 * {@link PackedBlock}. While it holds that one, it acquires a raw slot for the check and releases
 * it again.
 *
 * @throws (by ending the chain) {@link IntegrityError}, {@link FormatError} for a block that is
 *   damaged or not the one of its place
 */
export function createBlockCopier(
  options: BlockCopierOptions,
): Stage<CopiedBlock | ZeroRun, PackedBlock | ZeroRun> {
  const copier = new BlockCopier(options);
  return new OrderedStage<CopiedBlock | ZeroRun, PackedBlock | ZeroRun>({
    concurrency: COPY_WINDOW_BLOCKS,
    stats: options.stats,
    run: (record, signal) => (record.kind === 'zero' ? [record] : copier.copy(record, signal)),
  });
}
