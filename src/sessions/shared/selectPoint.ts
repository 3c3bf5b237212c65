/** Selects restore points and disks by ids and names that users give. */
import { UsageError } from '../../core/errors.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';

const MIN_PREFIX = 4;
const POINT_HINT = 'run "ovirt-cbt list" and give a number, an id, or "latest"';

/** Points that `selector` fits: `latest`, an id, its first 4 or more characters, or a number. */
export function fittingPoints(points: readonly RestorePoint[], selector: string): RestorePoint[] {
  if (selector === 'latest') return points.slice(-1);
  const isPrefix = selector.length >= MIN_PREFIX;
  const number = /^\d+$/.test(selector) ? Number(selector) : undefined;
  return points.filter(
    (point) =>
      point.pointId === selector ||
      point.number === number ||
      (isPrefix && point.pointId.startsWith(selector)),
  );
}

/** True for a beginning of an id that has too few characters to be taken. */
function isShortId(selector: string): boolean {
  return selector.length < MIN_PREFIX && /^[0-9a-f]+$/.test(selector) && !/^\d+$/.test(selector);
}

/**
 * The error for a selector that fits no point.
 *
 * @param owner - words after the selector, for example ` of web01`.
 */
export function noSuchPoint(selector: string, owner = ''): UsageError {
  const text = isShortId(selector)
    ? `"${selector}" is too short: give at least ${MIN_PREFIX} characters of the id`
    : `restore point "${selector}"${owner} does not exist`;
  return new UsageError('USAGE_NOT_FOUND', text, { hint: POINT_HINT });
}

/**
 * The only point that `selector` fits. Chains of older versions may have points with one number.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export function selectPoint(metadata: ChainMetadata, selector: string): RestorePoint {
  const { points, vm } = metadata;
  const matches = fittingPoints(points, selector);
  const [match] = matches;
  if (match && matches.length === 1) return match;
  if (!match) throw noSuchPoint(selector, ` of ${vm.name}`);
  const ids = matches.map((point) => point.pointId).join(', ');
  const text = `restore point "${selector}" fits ${matches.length} points of ${vm.name}: ${ids}`;
  throw new UsageError('USAGE_NOT_FOUND', text, { hint: POINT_HINT });
}

/**
 * The disk with the id `name`, otherwise the only one with that alias.
 *
 * @param owner - the VM or restore point, as messages call it.
 * @throws {@link UsageError} `USAGE_NOT_FOUND`; `USAGE_INVALID_OPTION` when several disks have the
 *   alias
 */
export function findDisk<T extends Pick<DiskPoint, 'diskId' | 'alias'>>(
  disks: readonly T[],
  name: string,
  owner: string,
): T {
  const byId = disks.find((disk) => disk.diskId === name);
  const matches = byId ? [byId] : disks.filter((disk) => disk.alias === name);
  const [match] = matches;
  if (!match) {
    throw new UsageError('USAGE_NOT_FOUND', `${owner} has no disk "${name}"`, {
      hint: `its disks are: ${disks.map((disk) => disk.alias).join(', ')}`,
    });
  }
  if (matches.length === 1) return match;
  const ids = matches.map((disk) => disk.diskId).join(', ');
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `"${name}" names ${matches.length} disks of ${owner}: ${ids}`,
    { hint: 'give the id instead of the name' },
  );
}

/**
 * The disks named by id or alias, each once. Without names, all disks of the point.
 *
 * @throws {@link UsageError} as {@link findDisk}
 */
export function selectDisks(point: RestorePoint, names: readonly string[]): readonly DiskPoint[] {
  if (names.length === 0) return point.disks;
  const owner = `restore point ${point.pointId}`;
  return [...new Set(names.map((name) => findDisk(point.disks, name, owner)))];
}

/**
 * The point, which must hold a disk.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND` for a point with the configuration of its VM only
 */
export function requireDisks(point: RestorePoint): RestorePoint {
  if (point.disks.length > 0) return point;
  throw new UsageError(
    'USAGE_NOT_FOUND',
    `restore point ${point.pointId} holds no disk, only the configuration of the VM`,
    { hint: 'restore it with --to-engine, or choose another point with --point' },
  );
}
