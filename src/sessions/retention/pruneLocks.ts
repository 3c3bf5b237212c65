/** What locks against deletion mean for a prune: points that must stay, and longer locks. */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { extendLocks, lockedUntilMs, raiseLocks, readLocks } from '../../repository/pointLocks.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { PrunePlan } from '../../repository/retention/prunePlan.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';
import { lockTimes } from '../../repository/retention/lockTimes.ts';
import { applyRetention, type RetentionPolicy } from '../../repository/retention/retention.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import type { Immutability, StoreFolder, StoreLock } from '../../store/store.ts';

/**
 * Points whose containers a plan would delete or replace, and that are locked, with their real
 * locks.
 *
 * @throws {@link RepositoryError} what the place throws
 */
export async function lockedCandidates(
  place: StoreFolder,
  plan: PrunePlan,
  now: Date,
): Promise<RestorePoint[]> {
  const candidates = [...plan.deleted, ...plan.ranges.flatMap((range) => range.points)];
  if (candidates.length === 0) return [];
  const points = await readLocks(place, candidates);
  return points.filter((point) => lockedUntilMs(point) > now.getTime());
}

/** Points that a plan deletes or merges into others. */
function countGone({ deleted, ranges }: PrunePlan): number {
  return ranges.reduce((sum, { points }) => sum + points.length - 1, deleted.length);
}

/**
 * The message about points that stay because of locks; undefined when there are none.
 *
 * @param wanted - the plan without locks.
 */
export function lockMessage(
  vm: string,
  wanted: PrunePlan,
  plan: PrunePlan,
  locked: readonly RestorePoint[],
): SessionMessage | undefined {
  const n = countGone(wanted) - countGone(plan);
  if (n === 0) return undefined;
  const date = new Date(Math.max(...locked.map(lockedUntilMs))).toISOString();
  return sessionMessage('REPO-550', { vm, n, date });
}

/**
 * Locks the points that a policy keeps as long as a rule is sure to keep them, and records that.
 *
 * @throws {@link RepositoryError} what the place throws
 */
export async function lockKept(
  folder: VmFolder,
  metadata: ChainMetadata,
  lock: StoreLock,
  rules: { readonly policy: RetentionPolicy; readonly immutability: Immutability },
): Promise<void> {
  const { policy, immutability } = rules;
  const { periodMs } = immutability;
  const { points } = metadata;
  const now = new Date();
  const kept = applyRetention(points, policy, now);
  const longer = raiseLocks(metadata, lockTimes(points, { kept, policy, now, periodMs }));
  if (longer.points.every((point, k) => point === points[k])) return;
  await lock.assertHeld();
  await extendLocks(folder.place, metadata, longer);
  await folder.writeMetadata(longer);
}
