/** Selects restore points and disks by ids and names that users give. */
import { UsageError } from '../../core/errors.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';

const MIN_PREFIX = 4;

/**
 * The point named by `selector`: `latest`, an id, or an unambiguous prefix of at least 4
 * characters.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export function selectPoint(metadata: ChainMetadata, selector: string): RestorePoint {
  const { points } = metadata;
  const matches =
    selector === 'latest'
      ? points.slice(-1)
      : points.filter(
          (point) =>
            point.pointId === selector ||
            (selector.length >= MIN_PREFIX && point.pointId.startsWith(selector)),
        );
  const [match] = matches;
  if (match && matches.length === 1) return match;
  throw new UsageError(
    'USAGE_NOT_FOUND',
    matches.length > 1
      ? `restore point "${selector}" fits ${matches.length} points of ${metadata.vm.name}`
      : `restore point "${selector}" of ${metadata.vm.name} does not exist`,
    { hint: 'run "ovirt-cbt list" and give an id, or "latest"' },
  );
}

/**
 * The disks named by id or alias. Without names, all disks of the point.
 *
 * @throws {@link UsageError} `USAGE_NOT_FOUND`
 */
export function selectDisks(point: RestorePoint, names: readonly string[]): readonly DiskPoint[] {
  if (names.length === 0) return point.disks;
  return names.map((name) => {
    const disk = point.disks.find((known) => known.diskId === name || known.alias === name);
    if (disk) return disk;
    throw new UsageError(
      'USAGE_NOT_FOUND',
      `restore point ${point.pointId} has no disk "${name}"`,
      {
        hint: `its disks are: ${point.disks.map((known) => known.alias).join(', ')}`,
      },
    );
  });
}
