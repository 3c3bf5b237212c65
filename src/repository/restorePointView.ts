/**
 * The composed view of a restore point: its full and all increments up to it. Blocks can be read in
 * any order.
 *
 * Rule: block i of a disk at point k comes from the newest file that names it. When the disk was
 * smaller at a later point, the part beyond that size counts as zeros. Zeros also extend the block
 * to its length at point k.
 */
import { IntegrityError, UsageError } from '../core/errors.ts';
import { blockCountOf, blockLengthAt } from '../core/units.ts';
import type { ContainerReader, StoredExtent } from '../container/read/containerReader.ts';
import type { BlockToFetch } from '../container/read/restoreStages.ts';
import type { FingerprintMap } from '../flow/fingerprintMap.ts';
import type { ContainerItem } from '../container/format/items.ts';
import type { BlockReference } from '../container/format/records.ts';
import { Overlay, type OverlayEntry } from './overlay.ts';
import type { StoreFolder } from '../store/store.ts';
import { PointReader } from './pointReader.ts';
import { chainTo, type DiskPoint, type RestorePoint } from './restorePoint.ts';

/** One non-zero block of a disk at the restore point. */
export interface ViewBlock {
  readonly index: number;
  /** Length of the block at this point. Only the last block of a disk can be shorter. */
  readonly lengthBytes: number;
  readonly reader: ContainerReader;
  readonly blockId: number;
  /** Leading bytes of the stored block that are valid. Zeros follow up to `lengthBytes`. */
  readonly validBytes: number;
}

/** A disk at one restore point. */
export class DiskView {
  readonly disk: DiskPoint;
  readonly blockSizeBytes: number;
  readonly #points: readonly PointReader[];
  readonly #baseIndex: number;
  readonly #baseItem: ContainerItem;
  readonly #overlay: Overlay;
  /** For each file of the chain: smallest size of the disk from that file on, in bytes. */
  readonly #limits: readonly number[];

  private constructor(
    disk: DiskPoint,
    points: readonly PointReader[],
    base: { readonly index: number; readonly item: ContainerItem },
    overlay: Overlay,
    limits: readonly number[],
  ) {
    this.disk = disk;
    this.#points = points;
    this.#baseIndex = base.index;
    this.#baseItem = base.item;
    this.#overlay = overlay;
    this.#limits = limits;
    this.blockSizeBytes = points[0]?.reader.blockSizeBytes ?? 0;
  }

  /**
   * Composes a disk from the opened files of its chain, oldest first.
   *
   * @throws {@link IntegrityError} when a file of the chain does not hold the disk
   */
  static async compose(points: readonly PointReader[], disk: DiskPoint): Promise<DiskView> {
    const history = points.map((opened) => diskOf(opened.point, disk.diskId));
    const baseIndex = history.findLastIndex((known) => known?.content === 'full');
    const baseDisk = history[baseIndex];
    const base = points[baseIndex];
    if (!base || !baseDisk) throw noBase(disk, points);
    const overlay = new Overlay();
    for (let k = baseIndex + 1; k < points.length; k++) {
      const [opened, known] = [points[k], history[k]];
      if (!opened || !known) throw noBase(disk, points);
      for await (const reference of opened.reader.references(opened.diskItem(known))) {
        overlay.set(reference.index, k, reference.blockId);
      }
    }
    const limits = limitsOf(history.map((known) => known?.sizeBytes ?? Infinity));
    const item = base.diskItem(baseDisk);
    return new DiskView(disk, points, { index: baseIndex, item }, overlay, limits);
  }

  get sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  /** All non-zero blocks, by ascending index. */
  async *blocks(): AsyncGenerator<ViewBlock> {
    yield* this.blocksIn(0, Infinity);
  }

  /** Non-zero blocks with an index in `[from, to)`, ascending. Reads metadata of the range only. */
  async *blocksIn(from: number, to: number): AsyncGenerator<ViewBlock> {
    const entries = this.#overlay.entries(from, to);
    let entry = entries.next();
    const base = this.#points[this.#baseIndex];
    if (!base) return;
    for await (const reference of base.reader.fileBlocks(this.#baseItem, from, to)) {
      for (; !entry.done && entry.value.index < reference.index; entry = entries.next()) {
        yield* this.#fromEntry(entry.value);
      }
      if (!entry.done && entry.value.index === reference.index) continue;
      yield* this.#block(this.#baseIndex, reference);
    }
    for (; !entry.done; entry = entries.next()) yield* this.#fromEntry(entry.value);
  }

  /** Block `index`, or undefined when it is zero or beyond the disk. */
  async blockAt(index: number): Promise<ViewBlock | undefined> {
    if (index >= blockCountOf(this.sizeBytes, this.blockSizeBytes)) return undefined;
    const entry = this.#overlay.get(index);
    if (entry) return this.#fromEntry(entry).next().value ?? undefined;
    const base = this.#points[this.#baseIndex];
    if (!base || index >= this.#baseItem.record.count) return undefined;
    const reference = await base.reader.fileBlock(this.#baseItem, index);
    return this.#block(this.#baseIndex, reference).next().value ?? undefined;
  }

  #fromEntry(entry: OverlayEntry): Generator<ViewBlock, undefined> {
    return this.#block(entry.pointIndex, entry);
  }

  /** Applies the rule of {@link placeBlock}. Yields nothing for zeros. */
  *#block(
    pointIndex: number,
    reference: Pick<BlockReference, 'index' | 'blockId'>,
  ): Generator<ViewBlock, undefined> {
    const opened = this.#points[pointIndex];
    const limitBytes = this.#limits[pointIndex] ?? Infinity;
    const block = opened && placeBlock(opened.reader, reference, this.sizeBytes, limitBytes);
    if (block) yield block;
  }
}

/**
 * Applies the rule for disks that were smaller to a stored block.
 *
 * @param sizeBytes - size of the disk at the wanted point.
 * @param limitBytes - smallest size of the disk since the block was stored.
 * @returns undefined for zeros and for a block beyond the disk.
 */
export function placeBlock(
  reader: ContainerReader,
  { index, blockId }: Pick<BlockReference, 'index' | 'blockId'>,
  sizeBytes: number,
  limitBytes: number,
): ViewBlock | undefined {
  const { blockSizeBytes } = reader;
  const lengthBytes = blockLengthAt(index, sizeBytes, blockSizeBytes);
  const validBytes = Math.min(lengthBytes, blockLengthAt(index, limitBytes, blockSizeBytes));
  if (blockId < 0 || validBytes <= 0) return undefined;
  return { index, lengthBytes, reader, blockId, validBytes };
}

/**
 * A block with all that is needed to read and check it.
 *
 * @param extent - its place in the container.
 */
export function blockToFetch(
  { disk, blockSizeBytes }: Pick<DiskView, 'disk' | 'blockSizeBytes'>,
  { index, lengthBytes, validBytes, reader }: ViewBlock,
  extent: StoredExtent,
  fingerprints: FingerprintMap | undefined,
): BlockToFetch {
  return {
    kind: 'stored',
    diskId: disk.diskId,
    index,
    offsetBytes: index * blockSizeBytes,
    lengthBytes,
    validBytes,
    reader,
    extent,
    fingerprint: fingerprints?.get(index),
  };
}

/**
 * A block that the fingerprint index calls non-zero must not be missing in the containers.
 *
 * @param count - blocks that are not zero, as they were read.
 * @throws {@link IntegrityError}
 */
export function checkComplete(
  { disk, sizeBytes, blockSizeBytes }: Pick<DiskView, 'disk' | 'sizeBytes' | 'blockSizeBytes'>,
  fingerprints: FingerprintMap,
  count: number,
): void {
  const end = blockCountOf(sizeBytes, blockSizeBytes);
  let expected = 0;
  for (const _index of fingerprints.nonZeroIn(0, end)) expected++;
  if (expected === count) return;
  throw new IntegrityError(
    'INTEGRITY_FINGERPRINT_MISMATCH',
    `disk ${disk.alias}: ${count} blocks read, ${expected} in the fingerprint index`,
    { hint: 'run "ovirt-cbt verify"' },
  );
}

export function diskOf(point: RestorePoint, diskId: string): DiskPoint | undefined {
  return point.disks.find((disk) => disk.diskId === diskId);
}

/** For each position, the smallest size from there to the end. */
export function limitsOf(sizes: readonly number[]): number[] {
  const limits: number[] = [];
  let smallest = Infinity;
  for (let k = sizes.length - 1; k >= 0; k--) {
    smallest = Math.min(smallest, sizes[k] ?? Infinity);
    limits[k] = smallest;
  }
  return limits;
}

/** Error for a disk that the metadata names and a file of the chain does not hold. */
export function noBase(
  disk: DiskPoint,
  points: readonly { readonly point: RestorePoint }[],
): IntegrityError {
  const point = points.at(-1)?.point.pointId ?? '';
  return new IntegrityError(
    'INTEGRITY_DIGEST_MISMATCH',
    `disk ${disk.alias} (${disk.diskId}) of restore point ${point}: a file of its chain does not hold it`,
    { hint: 'run "ovirt-cbt verify"' },
  );
}

export class RestorePointView {
  readonly point: RestorePoint;
  readonly #points: readonly PointReader[];
  readonly #close: () => Promise<void>;

  private constructor(
    point: RestorePoint,
    points: readonly PointReader[],
    close: () => Promise<void>,
  ) {
    this.point = point;
    this.#points = points;
    this.#close = close;
  }

  /** A view of files that were opened before, oldest first. {@link close} calls `close`. */
  static ofFiles(
    point: RestorePoint,
    points: readonly PointReader[],
    close: () => Promise<void>,
  ): RestorePointView {
    return new RestorePointView(point, points, close);
  }

  /**
   * Opens all files that a point needs. {@link close} closes them.
   *
   * @throws a {@link BackupError}: `CHAIN_PARENT_MISSING`, format and integrity codes
   */
  static async open(
    folder: StoreFolder,
    points: readonly RestorePoint[],
    point: RestorePoint,
  ): Promise<RestorePointView> {
    const opened: PointReader[] = [];
    const close = async (): Promise<void> => {
      await Promise.all(opened.map((reader) => reader.close()));
    };
    try {
      for (const member of chainTo(points, point)) {
        opened.push(await PointReader.open(folder, member));
      }
      return new RestorePointView(point, opened, close);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** The container of the point itself. */
  get newest(): PointReader {
    const newest = this.#points.at(-1);
    if (!newest) throw new UsageError('USAGE_NOT_FOUND', 'an empty chain has no newest point');
    return newest;
  }

  /** Opened containers, the full first. */
  get members(): readonly PointReader[] {
    return this.#points;
  }

  async disk(disk: DiskPoint): Promise<DiskView> {
    return await DiskView.compose(this.#points, disk);
  }

  async close(): Promise<void> {
    await this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
