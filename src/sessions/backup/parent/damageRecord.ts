/** Damage that a session heals: its message, and the record of verify after the commit. */
import { BackupError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import { DamageTrace, traceDamage } from '../../../repository/damage/damageTrace.ts';
import {
  damagedIds,
  healthOfPoints,
  withDependents,
} from '../../../repository/damage/pointHealth.ts';
import type { RestorePoint } from '../../../repository/restorePoint.ts';
import { updateVerifyRecord } from '../../../repository/damage/verifyRecord.ts';
import type { CheckedParent } from './parentPoint.ts';

import { readChecked } from './damagedPlaces.ts';
import type { HealingReport } from '../../shared/report.ts';
import type { StoreFolder } from '../../../store/store.ts';

function damagedCount(parent: CheckedParent): number {
  return [...parent.disks.values()].reduce((sum, disk) => sum + (disk.damaged?.size ?? 0), 0);
}

/** The message of a session that heals damage; undefined when there is none. */
export function healingMessage(parent: CheckedParent): SessionMessage | undefined {
  const n = damagedCount(parent);
  return n === 0 ? undefined : sessionMessage('REPO-502', { n, rp: parent.point.pointId });
}

/**
 * Updates the record of verify after a commit: which points still need damaged blocks. Errors of
 * the repository are only logged, because the point is committed. The next session or verify
 * repeats it.
 *
 * @param points - all points, the new one last
 * @returns undefined when no damage is recorded
 */
export async function updateDamageRecord(
  folder: StoreFolder,
  points: readonly RestorePoint[],
  parent: CheckedParent | undefined,
  log: Logger,
): Promise<HealingReport | undefined> {
  try {
    const checked = await readChecked(folder);
    const ids = damagedIds(checked.values());
    if (ids.size === 0) return undefined;
    const trace = await traceDamage(folder, points, ids);
    const entries = withDependents([...checked.values()], points, trace);
    const files = new Map(entries.map((entry) => [entry.fileName, entry]));
    await updateVerifyRecord(folder, (record) => ({
      ...record,
      // A verify that ran in the meantime knows better.
      containers: record.containers.map((known) => {
        const settled = files.get(known.fileName);
        return settled?.verifiedAt === known.verifiedAt ? settled : known;
      }),
    }));
    const damagedPointIds = [...healthOfPoints(points, files)]
      .filter(([, health]) => health.isDamaged)
      .map(([pointId]) => pointId);
    return { blockCount: parent ? healedCount(parent, points.at(-1), trace) : 0, damagedPointIds };
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    log.warn({ code: error.code }, 'the record of verify could not be updated');
    return undefined;
  }
}

/** Number of damaged places of the parent that the new point no longer needs. */
function healedCount(
  parent: CheckedParent,
  point: RestorePoint | undefined,
  trace: DamageTrace,
): number {
  let healed = 0;
  for (const { diskId } of point?.disks ?? []) {
    const left = trace.get(point?.pointId ?? '').disks.get(diskId);
    for (const index of parent.disks.get(diskId)?.damaged ?? []) if (!left?.has(index)) healed++;
  }
  return healed;
}
