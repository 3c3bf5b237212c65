/**
 * Contents of the container that replaces a range of points: for each disk of the last point, the
 * newest record of every block. The rules are those of restorePointView.ts.
 */
import type { ContainerReader } from '../../container/read/containerReader.ts';
import { ZERO_BLOCK_ID } from '../../container/format/records.ts';
import { IntegrityError, RepositoryError } from '../../core/errors.ts';
import { blockCountOf } from '../../core/units.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { Overlay } from '../overlay.ts';
import { PointReader } from '../pointReader.ts';
import type { MergeRange } from './prunePlan.ts';
import type { DiskPoint } from '../restorePoint.ts';
import {
  DiskView,
  diskOf,
  limitsOf,
  noBase,
  placeBlock,
  type ViewBlock,
} from '../restorePointView.ts';
import type { StoreFolder } from '../../store/store.ts';

/** One record of the merged disk. */
export interface MergedRecord {
  readonly index: number;
  /** Undefined for zeros that must be recorded. */
  readonly block: ViewBlock | undefined;
}

/** A disk of the last point, as the merged container holds it. */
export interface MergedDisk {
  readonly disk: DiskPoint;
  /**
   * A whole map when the range holds the whole disk. Otherwise patch records on the parent of the
   * range.
   */
  readonly content: DiskPoint['content'];
  /** Fingerprints of the disk at the last point, from its index. */
  readonly fingerprints: FingerprintMap;
  /**
   * Fingerprints of blocks without a record: those of the parent, cut to this disk's size; zeros
   * for a full.
   */
  readonly inherited: FingerprintMap;
  /** By ascending index. Each call starts from the first record. */
  readonly records: () => AsyncGenerator<MergedRecord>;
}

export class MergedView {
  readonly #points: readonly PointReader[];
  readonly #parent: PointReader | undefined;

  private constructor(points: readonly PointReader[], parent: PointReader | undefined) {
    this.#points = points;
    this.#parent = parent;
  }

  /**
   * Opens the containers of a range and of its parent. {@link close} closes them.
   *
   * @throws a {@link BackupError}: `CHAIN_PARENT_MISSING`, format and integrity codes
   */
  static async open(folder: StoreFolder, range: MergeRange): Promise<MergedView> {
    checkRange(range);
    const opened: PointReader[] = [];
    try {
      for (const point of range.points) opened.push(await PointReader.open(folder, point));
      const parent = range.parent && (await PointReader.open(folder, range.parent));
      return new MergedView(opened, parent);
    } catch (error) {
      await Promise.all(opened.map((reader) => reader.close()));
      throw error;
    }
  }

  /** The container of the last point. */
  get last(): PointReader {
    const last = this.#points.at(-1);
    if (!last)
      throw new RepositoryError('CHAIN_PARENT_MISSING', 'an empty range has no last point');
    return last;
  }

  /** @throws a {@link BackupError}, format and integrity codes */
  async disk(disk: DiskPoint, codecs: BlockCodecs): Promise<MergedDisk> {
    const fingerprints = await this.last.fingerprints(disk, codecs);
    const isWhole = this.#points.some(
      ({ point }) => diskOf(point, disk.diskId)?.content === 'full',
    );
    if (!isWhole) return await this.#increment(disk, fingerprints, codecs);
    const view = await DiskView.compose(this.#points, disk);
    const inherited = new FingerprintMap();
    return { disk, content: 'full', fingerprints, inherited, records: () => wholeOf(view) };
  }

  async #increment(
    disk: DiskPoint,
    fingerprints: FingerprintMap,
    codecs: BlockCodecs,
  ): Promise<MergedDisk> {
    const parentDisk = this.#parent && diskOf(this.#parent.point, disk.diskId);
    const known = this.#points.map(({ point }) => diskOf(point, disk.diskId));
    if (!this.#parent || !parentDisk) throw noBase(disk, this.#points);
    const overlay = new Overlay();
    for (const [k, opened] of this.#points.entries()) {
      const own = known[k];
      if (!own) throw noBase(disk, this.#points);
      for await (const { index, blockId } of opened.reader.references(opened.diskItem(own))) {
        overlay.set(index, k, blockId);
      }
    }
    const limits = limitsOf(known.map((own) => own?.sizeBytes ?? Infinity));
    const inherited = await this.#parent.fingerprints(parentDisk, codecs);
    const { blockSizeBytes } = this.last.reader;
    const end = blockCountOf(disk.sizeBytes, blockSizeBytes);
    inherited.clear(end, blockCountOf(parentDisk.sizeBytes, blockSizeBytes));
    // At some point of the range the disk was shorter. Parent blocks beyond that end are zeros
    // since then.
    const cutAt = blockCountOf(limits[0] ?? Infinity, blockSizeBytes);
    for (const index of inherited.nonZeroIn(cutAt, end)) {
      if (!overlay.get(index)) overlay.set(index, known.length - 1, ZERO_BLOCK_ID);
    }
    const readers = this.#points.map((opened) => opened.reader);
    const records = (): AsyncGenerator<MergedRecord> =>
      patchesOf(overlay, readers, disk.sizeBytes, limits);
    return { disk, content: 'increment', fingerprints, inherited, records };
  }

  async close(): Promise<void> {
    const opened = this.#parent ? [...this.#points, this.#parent] : this.#points;
    await Promise.all(opened.map((reader) => reader.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function* wholeOf(view: DiskView): AsyncGenerator<MergedRecord> {
  for await (const block of view.blocks()) yield { index: block.index, block };
}

async function* patchesOf(
  overlay: Overlay,
  readers: readonly ContainerReader[],
  sizeBytes: number,
  limits: readonly number[],
): AsyncGenerator<MergedRecord> {
  for (const entry of overlay.entries()) {
    const { index, pointIndex } = entry;
    const reader = readers[pointIndex];
    if (!reader || index >= blockCountOf(sizeBytes, reader.blockSizeBytes)) return;
    const limitBytes = limits[pointIndex] ?? Infinity;
    yield { index, block: placeBlock(reader, entry, sizeBytes, limitBytes) };
  }
}

function checkRange({ points, parent }: MergeRange): void {
  const [first] = points;
  if (first?.type !== 'full' && !parent) {
    throw new RepositoryError(
      'CHAIN_PARENT_MISSING',
      `restore point ${first?.pointId}: its parent ${first?.parentPointId} is not in the repository`,
      { hint: 'copy the missing file back and run "ovirt-cbt rescan"' },
    );
  }
  const sizes = new Set([...points, ...(parent ? [parent] : [])].map((one) => one.blockSizeBytes));
  if (sizes.size === 1) return;
  throw new IntegrityError(
    'INTEGRITY_DIGEST_MISMATCH',
    `restore point ${first?.pointId}: its chain has blocks of different sizes`,
    { hint: 'run "ovirt-cbt verify"' },
  );
}
