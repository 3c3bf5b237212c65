/**
 * Locks of restore points against deletion. The .vbm records them. A point is useless without those
 * on which it builds, so each of these is locked at least as long.
 *
 * A lock is always made longer before the .vbm says so. So the record is never too long.
 */
import { RepositoryError } from '../core/errors.ts';
import type { StoreFolder } from '../store/store.ts';
import type { ChainMetadata } from './pointXml.ts';
import { chainTo, type RestorePoint } from './restorePoint.ts';

/** End of the recorded lock, in milliseconds since 1970; -Infinity without a lock. */
export function lockedUntilMs({ lockedUntil }: RestorePoint): number {
  return lockedUntil === undefined ? -Infinity : Date.parse(lockedUntil);
}

/** The point with another record of its lock. */
export function withLock(point: RestorePoint, untilMs: number | undefined): RestorePoint {
  const { lockedUntil: _before, ...bare } = point;
  if (untilMs === undefined) return bare;
  return { ...bare, lockedUntil: new Date(untilMs).toISOString() };
}

/**
 * The metadata with longer locks. Shorter ones change nothing.
 *
 * @param untilById - ends of locks by point id, in milliseconds since 1970.
 */
export function raiseLocks(
  metadata: ChainMetadata,
  untilById: ReadonlyMap<string, number>,
): ChainMetadata {
  const points = metadata.points.map((point) => {
    const untilMs = untilById.get(point.pointId) ?? -Infinity;
    return untilMs > lockedUntilMs(point) ? withLock(point, untilMs) : point;
  });
  return { ...metadata, points };
}

/** The metadata with locks that cover a point in all points on which it builds. */
export function coverChain(metadata: ChainMetadata, point: RestorePoint): ChainMetadata {
  if (point.lockedUntil === undefined) return metadata;
  const untilMs = lockedUntilMs(point);
  const chain = chainTo(metadata.points, point);
  return raiseLocks(metadata, new Map(chain.map(({ pointId }) => [pointId, untilMs])));
}

/**
 * Makes the locks of containers as long as `after` says. Containers that `before` does not name are
 * left out.
 *
 * @throws {@link RepositoryError} `REPOSITORY_UNSUPPORTED` where nothing can be locked, and what
 *   the place throws
 */
export async function extendLocks(
  { locks, name }: StoreFolder,
  before: ChainMetadata,
  after: ChainMetadata,
): Promise<void> {
  const known = new Map(before.points.map((point) => [point.fileName, lockedUntilMs(point)]));
  const filesByTime = new Map<number, string[]>();
  for (const point of after.points) {
    const untilMs = lockedUntilMs(point);
    if (untilMs <= (known.get(point.fileName) ?? Infinity)) continue;
    filesByTime.set(untilMs, [...(filesByTime.get(untilMs) ?? []), point.fileName]);
  }
  if (filesByTime.size === 0) return;
  if (!locks) {
    throw new RepositoryError('REPOSITORY_UNSUPPORTED', `${name}: files cannot be locked here`, {
      hint: 'use a repository in a bucket with Object Lock',
    });
  }
  for (const [untilMs, files] of filesByTime) await locks.extend(files, untilMs);
}

/**
 * The points with the locks that their containers really have.
 *
 * @throws {@link RepositoryError} what the place throws
 */
export async function readLocks(
  { locks }: StoreFolder,
  points: readonly RestorePoint[],
): Promise<RestorePoint[]> {
  const until = await locks?.lockedUntil(points.map(({ fileName }) => fileName));
  return points.map((point) => withLock(point, until?.get(point.fileName)));
}
