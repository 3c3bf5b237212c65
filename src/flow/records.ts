/**
 * The records that flow through the pipeline. Bytes stay in slots of the slab; a record names its slot.
 *
 * A stage makes a new record instead of adding fields to the one it got. All offsets and lengths are in
 * bytes, all indexes count container blocks from 0. Runs cover whole container blocks (the last block of
 * a disk may be short); a block carries exactly one.
 */
import { blockLengthAt } from '../core/units.ts';
import type { StoredCodec } from '../compute/lz4Frame.ts';
import type { Slot } from './slab.ts';

/** How a disk is read: everything, the engine's dirty extents, or everything compared with the parent point. */
export type DiskMode = 'full' | 'incremental' | 'compare';

/** What every stage of one disk's chain knows before the first record. */
export interface DiskTask {
  readonly diskId: string;
  readonly alias: string;
  readonly virtualSizeBytes: number;
  readonly blockSizeBytes: number;
  readonly mode: DiskMode;
}

/**
 * A byte range of a disk with one state. `dirty` is set only in the `dirty` context.
 *
 * @see ovirt-imageio docs/images.md: a dirty zero extent has to be written as zeros, not skipped.
 */
export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
  readonly dirty?: boolean | undefined;
}

/** A source of disk bytes. */
export interface BlockDevice {
  readonly virtualSizeBytes: number;
  /**
   * An open file of this process that holds byte k of the disk at offset k. Worker threads may read it of
   * their own accord; what they cannot read is asked of {@link readInto}. It stays open until `close`.
   */
  readonly fileDescriptor?: number | undefined;
  /** Extents in ascending order that cover the whole disk without gap or overlap (the plan checks). */
  extents(context: 'zero' | 'dirty', signal: AbortSignal): AsyncIterable<Extent> | Iterable<Extent>;
  /**
   * Reads `target.length` bytes at `offsetBytes` into `target`, which stays the caller's.
   *
   * @returns bytes read; fewer than asked is a short read, which the block reader reports.
   */
  readInto(target: Uint8Array, offsetBytes: number, signal: AbortSignal): Promise<number>;
  close(): Promise<void>;
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

/** Consecutive blocks of a file that are to be compared with the parent restore point before they are read. */
export type CandidateRun = BlockRun<'candidate'>;

/** One block whose bytes have to be read. */
export interface WantedBlock extends BlockRange {
  readonly kind: 'wanted';
}

/** One block in a raw slot. Whoever ends the record releases the slot. */
export interface DataBlock extends BlockRange {
  readonly kind: 'data';
  readonly slot: Slot;
}

/** A data block with its fingerprint (xxHash64, seed 0, never 0). */
export interface HashedBlock extends BlockRange {
  readonly kind: 'hashed';
  readonly slot: Slot;
  readonly fingerprint: bigint;
}

/** Consecutive blocks that read as zeros; they are recorded, not skipped. */
export type ZeroRun = BlockRun<'zero'>;

/** Consecutive blocks that the parent restore point already holds. */
export type UnchangedRun = BlockRun<'unchanged'>;

/**
 * One block in its stored form: `slot.bytes[0, storedBytes)`, zero padded to the next multiple of 4096.
 * For `lz4` that is the container's 12-byte block header and the raw LZ4 block.
 */
export interface PackedBlock extends BlockRange {
  readonly kind: 'packed';
  readonly slot: Slot;
  readonly codec: StoredCodec;
  readonly storedBytes: number;
  readonly fingerprint: bigint;
  /** MD5 of the plain bytes, 16 bytes, owned by the record. */
  readonly digest: Uint8Array;
}

/** What a sink behind the whole pipeline gets. A sink releases the slots it consumed. */
export type SinkBlock = PackedBlock | ZeroRun | UnchangedRun;

export type PipelineRecord =
  | PlannedRun
  | CandidateRun
  | WantedBlock
  | DataBlock
  | HashedBlock
  | ZeroRun
  | UnchangedRun
  | PackedBlock;

/** Releases the slot of a record that has one. For sinks. */
export function releaseSlot(record: PipelineRecord): void {
  if ('slot' in record) record.slot.release();
}

/** What cutting a run needs to know of its disk. */
export type DiskGeometry = Pick<DiskTask, 'blockSizeBytes' | 'virtualSizeBytes'>;

/** The part `[fromIndex, toIndex)` of a run as a run of another kind. */
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

/** Block `index` of a disk as one that has to be read. */
export function wantedBlock(diskId: string, index: number, disk: DiskGeometry): WantedBlock {
  const { blockSizeBytes, virtualSizeBytes } = disk;
  const offsetBytes = index * blockSizeBytes;
  const lengthBytes = blockLengthAt(index, virtualSizeBytes, blockSizeBytes);
  return { kind: 'wanted', diskId, index, offsetBytes, lengthBytes };
}
