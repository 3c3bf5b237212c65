/**
 * Decides which restore points a retention policy keeps. Pure. The rules are those of "restic
 * forget". A counted rule keeps the newest point of each of its newest periods. Only periods with a
 * point count. A point is kept when any rule keeps it. When a counted rule is not used up at the
 * oldest point, it keeps that point too. So the history is as long as possible.
 *
 * @see restic, doc/060_forget.rst, "Removing snapshots according to a policy"
 */
import { type CalendarSpan, timeBefore } from '../../core/calendarSpan.ts';
import { UsageError } from '../../core/errors.ts';
import type { RestorePoint } from '../restorePoint.ts';

/**
 * How many points, days, weeks … are kept. 0 or undefined means no such rule. Periods are in UTC;
 * weeks follow ISO 8601.
 */
export interface RetentionPolicy {
  readonly last?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
  /**
   * Keeps points younger than this, counted back from the newest point that is not in the future.
   */
  readonly within?: CalendarSpan | undefined;
}

/**
 * Why a point is kept: a rule, `newest` for the point that the next session builds on, or `future`
 * for a point that is dated later than now.
 */
export type KeepReason = keyof RetentionPolicy | 'newest' | 'future';

/** Clocks of machines and time zones may differ by this much. */
const FUTURE_AFTER_MS = 24 * 60 * 60 * 1000;

const COUNTED = ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/**
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` for a policy without a rule, or with a count
 *   that is not a whole number
 */
export function checkPolicy(policy: RetentionPolicy): void {
  for (const rule of COUNTED) {
    const count = policy[rule] ?? 0;
    if (Number.isSafeInteger(count) && count >= 0) continue;
    throw new UsageError('USAGE_INVALID_OPTION', `keep ${rule}: ${count} is not a whole number`);
  }
  if (policy.within || COUNTED.some((rule) => (policy[rule] ?? 0) > 0)) return;
  throw new UsageError('USAGE_INVALID_OPTION', 'no rule says what to keep', {
    hint: 'use at least one of --keep-last, --keep-daily, --keep-weekly, --keep-monthly, --keep-yearly, --keep-within',
  });
}

/** The Monday of the date's week, as `YYYY-MM-DD`. */
function weekOf(date: Date): string {
  const sinceMonday = (date.getUTCDay() + 6) % 7;
  const monday = Date.UTC(
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate() - sinceMonday,
  );
  return new Date(monday).toISOString().slice(0, 10);
}

/** Gives the name of the period in which a point was made. */
const PERIOD_OF: Readonly<
  Record<(typeof COUNTED)[number], (createdAt: string, position: number) => string>
> = {
  last: (_createdAt, position) => String(position),
  daily: (createdAt) => createdAt.slice(0, 10),
  weekly: (createdAt) => weekOf(new Date(createdAt)),
  monthly: (createdAt) => createdAt.slice(0, 7),
  yearly: (createdAt) => createdAt.slice(0, 4),
};

/** Name of the period of a rule in which a point was made. */
export function periodOf(
  rule: 'daily' | 'weekly' | 'monthly' | 'yearly',
  createdAt: string,
): string {
  return PERIOD_OF[rule](createdAt, 0);
}

/** Start of the time that `within` keeps. Keeps everything when all points are in the future. */
function withinFrom(points: readonly RestorePoint[], span: CalendarSpan, now: Date): number {
  const times = points
    .map((point) => Date.parse(point.createdAt))
    .filter((time) => time <= now.getTime());
  return times.length === 0 ? -Infinity : timeBefore(new Date(Math.max(...times)), span);
}

/**
 * True for a point that is dated more than a day after `now`: a clock was wrong then, or is wrong
 * now.
 */
export function isOfFuture({ createdAt }: RestorePoint, now: Date): boolean {
  return Date.parse(createdAt) > now.getTime() + FUTURE_AFTER_MS;
}

type Keep = (point: RestorePoint, reason: KeepReason) => void;

function applyCount(
  newestFirst: readonly RestorePoint[],
  rule: (typeof COUNTED)[number],
  count: number,
  keep: Keep,
): void {
  let left = count;
  let period: string | undefined;
  for (const [position, point] of newestFirst.entries()) {
    if (left === 0) return;
    const own = PERIOD_OF[rule](point.createdAt, position);
    if (own === period && position < newestFirst.length - 1) continue;
    period = own;
    left--;
    keep(point, rule);
  }
}

/**
 * Applies a policy to the points of one VM. Points of the future are kept, and no rule counts them:
 * otherwise they would take the place of points with a right date.
 *
 * @param points - in the order of their creation.
 * @param now - points after this time do not count as the newest of `within`: a clock may have been
 *   wrong.
 * @returns for each kept point, by point id, why it is kept. The newest point is always kept.
 */
export function applyRetention(
  points: readonly RestorePoint[],
  policy: RetentionPolicy,
  now: Date,
): ReadonlyMap<string, readonly KeepReason[]> {
  const kept = new Map<string, KeepReason[]>();
  const keep: Keep = ({ pointId }, reason) => {
    kept.set(pointId, [...(kept.get(pointId) ?? []), reason]);
  };
  const dated = points.filter((point) => !isOfFuture(point, now));
  for (const point of points) if (isOfFuture(point, now)) keep(point, 'future');
  const newestFirst = dated.toReversed();
  for (const rule of COUNTED) applyCount(newestFirst, rule, policy[rule] ?? 0, keep);
  if (policy.within) {
    const fromMs = withinFrom(dated, policy.within, now);
    for (const point of dated) if (Date.parse(point.createdAt) > fromMs) keep(point, 'within');
  }
  const newest = points.at(-1);
  if (newest && !kept.has(newest.pointId)) keep(newest, 'newest');
  return kept;
}
