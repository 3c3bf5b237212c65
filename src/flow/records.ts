/**
 * The records that flow through the pipeline. Bytes stay in slots of the slab; a record holds its
 * slot.
 *
 * A stage makes a new record; it never adds fields to the one that it got. All offsets and lengths
 * are in bytes, all indexes count container blocks from 0. A run covers whole container blocks (the
 * last block of a disk may be short). A block record covers exactly one block.
 */
import { blockLengthAt } from '../core/units.ts';
import type { StoredCodec } from '../compute/storedForm.ts';
import type { Slot } from './slab.ts';

/**
 * How a disk is read. `full`: all data. `incremental`: only the engine's dirty extents. `compare`:
 * all data, compared with the parent point.
 */
export type DiskMode = 'full' | 'incremental' | 'compare';

/** Facts about one disk that every stage of its chain needs. */
export interface DiskTask {
  readonly diskId: string;
  /** Name of the disk for people. */
  readonly alias: string;
  readonly virtualSizeBytes: number;
  /** Size of a container block, the same for the whole container. */
  readonly blockSizeBytes: number;
  readonly mode: DiskMode;
}

/**
 * A byte range of a disk with one state. `dirty` is set only in the `dirty` context.
 *
 * @see ovirt-imageio docs/images.md: a dirty zero extent must be written as zeros, not skipped.
 */
export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
  readonly dirty?: boolean | undefined;
}

/** A source of disk bytes. The caller closes it. */
export interface BlockDevice {
  readonly virtualSizeBytes: number;
  /**
   * An open file of this process that holds byte k of the disk at offset k. It stays open until
   * `close`. Worker threads may read it directly. What they cannot read is read through
   * {@link readInto}.
   */
  readonly fileDescriptor?: number | undefined;
  /**
   * Extents in ascending order that cover the whole disk without gap or overlap (the plan checks
   * them). The `zero` context says which ranges are zero; the `dirty` context also says which ones
   * changed.
   */
  extents(context: 'zero' | 'dirty', signal: AbortSignal): AsyncIterable<Extent> | Iterable<Extent>;
  /**
   * Reads `target.length` bytes at `offsetBytes` into `target`, which stays the caller's.
   *
   * @returns bytes read. Fewer than asked is a short read; the block reader reports it.
   */
  readInto(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number>;
  /**
   * Reads the first `lengthBytes` of a slot, and computes the fingerprint while it reads. Only
   * devices whose threads read into the slab have this.
   *
   * @internal
   */
  readHashed?(
    slot: Slot,
    lengthBytes: number,
    offsetBytes: number,
    signal: AbortSignal,
  ): Promise<FingerprintedRead>;
  close(): Promise<void>;
}

/** Result of a read into a slot. */
export interface FingerprintedRead {
  /** Bytes read. Fewer than asked is a short read. */
  readonly actualBytes: number;
  /** xxHash64 with seed 0; 0 for a block of zeros; undefined when it was not computed. */
  readonly fingerprint: bigint | undefined;
}

interface BlockRange {
  readonly diskId: string;
  /** Index of the first (or only) block. */
  readonly index: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

interface BlockRun<Kind> extends BlockRange {
  readonly kind: Kind;
  readonly blockCount: number;
}

/** Consecutive blocks with one state, as planned from extents. */
export interface PlannedRun extends BlockRun<'planned'> {
  readonly zero: boolean;
  readonly dirty: boolean;
}

/**
 * Consecutive blocks of a file. They are compared with the parent restore point before they are
 * read.
 */
export type CandidateRun = BlockRun<'candidate'>;

/** One block whose bytes must be read. */
export interface WantedBlock extends BlockRange {
  readonly kind: 'wanted';
}

/** One block in a raw slot. The stage or sink that ends the record releases the slot. */
export interface DataBlock extends BlockRange {
  readonly kind: 'data';
  readonly slot: Slot;
}

/**
 * A data block with its fingerprint (xxHash64, seed 0, never 0). Ownership as for
 * {@link DataBlock}.
 */
export interface HashedBlock extends BlockRange {
  readonly kind: 'hashed';
  readonly slot: Slot;
  readonly fingerprint: bigint;
}

/** Consecutive blocks of zeros. They are recorded, not skipped. */
export type ZeroRun = BlockRun<'zero'>;

/** Consecutive blocks that the parent restore point already holds. */
export type UnchangedRun = BlockRun<'unchanged'>;

/**
 * One block in its stored form: `slot.bytes[0, storedBytes)`, zero padded to the next multiple of
 * 4096. For `lz4` that is the 12-byte block header of the container and one raw LZ4 block. The sink
 * releases the slot.
 */
export interface PackedBlock extends BlockRange {
  readonly kind: 'packed';
  readonly slot: Slot;
  readonly codec: StoredCodec;
  readonly storedBytes: number;
  readonly fingerprint: bigint;
  /** MD5 of the plain bytes, 16 bytes. It belongs to the record. */
  readonly digest: Uint8Array;
}

/** Input of a sink after the whole pipeline. The sink releases the slots that it gets. */
export type SinkBlock = PackedBlock | ZeroRun | UnchangedRun;

/** Any record of the pipeline. */
export type PipelineRecord =
  | PlannedRun
  | CandidateRun
  | WantedBlock
  | DataBlock
  | HashedBlock
  | ZeroRun
  | UnchangedRun
  | PackedBlock;

/** The slot of a record, or undefined when it has none. A user's own records may have one too. */
export function slotOf(record: object): Slot | undefined {
  return (record as { readonly slot?: Slot }).slot;
}

/**
 * Releases the slot of a record that has one; otherwise does nothing. For sinks.
 *
 * @throws {@link InternalError} `INTERNAL_INVARIANT` when the slot was already released
 */
export function releaseSlot(record: object): void {
  slotOf(record)?.release();
}

/** Facts about a disk that are needed to cut a run. */
export type DiskGeometry = Pick<DiskTask, 'blockSizeBytes' | 'virtualSizeBytes'>;

/** Blocks `[fromIndex, toIndex)` of a run, as a run of another kind. */
export function subRun<Kind extends 'zero' | 'unchanged' | 'candidate'>(
  run: { readonly diskId: string },
  kind: Kind,
  fromIndex: number,
  toIndex: number,
  disk: DiskGeometry,
): BlockRun<Kind> {
  const offsetBytes = fromIndex * disk.blockSizeBytes;
  const endBytes = Math.min(toIndex * disk.blockSizeBytes, disk.virtualSizeBytes);
  return {
    kind,
    diskId: run.diskId,
    index: fromIndex,
    offsetBytes,
    lengthBytes: endBytes - offsetBytes,
    blockCount: toIndex - fromIndex,
  };
}

/** Block `index` of a disk, as a block that must be read. */
export function wantedBlock(diskId: string, index: number, disk: DiskGeometry): WantedBlock {
  const { blockSizeBytes, virtualSizeBytes } = disk;
  const offsetBytes = index * blockSizeBytes;
  const lengthBytes = blockLengthAt(index, virtualSizeBytes, blockSizeBytes);
  return { kind: 'wanted', diskId, index, offsetBytes, lengthBytes };
}
