/**
 * Plans a prune: what happens to each restore point of a VM. Pure. A point that a kept one needs is
 * merged, never deleted.
 */
import type { RestorePoint } from '../restorePoint.ts';

/** Consecutive points of one chain that become one container, for the last of them. */
export interface MergeRange {
  /** At least two points, oldest first. */
  readonly points: readonly RestorePoint[];
  /**
   * The point before the first one. Undefined when the first one is a full; the result is then a
   * full too.
   */
  readonly parent: RestorePoint | undefined;
}

export interface PrunePlan {
  /** Points that no kept point needs, children before their parents. */
  readonly deleted: readonly RestorePoint[];
  /** Newest first: the range with the full takes the most room, so it comes last. */
  readonly ranges: readonly MergeRange[];
  /**
   * Points that no rule keeps but that must stay: frozen ones, those on which they build, and those
   * at which two or more branches with kept points begin.
   */
  readonly neededIds: ReadonlySet<string>;
}

type FindParent = (point: RestorePoint) => RestorePoint | undefined;

/** Ids of points that are kept, or on which a kept point builds. */
function survivorsOf(
  points: readonly RestorePoint[],
  keptIds: ReadonlySet<string>,
  parentOf: FindParent,
): ReadonlySet<string> {
  const survivors = new Set<string>();
  for (const point of points.filter(({ pointId }) => keptIds.has(pointId))) {
    let at: RestorePoint | undefined = point;
    while (at && !survivors.has(at.pointId)) {
      survivors.add(at.pointId);
      at = parentOf(at);
    }
  }
  return survivors;
}

/**
 * Plans a prune.
 *
 * @param points - all points of the VM, parents before their children.
 * @param keptIds - ids that the policy keeps. The newest point is always among them.
 * @param frozenIds - ids of points whose containers must stay as they are. So must those of the
 *   points that they build on.
 */
export function planPrune(
  points: readonly RestorePoint[],
  keptIds: ReadonlySet<string>,
  frozenIds: ReadonlySet<string> = new Set(),
): PrunePlan {
  const byId = new Map(points.map((point) => [point.pointId, point]));
  const parentOf: FindParent = (point) =>
    point.type === 'full' ? undefined : byId.get(point.parentPointId);
  // A range ends with a point that stays, and takes in no other one. The parent of a frozen point
  // stays too, so no range of two points ends with a frozen one.
  const fixedIds = new Set([...keptIds, ...survivorsOf(points, frozenIds, parentOf)]);
  const survivors = survivorsOf(points, fixedIds, parentOf);
  const childCounts = new Map<string, number>();
  for (const point of points.filter(({ pointId }) => survivors.has(pointId))) {
    const parentId = parentOf(point)?.pointId ?? '';
    childCounts.set(parentId, (childCounts.get(parentId) ?? 0) + 1);
  }
  const staying = points.filter(
    ({ pointId }) =>
      fixedIds.has(pointId) || (survivors.has(pointId) && (childCounts.get(pointId) ?? 0) > 1),
  );
  const stayingIds = new Set(staying.map((point) => point.pointId));
  return {
    deleted: points.filter((point) => !survivors.has(point.pointId)).toReversed(),
    ranges: staying
      .toReversed()
      .map((point) => rangeTo(point, stayingIds, parentOf))
      .filter((range) => range.points.length > 1),
    neededIds: new Set([...stayingIds].filter((id) => !keptIds.has(id))),
  };
}

/** The range that ends with `point`: all points directly before it that do not stay. */
function rangeTo(
  point: RestorePoint,
  stayingIds: ReadonlySet<string>,
  parentOf: FindParent,
): MergeRange {
  const range = [point];
  let parent = parentOf(point);
  while (parent && !stayingIds.has(parent.pointId)) {
    range.unshift(parent);
    parent = parentOf(parent);
  }
  return { points: range, parent };
}
