/**
 * Finds the places of restore points that need damaged stored blocks. Containers are followed
 * parents first: a later point that stores a block again no longer needs the damaged one. Time: one
 * pass over the references of each container from the first damaged one on. Memory: one entry per
 * damaged place. Points without a change share the map of their parent.
 */
import { BackupError } from '../../core/errors.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import { blockCountOf } from '../../core/units.ts';
import { PointReader } from '../pointReader.ts';
import type { DiskPoint, RestorePoint } from '../restorePoint.ts';
import type { StoreFolder } from '../../store/store.ts';

/** A damaged stored block. There is one object per block, so that it can be a map key. */
export interface DamagedRef {
  readonly fileName: string;
  readonly blockId: number;
}

/** Ids of damaged stored blocks, by file name. */
export type DamagedIds = ReadonlyMap<string, Iterable<number>>;

/** Damaged stored blocks, by block index of a disk. */
export type DamagedPlaces = ReadonlyMap<number, DamagedRef>;

/** Damage of one restore point. */
export interface PointDamage {
  /** By disk id. Disks without damage are left out. */
  readonly disks: ReadonlyMap<string, DamagedPlaces>;
  /**
   * Damaged items of the point's own container that are not disks: configuration, fingerprint
   * indexes.
   */
  readonly items: readonly { readonly name: string; readonly ref: DamagedRef }[];
}

const NO_PLACES: DamagedPlaces = new Map();
const NO_DAMAGE: PointDamage = { disks: new Map(), items: [] };

export class DamageTrace {
  readonly #refs = new Map<string, ReadonlyMap<number, DamagedRef>>();
  readonly #points = new Map<string, PointDamage>();

  constructor(damaged: DamagedIds) {
    for (const [fileName, blockIds] of damaged) {
      const refs = new Map<number, DamagedRef>();
      for (const blockId of blockIds) refs.set(blockId, { fileName, blockId });
      if (refs.size > 0) this.#refs.set(fileName, refs);
    }
  }

  /** Damage of a point that was followed. Other points have no damage here. */
  get(pointId: string): PointDamage {
    return this.#points.get(pointId) ?? NO_DAMAGE;
  }

  /** True when the container of the point must be followed to find its damage. */
  concerns(point: RestorePoint): boolean {
    return this.#refs.has(point.fileName) || this.get(point.parentPointId).disks.size > 0;
  }

  /**
   * Follows one more container. The container of its parent must be followed first.
   *
   * @throws a {@link BackupError} when the container does not hold a disk that its metadata names
   */
  async follow(opened: PointReader): Promise<PointDamage> {
    const { point } = opened;
    const own = this.#refs.get(point.fileName) ?? new Map<number, DamagedRef>();
    const parent = this.get(point.parentPointId);
    const disks = new Map<string, DamagedPlaces>();
    for (const disk of point.disks) {
      const inherited = disk.content === 'increment' ? parent.disks.get(disk.diskId) : undefined;
      const places = await followDisk(opened, disk, own, inherited ?? NO_PLACES);
      if (places.size > 0) disks.set(disk.diskId, places);
    }
    const found: PointDamage = { disks, items: own.size > 0 ? await followItems(opened, own) : [] };
    this.#points.set(point.pointId, found);
    return found;
  }
}

async function followDisk(
  opened: PointReader,
  disk: DiskPoint,
  own: ReadonlyMap<number, DamagedRef>,
  inherited: DamagedPlaces,
): Promise<DamagedPlaces> {
  if (own.size === 0 && inherited.size === 0) return NO_PLACES;
  const end = blockCountOf(disk.sizeBytes, opened.reader.blockSizeBytes);
  const places = new Map([...inherited].filter(([index]) => index < end));
  let isChanged = places.size !== inherited.size;
  for await (const { index, blockId } of opened.reader.references(opened.diskItem(disk))) {
    const ref = own.get(blockId);
    if (ref) places.set(index, ref);
    if (ref || places.delete(index)) isChanged = true;
  }
  return isChanged ? places : inherited;
}

/** Damaged items that are not disks and belong to this point alone. */
async function followItems(
  opened: PointReader,
  own: ReadonlyMap<number, DamagedRef>,
): Promise<PointDamage['items']> {
  const found = new Map<string, { readonly name: string; readonly ref: DamagedRef }>();
  const disks = new Set(opened.point.disks.map((disk) => opened.diskItem(disk)));
  for (const item of opened.items) {
    if (item.kind !== 'file' || disks.has(item)) continue;
    const name = item.path.slice(item.path.lastIndexOf('/') + 1);
    for await (const { blockId } of opened.reader.references(item)) {
      const ref = own.get(blockId);
      if (ref) found.set(`${name} ${blockId}`, { name, ref });
    }
  }
  return [...found.values()];
}

/**
 * Traces all points of a VM. A damaged container is skipped: verify reports it separately.
 *
 * @param points - parents before children, as chain metadata lists them.
 * @throws {@link RepositoryError} `REPOSITORY_IO` when a container cannot be reached
 */
export async function traceDamage(
  folder: StoreFolder,
  points: readonly RestorePoint[],
  damaged: DamagedIds,
): Promise<DamageTrace> {
  const trace = new DamageTrace(damaged);
  for (const point of points) {
    if (!trace.concerns(point)) continue;
    try {
      await followFile(trace, folder, point);
    } catch (error) {
      if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
    }
  }
  return trace;
}

async function followFile(
  trace: DamageTrace,
  folder: StoreFolder,
  point: RestorePoint,
): Promise<void> {
  const opened = await PointReader.open(folder, point);
  try {
    await trace.follow(opened);
  } finally {
    await opened.close();
  }
}
