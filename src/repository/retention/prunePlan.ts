/** What a prune does with each restore point of a VM. Pure. A point that a kept one needs is merged, never deleted. */
import type { RestorePoint } from '../restorePoint.ts';

/** Consecutive points of one chain that become one container for the last of them. */
export interface MergeRange {
  /** At least two, oldest first. */
  readonly points: readonly RestorePoint[];
  /** The point before them; undefined when the first one is a full, and so is the result. */
  readonly parent: RestorePoint | undefined;
}

export interface PrunePlan {
  /** Points that nothing needs, children before their parents. */
  readonly deleted: readonly RestorePoint[];
  /** Newest first, so that the one with the full, which takes the most room, comes last. */
  readonly runs: readonly MergeRange[];
  /** Points that are not kept but stay, because two others build on them. */
  readonly neededIds: ReadonlySet<string>;
}

type FindParent = (point: RestorePoint) => RestorePoint | undefined;

/** Points that are kept, or that lead to one that is. */
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
 * @param points - all points of the VM.
 * @param keptIds - what the policy keeps, the newest point among it.
 */
export function planPrune(
  points: readonly RestorePoint[],
  keptIds: ReadonlySet<string>,
): PrunePlan {
  const byId = new Map(points.map((point) => [point.pointId, point]));
  const parentOf: FindParent = (point) =>
    point.type === 'full' ? undefined : byId.get(point.parentPointId);
  const survivors = survivorsOf(points, keptIds, parentOf);
  const childCounts = new Map<string, number>();
  for (const point of points.filter(({ pointId }) => survivors.has(pointId))) {
    const parentId = parentOf(point)?.pointId ?? '';
    childCounts.set(parentId, (childCounts.get(parentId) ?? 0) + 1);
  }
  const staying = points.filter(
    ({ pointId }) =>
      keptIds.has(pointId) || (survivors.has(pointId) && (childCounts.get(pointId) ?? 0) > 1),
  );
  const stayingIds = new Set(staying.map((point) => point.pointId));
  return {
    deleted: points.filter((point) => !survivors.has(point.pointId)).toReversed(),
    runs: staying
      .toReversed()
      .map((point) => runTo(point, stayingIds, parentOf))
      .filter((run) => run.points.length > 1),
    neededIds: new Set([...stayingIds].filter((id) => !keptIds.has(id))),
  };
}

/** The point with those before it that do not stay. */
function runTo(
  point: RestorePoint,
  stayingIds: ReadonlySet<string>,
  parentOf: FindParent,
): MergeRange {
  const run = [point];
  let parent = parentOf(point);
  while (parent && !stayingIds.has(parent.pointId)) {
    run.unshift(parent);
    parent = parentOf(parent);
  }
  return { points: run, parent };
}
