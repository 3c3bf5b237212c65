/**
 * Healing: stored blocks that verify found damaged are read again from the live disk by the next session, and
 * stored in its increment although nothing changed there. What older points need of them stays damaged.
 */
import { BackupError, IntegrityError } from '../core/errors.ts';
import type { Logger } from '../core/log.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import type { Extent } from '../pipeline/blocks.ts';
import type { ParentDisk } from '../pipeline/fingerprintMap.ts';
import { DamageTrace, traceDamage } from '../repository/damageTrace.ts';
import {
  concernsDependents,
  damagedIds,
  healthOfPoints,
  withNeeds,
} from '../repository/pointHealth.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import type { RestorePointView } from '../repository/restorePointView.ts';
import {
  currentContainers,
  MAX_RECORDED_BLOCKS,
  type Problem,
  readVerifyRecord,
  updateVerifyRecord,
  type VerifiedContainer,
} from '../repository/verifyRecord.ts';
import type { CheckedParent } from './parentPoint.ts';

/** What a session healed, and what it could not. */
export interface HealingReport {
  /** Blocks of disks that this point holds anew because their stored bytes were damaged. */
  readonly blockCount: number;
  /** Older restore points that stay damaged, oldest first. */
  readonly damagedPointIds: readonly string[];
}

type CheckedFiles = ReadonlyMap<string, VerifiedContainer>;

/** The last checks of the containers that are still what they were. */
async function readChecked(folder: string): Promise<CheckedFiles> {
  return await currentContainers(folder, await readVerifyRecord(folder));
}

/**
 * Block indexes of a point, by disk id, whose stored bytes are recorded as damaged.
 *
 * @throws {@link IntegrityError} `INTEGRITY_DAMAGE_FOUND` when a container has damage that is of no single stored
 *   block, or more than is recorded; what the maps of a container throw
 */
export async function damagedPlaces(
  folder: string,
  view: RestorePointView,
): Promise<ReadonlyMap<string, ReadonlySet<number>>> {
  const checked = await readChecked(folder);
  for (const { point } of view.members) checkHealable(checked.get(point.fileName));
  const trace = new DamageTrace(damagedIds(checked.values()));
  for (const opened of view.members) {
    if (trace.concerns(opened.point)) await trace.follow(opened);
  }
  const { disks } = trace.get(view.point.pointId);
  return new Map([...disks].map(([diskId, places]) => [diskId, new Set(places.keys())]));
}

/** Whether a file can be read at all shows now, whatever verify found. */
function isOfContent({ code }: Problem): boolean {
  return concernsDependents(code) && /^(FORMAT|INTEGRITY)_/.test(code);
}

function checkHealable(entry: VerifiedContainer | undefined): void {
  if (!entry) return;
  const { fileName, isTruncated, problems } = entry;
  const problem = problems.find(isOfContent);
  if (!isTruncated && !problem) return;
  const found = problem
    ? `"${problem.message}" (${problem.code})`
    : `more than ${MAX_RECORDED_BLOCKS} damaged stored blocks`;
  throw new IntegrityError('INTEGRITY_DAMAGE_FOUND', `${fileName}: verify found ${found}`, {
    hint: 'restore the file from a copy and run "ovirt-cbt verify", or start a new chain with --mode full',
  });
}

function damagedCount(parent: CheckedParent): number {
  return [...parent.disks.values()].reduce((sum, disk) => sum + (disk.damaged?.size ?? 0), 0);
}

/** The message of a session that is going to heal, or undefined. */
export function healingMessage(parent: CheckedParent): SessionMessage | undefined {
  const n = damagedCount(parent);
  return n === 0 ? undefined : sessionMessage('REPO-502', { n, rp: parent.point.pointId });
}

/**
 * Extents of a change map in which damaged blocks are dirty, so that they are read. What is dirty already stays
 * as it is, a dirty zero included. Extents without a dirty flag pass.
 */
export function withDamageDirty(
  extents: Iterable<Extent>,
  parent: ParentDisk,
  blockSizeBytes: number,
): Iterable<Extent> {
  const { damaged } = parent;
  if (!damaged) return extents;
  const starts = [...damaged].toSorted((a, b) => a - b).map((index) => index * blockSizeBytes);
  return { [Symbol.iterator]: () => cutExtents(extents, starts, blockSizeBytes) };
}

function* cutExtents(
  extents: Iterable<Extent>,
  starts: readonly number[],
  blockSizeBytes: number,
): Generator<Extent> {
  let next = 0;
  for (const extent of extents) {
    const endBytes = extent.offsetBytes + extent.lengthBytes;
    let at = extent.offsetBytes;
    while (extent.dirty === false && at < endBytes) {
      while ((starts[next] ?? Infinity) + blockSizeBytes <= at) next++;
      const from = Math.max(at, Math.min(starts[next] ?? Infinity, endBytes));
      const to = Math.min((starts[next] ?? Infinity) + blockSizeBytes, endBytes);
      if (from > at) yield { ...extent, offsetBytes: at, lengthBytes: from - at };
      if (from < endBytes) {
        yield { offsetBytes: from, lengthBytes: to - from, zero: false, dirty: true };
      }
      at = from < endBytes ? to : endBytes;
    }
    if (extent.dirty !== false) yield extent;
  }
}

/**
 * Brings the record up to date after a commit: which points still need damaged blocks. Never throws for what
 * is wrong with the repository: the point is committed, and the next session or verify does it again.
 *
 * @param points - all points, the new one last
 * @returns undefined when no damage is recorded
 */
export async function settleHealing(
  folder: string,
  points: readonly RestorePoint[],
  parent: CheckedParent | undefined,
  log: Logger,
): Promise<HealingReport | undefined> {
  try {
    const checked = await readChecked(folder);
    const ids = damagedIds(checked.values());
    if (ids.size === 0) return undefined;
    const trace = await traceDamage(folder, points, ids);
    const entries = withNeeds([...checked.values()], points, trace);
    const files = new Map(entries.map((entry) => [entry.fileName, entry]));
    await updateVerifyRecord(folder, (record) => ({
      ...record,
      // What verify has found in the meantime is newer.
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

/** Damaged places of the parent that the new point does not need. */
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
