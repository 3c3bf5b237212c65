/**
 * The composed view of a restore point whose chain is damaged. Files that cannot be read are left
 * out. So a block that this view gives may be too old: compare it with the fingerprint index.
 */
import { BackupError, FormatError, IntegrityError, RepositoryError } from '../../core/errors.ts';
import { isDeviceFailure } from '../../core/systemErrors.ts';
import { blockCountOf } from '../../core/units.ts';
import type { ContainerReader } from '../../container/read/containerReader.ts';
import type { ContainerItem } from '../../container/format/items.ts';
import type { BlockReference } from '../../container/format/records.ts';
import { Overlay, type OverlayEntry } from '../overlay.ts';
import { PointReader } from '../pointReader.ts';
import { chainTo, type DiskPoint, type RestorePoint } from '../restorePoint.ts';
import {
  diskOf,
  limitsOf,
  noBase,
  placeBlock,
  type RestorePointView,
  type ViewBlock,
} from '../restorePointView.ts';
import type { StoreFolder } from '../../store/store.ts';

/**
 * True when bytes of a repository are lost: they are wrong or missing, or the device cannot read
 * them (EIO). Other errors of the system are no damage. They end the work.
 */
export function isLostBytes(error: unknown): error is BackupError {
  if (error instanceof FormatError || error instanceof IntegrityError) return true;
  if (!(error instanceof RepositoryError)) return false;
  return error.code === 'CHAIN_PARENT_MISSING' || isDeviceFailure(error);
}

/** A file of the chain, opened. `loss` says why it could not be. */
interface Member {
  readonly point: RestorePoint;
  readonly opened: PointReader | undefined;
  readonly loss: BackupError | undefined;
}

const CUT_TOO = { allowCut: true } as const;

async function openMember(folder: StoreFolder, point: RestorePoint): Promise<Member> {
  try {
    return { point, opened: await PointReader.open(folder, point, CUT_TOO), loss: undefined };
  } catch (error) {
    if (!isLostBytes(error)) throw error;
    return { point, opened: undefined, loss: error };
  }
}

export class SalvageView {
  readonly point: RestorePoint;
  /** The container of the point itself. It holds the fingerprint index. */
  readonly newest: PointReader;
  readonly #members: readonly Member[];
  readonly #ownsFiles: boolean;

  private constructor(
    point: RestorePoint,
    newest: PointReader,
    members: readonly Member[],
    ownsFiles = true,
  ) {
    this.point = point;
    this.newest = newest;
    this.#members = members;
    this.#ownsFiles = ownsFiles;
  }

  /**
   * Opens the files that a point needs, except those that are lost. {@link close} closes them.
   *
   * @throws a {@link BackupError} when the container of the point itself is lost, or when a file
   *   cannot be reached
   */
  static async open(
    folder: StoreFolder,
    points: readonly RestorePoint[],
    point: RestorePoint,
  ): Promise<SalvageView> {
    const newest = await PointReader.open(folder, point, CUT_TOO);
    const members: Member[] = [{ point, opened: newest, loss: undefined }];
    try {
      for (const parent of chainTo(points, point).slice(0, -1).toReversed()) {
        members.unshift(await openMember(folder, parent));
      }
    } catch (error) {
      await closeAll(members);
      throw error;
    }
    return new SalvageView(point, newest, members);
  }

  /** The chain of an open view, which stays open: closing this one does nothing. */
  static ofView({ point, newest, members }: RestorePointView): SalvageView {
    const known = members.map((opened) => ({ point: opened.point, opened, loss: undefined }));
    return new SalvageView(point, newest, known, false);
  }

  /** Files of the chain that cannot be read, oldest first. */
  get losses(): { readonly fileName: string; readonly error: BackupError }[] {
    return this.#members.flatMap(({ point, loss }) =>
      loss ? [{ fileName: point.fileName, error: loss }] : [],
    );
  }

  async disk(disk: DiskPoint): Promise<SalvagedDisk> {
    return await SalvagedDisk.compose(this.#members, disk);
  }

  async close(): Promise<void> {
    if (this.#ownsFiles) await closeAll(this.#members);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function closeAll(members: readonly Member[]): Promise<void> {
  await Promise.all(members.map(async ({ opened }) => await opened?.close()));
}

/** The file that holds the whole disk. The reader is undefined when the file is lost. */
interface Base {
  readonly index: number;
  readonly reader: ContainerReader | undefined;
  readonly item: ContainerItem | undefined;
}

/** A disk of a {@link SalvageView}: the blocks that the readable files of its chain name. */
export class SalvagedDisk {
  readonly disk: DiskPoint;
  readonly blockSizeBytes: number;
  readonly #members: readonly Member[];
  readonly #base: Base;
  readonly #overlay: Overlay;
  /** For each file of the chain: smallest size of the disk from that file on, in bytes. */
  readonly #limits: readonly number[];
  /** Why the map of a file cannot be used, by the position of the file in the chain. */
  readonly #losses: Map<number, BackupError>;

  private constructor(
    disk: DiskPoint,
    members: readonly Member[],
    base: Base,
    overlay: Overlay,
    losses: Map<number, BackupError>,
  ) {
    this.disk = disk;
    this.blockSizeBytes = members.at(-1)?.point.blockSizeBytes ?? 0;
    this.#members = members;
    this.#base = base;
    this.#overlay = overlay;
    this.#limits = limitsOf(
      members.map(({ point }) => diskOf(point, disk.diskId)?.sizeBytes ?? Infinity),
    );
    this.#losses = losses;
  }

  /** @throws {@link IntegrityError} when no file of the chain should hold the whole disk */
  static async compose(members: readonly Member[], disk: DiskPoint): Promise<SalvagedDisk> {
    const history = members.map(({ point }) => diskOf(point, disk.diskId));
    const baseIndex = history.findLastIndex((known) => known?.content === 'full');
    if (baseIndex < 0) throw noBase(disk, members);
    const losses = new Map<number, BackupError>();
    const overlay = new Overlay();
    let base: Base = { index: baseIndex, reader: undefined, item: undefined };
    for (let k = baseIndex; k < members.length; k++) {
      const [member, known] = [members[k], history[k]];
      try {
        if (!member?.opened || !known) throw member?.loss ?? noBase(disk, members);
        const { reader } = member.opened;
        const item = member.opened.diskItem(known);
        if (k === baseIndex) base = { index: k, reader, item };
        else await overlayItem(overlay, k, reader, item);
      } catch (error) {
        if (!isLostBytes(error)) throw error;
        losses.set(k, error);
      }
    }
    return new SalvagedDisk(disk, members, base, overlay, losses);
  }

  get sizeBytes(): number {
    return this.disk.sizeBytes;
  }

  /**
   * Non-zero blocks that the readable maps name, by ascending index. When the map of the base ends
   * early, the blocks after that place are missing, and {@link lossAfter} tells why.
   */
  async *blocks(): AsyncGenerator<ViewBlock> {
    const entries = this.#overlay.entries();
    let entry = entries.next();
    for await (const reference of this.#baseReferences()) {
      for (; !entry.done && entry.value.index < reference.index; entry = entries.next()) {
        yield* this.#place(entry.value);
      }
      if (!entry.done && entry.value.index === reference.index) continue;
      yield* this.#place({ ...reference, pointIndex: this.#base.index });
    }
    for (; !entry.done; entry = entries.next()) yield* this.#place(entry.value);
  }

  /**
   * Block `index` as the readable maps name it. Undefined when it is zero, lost or beyond the disk.
   */
  async blockAt(index: number): Promise<ViewBlock | undefined> {
    if (index >= blockCountOf(this.sizeBytes, this.blockSizeBytes)) return undefined;
    const entry = this.#overlay.get(index);
    if (entry) return this.#place(entry).next().value ?? undefined;
    const { index: pointIndex, reader, item } = this.#base;
    if (!reader || !item || index >= item.record.count) return undefined;
    const { blockId } = await reader.fileBlock(item, index);
    return this.#place({ index, pointIndex, blockId }).next().value ?? undefined;
  }

  /**
   * Why blocks may be missing or too old: the loss of the newest file after the one of `reader`, in
   * the order of the chain. Without `reader`, the loss of any file.
   */
  lossAfter(reader?: ContainerReader): BackupError | undefined {
    const own = this.#members.findIndex(({ opened }) => reader && opened?.reader === reader);
    const lost = [...this.#losses.keys()].filter((k) => k > own);
    return this.#losses.get(Math.max(...lost));
  }

  async *#baseReferences(): AsyncGenerator<BlockReference> {
    const { index, reader, item } = this.#base;
    if (!reader || !item) return;
    try {
      yield* reader.references(item);
    } catch (error) {
      if (!isLostBytes(error)) throw error;
      this.#losses.set(index, error);
    }
  }

  *#place(entry: OverlayEntry): Generator<ViewBlock, undefined> {
    const reader = this.#members[entry.pointIndex]?.opened?.reader;
    const limitBytes = this.#limits[entry.pointIndex] ?? Infinity;
    const block = reader && placeBlock(reader, entry, this.sizeBytes, limitBytes);
    if (block) yield block;
  }
}

async function overlayItem(
  overlay: Overlay,
  pointIndex: number,
  reader: ContainerReader,
  item: ContainerItem,
): Promise<void> {
  for await (const { index, blockId } of reader.references(item)) {
    overlay.set(index, pointIndex, blockId);
  }
}
