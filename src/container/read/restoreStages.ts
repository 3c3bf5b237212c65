/**
 * Stages of restore and verify. Stored blocks are fetched into packed slots. Worker threads expand
 * them into raw slots and check them. The direction of the lease is `unpack`, see
 * {@link SlabDirection}.
 */
import { BackupError, FormatError, IntegrityError } from '../../core/errors.ts';
import { retry } from '../../core/retry.ts';
import { clockOf, countCpu, type StageStats } from '../../core/stats.ts';
import { isDeviceFailure } from '../../core/systemErrors.ts';
import type { DataBlock } from '../../flow/records.ts';
import { OrderedStage } from '../../flow/orderedStage.ts';
import type { SlabLease, Slot } from '../../flow/slab.ts';
import type { Stage } from '../../flow/connect.ts';
import type { WorkerPool } from '../../compute/workerPool.ts';
import { blockDamage } from './blockCheck.ts';
import type { ContainerReader, StoredExtent } from './containerReader.ts';

/**
 * A stored block to fetch, and its place in the disk. `verify` leaves the fields of the place at 0.
 */
export interface BlockToFetch {
  readonly kind: 'stored';
  readonly diskId: string;
  readonly index: number;
  readonly offsetBytes: number;
  /** Length of the block in the disk; bytes from `validBytes` on are zero there. */
  readonly lengthBytes: number;
  readonly validBytes: number;
  readonly reader: ContainerReader;
  readonly extent: StoredExtent;
  /** Fingerprint of the block as it lies in the disk, from the index; undefined when unknown. */
  readonly fingerprint: bigint | undefined;
}

export interface FetchedBlock {
  readonly kind: 'fetched';
  readonly block: BlockToFetch;
  readonly slot: Slot;
}

/**
 * Called for each damaged block, which is then dropped. Without it, a damaged block ends the chain.
 */
export type OnDamage = (block: BlockToFetch, error: BackupError) => void;

interface CommonOptions {
  readonly lease: SlabLease<'unpack'>;
  readonly stats: StageStats;
  readonly onDamage?: OnDamage | undefined;
}

export interface FetcherOptions extends CommonOptions {
  /** Tries of a read that the device fails with EIO. @defaultValue 1 */
  readonly readAttempts?: number | undefined;
}

const FETCHES = 8;
const READ_DELAY_MS = 100;
const UNPACK_WINDOW_BLOCKS = 32;

function isDamage(error: unknown): error is BackupError {
  return error instanceof BackupError && error.code !== 'CANCELLED';
}

/**
 * Reads stored bytes, eight blocks at the same time.
 *
 * Ownership: acquires one packed slot per block, in record order, which goes on in the
 * {@link FetchedBlock}.
 */
export function createBlockFetcher(options: FetcherOptions): Stage<BlockToFetch, FetchedBlock> {
  const { lease, stats, onDamage, readAttempts = 1 } = options;
  const clock = clockOf(stats);
  const slotWait = clockOf(stats, 'waitSlotMs');

  async function read(block: BlockToFetch, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const { reader, extent } = block;
    await retry(
      {
        attempts: readAttempts,
        firstDelayMs: READ_DELAY_MS,
        shouldRetry: isDeviceFailure,
        signal,
      },
      () => reader.storage.read(bytes, extent.offsetBytes),
    );
  }

  async function fetch(block: BlockToFetch, signal: AbortSignal): Promise<FetchedBlock[]> {
    const slot = await slotWait.time(() => lease.acquirePacked(signal));
    try {
      const { extent } = block;
      checkRoom(block, slot);
      const bytes = slot.bytes.subarray(0, extent.storedBytes);
      await clock.time(() => read(block, bytes, signal));
      stats.blocks++;
      stats.bytes += extent.storedBytes;
      return [{ kind: 'fetched', block, slot }];
    } catch (error) {
      slot.release();
      if (!onDamage || !isDamage(error)) throw error;
      onDamage(block, error);
      return [];
    }
  }
  return new OrderedStage<BlockToFetch, FetchedBlock>({ concurrency: FETCHES, stats, run: fetch });
}

/**
 * @throws {@link FormatError} `FORMAT_BOUNDS` for a block that is larger than a slot or shorter
 *   than its `validBytes`
 */
export function checkRoom(block: BlockToFetch, slot: Slot): void {
  const { extent } = block;
  if (extent.storedBytes <= slot.bytes.length && extent.sourceBytes >= block.validBytes) return;
  throw new FormatError(
    'FORMAT_BOUNDS',
    `${block.reader.name}: block ${extent.blockId}: ${extent.storedBytes} B stored, ${extent.sourceBytes} B plain`,
  );
}

export interface UnpackerOptions extends CommonOptions {
  readonly pool: WorkerPool;
  /** Fingerprint of plain bytes on this thread, for blocks that were cut or extended. */
  readonly fingerprint: (bytes: Buffer) => bigint;
}

/**
 * Expands and checks blocks.
 *
 * Ownership: acquires one raw slot per block, in record order, which goes on in the
 * {@link DataBlock}. The packed slot is released when the block is expanded.
 */
export function createBlockUnpacker(options: UnpackerOptions): Stage<FetchedBlock, DataBlock> {
  const { lease, stats, pool, onDamage } = options;
  const slotWait = clockOf(stats, 'waitSlotMs');

  async function unpack(fetched: FetchedBlock, signal: AbortSignal): Promise<DataBlock[]> {
    const { block, slot: packed } = fetched;
    const { extent } = block;
    const raw = await slotWait.time(() => lease.acquireRaw(signal));
    const unpacked = await pool.unpack(packed, extent, raw, extent.sourceBytes);
    packed.release();
    countCpu(stats, extent.sourceBytes, unpacked.workMs, pool.workerCount);
    const error =
      blockDamage(block.reader.name, extent, unpacked, undefined) ??
      fingerprintDamage(options, block, raw, unpacked.fingerprint);
    if (error) {
      raw.release();
      if (!onDamage) throw error;
      onDamage(block, error);
      return [];
    }
    const { diskId, index, offsetBytes, lengthBytes } = block;
    return [{ kind: 'data', diskId, index, offsetBytes, lengthBytes, slot: raw }];
  }
  return new OrderedStage<FetchedBlock, DataBlock>({
    concurrency: UNPACK_WINDOW_BLOCKS,
    stats,
    run: unpack,
  });
}

/** Zeroes the bytes of the block that do not count in the disk, and compares the fingerprint. */
export function fingerprintDamage(
  options: Pick<UnpackerOptions, 'fingerprint'>,
  block: BlockToFetch,
  raw: Slot,
  storedFingerprint: bigint,
): IntegrityError | undefined {
  const { extent } = block;
  const isWhole =
    block.validBytes === block.lengthBytes && block.lengthBytes === extent.sourceBytes;
  if (!isWhole) raw.bytes.fill(0, block.validBytes, block.lengthBytes);
  if (block.fingerprint === undefined) return undefined;
  const bytes = raw.bytes.subarray(0, block.lengthBytes);
  const actual = isWhole ? storedFingerprint : options.fingerprint(bytes);
  return actual === block.fingerprint ? undefined : fingerprintError(block);
}

/** The error for a sound block that is not the one of its place. */
export function fingerprintError(block: BlockToFetch): IntegrityError {
  const { blockId, offsetBytes } = block.extent;
  return new IntegrityError(
    'INTEGRITY_FINGERPRINT_MISMATCH',
    `${block.reader.name}: stored block ${blockId} at ${offsetBytes} B: differs from the fingerprint index at block ${block.index}`,
    { hint: 'run "ovirt-cbt verify"', details: { blockId, offsetBytes, index: block.index } },
  );
}
