/** The report of a prune: what happens to each restore point, and why. */
import type { SessionMessage } from '../../core/messages.ts';
import { isServed, type Lease } from '../../repository/lease/leases.ts';
import type { PrunePlan } from '../../repository/retention/prunePlan.ts';
import type { KeepReason } from '../../repository/retention/retention.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import type { FolderFailure } from '../shared/folderFailures.ts';

export interface PrunedPoint {
  readonly pointId: string;
  readonly number: number;
  readonly type: RestorePoint['type'];
  readonly createdAt: string;
  readonly fileName: string;
  readonly fileBytes: number;
  readonly action: 'keep' | 'delete' | 'merge';
  /**
   * Rules that keep the point. `served`: an export serves it. `locked`: nobody may delete its file
   * yet. `needed`: a served or locked point, or two or more kept points, build on it.
   */
  readonly keptBecause: readonly (KeepReason | 'served' | 'locked' | 'needed')[];
  /** Id of the point that gets its blocks. Empty unless `action` is `merge`. */
  readonly mergedInto: string;
}

export interface PrunedVm {
  readonly vmName: string;
  readonly vmId: string;
  readonly folder: string;
  /** The points before the prune. */
  readonly points: readonly PrunedPoint[];
  /** Bytes of the deleted containers. In a dry run: of those that would be deleted. */
  readonly deletedBytes: number;
  /** Bytes of the written containers. In a dry run: an estimate. */
  readonly writtenBytes: number;
  /**
   * The error that stopped the prune of this VM. Finished steps stay done, all else is as before.
   */
  readonly failure: FolderFailure | undefined;
  readonly messages: readonly SessionMessage[];
}

export interface PruneReport {
  readonly type: 'prune';
  readonly repository: string;
  readonly dryRun: boolean;
  readonly vms: readonly PrunedVm[];
}

/**
 * Lists the points of a VM with their actions.
 *
 * @param kept - the reasons by point id.
 * @param lockedIds - points that stay because of their locks.
 */
export function describePoints(
  points: readonly RestorePoint[],
  kept: ReadonlyMap<string, readonly KeepReason[]>,
  plan: PrunePlan,
  leases: readonly Lease[],
  lockedIds: ReadonlySet<string>,
): PrunedPoint[] {
  const targetOf = new Map<string, string>();
  for (const range of plan.ranges) {
    const target = range.points.at(-1)?.pointId ?? '';
    for (const point of range.points.slice(0, -1)) targetOf.set(point.pointId, target);
  }
  const reasonsOf = (point: RestorePoint): PrunedPoint['keptBecause'] => {
    const rules = kept.get(point.pointId) ?? [];
    if (leases.some((lease) => isServed(point, lease))) return [...rules, 'served'];
    if (lockedIds.has(point.pointId)) return [...rules, 'locked'];
    return plan.neededIds.has(point.pointId) ? ['needed'] : rules;
  };
  return points.map((point) => {
    const { pointId, number, type, createdAt, fileName, fileBytes } = point;
    const mergedInto = targetOf.get(pointId) ?? '';
    const reasons = reasonsOf(point);
    const left = mergedInto ? 'merge' : 'delete';
    return {
      pointId,
      number,
      type,
      createdAt,
      fileName,
      fileBytes,
      action: reasons.length > 0 ? 'keep' : left,
      keptBecause: reasons,
      mergedInto,
    };
  });
}
