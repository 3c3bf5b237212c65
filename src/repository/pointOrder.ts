/** The order of the points of a VM: parents first, then by time. The last one is the newest. */
import type { RestorePoint, VmIdentity } from './restorePoint.ts';

export interface FoundPoint {
  readonly vm: VmIdentity;
  readonly point: RestorePoint;
}

/** A container without a usable restore point, and the reason. */
export interface BadFile {
  readonly fileName: string;
  readonly reason: string;
}

/**
 * Orders the points of this VM: parents first, then by time of creation. A point whose parent is
 * missing is left out. A stopped prune can leave several files with the same point; then the first
 * file whose parent is present counts.
 */
export function orderPoints(
  vm: VmIdentity,
  known: readonly RestorePoint[],
  found: readonly FoundPoint[],
): { readonly points: RestorePoint[]; readonly badFiles: BadFile[] } {
  const badFiles: BadFile[] = [];
  const points = [...known];
  const sorted = found.toSorted(
    (a, b) => a.point.createdAt.localeCompare(b.point.createdAt) || a.point.number - b.point.number,
  );
  const waiting: RestorePoint[] = [];
  for (const { vm: owner, point } of sorted) {
    if (owner.id === vm.id) waiting.push(point);
    else badFiles.push({ fileName: point.fileName, reason: 'of another VM' });
  }
  const isKnown = ({ pointId }: RestorePoint): boolean =>
    points.some((other) => other.pointId === pointId);
  while (takeNext(waiting, points, isKnown));
  for (const point of waiting) {
    const reason = isKnown(point) ? 'a copy of a known restore point' : 'its parent is missing';
    badFiles.push({ fileName: point.fileName, reason });
  }
  return { points, badFiles };
}

/**
 * Moves the oldest waiting point whose parent is known into `points`: after its parent, and after
 * older points. The last point counts as the newest, so a file that comes back late must not become
 * the last one.
 *
 * @returns false when no waiting point can be placed.
 */
function takeNext(
  waiting: RestorePoint[],
  points: RestorePoint[],
  isKnown: (point: RestorePoint) => boolean,
): boolean {
  const at = waiting.findIndex(
    (point) =>
      !isKnown(point) &&
      (point.type === 'full' || points.some((other) => other.pointId === point.parentPointId)),
  );
  const [point] = at < 0 ? [] : waiting.splice(at, 1);
  if (!point) return false;
  insertPoint(points, point);
  return true;
}

/** Puts a point after its parent, and after older points. */
export function insertPoint(points: RestorePoint[], point: RestorePoint): void {
  let place = points.findIndex((other) => other.pointId === point.parentPointId) + 1;
  while (place < points.length && (points[place]?.createdAt ?? '') <= point.createdAt) place++;
  points.splice(place, 0, point);
}
