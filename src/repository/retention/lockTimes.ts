/**
 * How long kept restore points are locked against deletion: as long as a rule is sure to keep them.
 * Pure.
 *
 * A counted rule is sure of a point only when the period of the point has passed. Until then a
 * newer point of the same period takes its place.
 */
import { type CalendarSpan, timeAfter } from '../../core/calendarSpan.ts';
import { lockedUntilMs } from '../pointLocks.ts';
import type { RestorePoint } from '../restorePoint.ts';
import { isOfFuture, type KeepReason, periodOf, type RetentionPolicy } from './retention.ts';

/** No rule locks a point for longer: a count such as 9999 says that it is never deleted. */
const MOST_YEARS = 100;
const NO_SPAN = { years: 0, months: 0, days: 0, hours: 0 };
const PERIOD_RULES = ['daily', 'weekly', 'monthly', 'yearly'] as const;

type PeriodRule = (typeof PERIOD_RULES)[number];

function isPeriodRule(reason: KeepReason): reason is PeriodRule {
  return PERIOD_RULES.some((rule) => rule === reason);
}

function spanOf(rule: PeriodRule, count: number): CalendarSpan {
  if (rule === 'daily') return { ...NO_SPAN, days: count };
  if (rule === 'weekly') return { ...NO_SPAN, days: 7 * count };
  return rule === 'monthly' ? { ...NO_SPAN, months: count } : { ...NO_SPAN, years: count };
}

interface LockRules {
  /** Reasons by point id, of {@link applyRetention}. */
  readonly kept: ReadonlyMap<string, readonly KeepReason[]>;
  readonly policy: RetentionPolicy;
  readonly now: Date;
  /** The shortest lock of a kept point. */
  readonly periodMs: number;
}

class LockTimes {
  readonly #rules: LockRules;
  /** For each rule the newest point of each period: `rule/period` → point id. */
  readonly #newest = new Map<string, string>();

  constructor(points: readonly RestorePoint[], rules: LockRules) {
    this.#rules = rules;
    for (const { pointId, createdAt } of points) {
      if (Date.parse(createdAt) > rules.now.getTime()) continue;
      for (const rule of PERIOD_RULES) {
        this.#newest.set(`${rule}/${periodOf(rule, createdAt)}`, pointId);
      }
    }
  }

  /** End of the lock of one point, without those that build on it. */
  of(point: RestorePoint): number {
    const { kept, now, periodMs } = this.#rules;
    const reasons = kept.get(point.pointId);
    // A wrong clock must not lock a point until its false date.
    if (!reasons || isOfFuture(point, now)) return lockedUntilMs(point);
    const createdAt = new Date(point.createdAt);
    const wantedMs = Math.max(
      Math.min(createdAt.getTime(), now.getTime()) + periodMs,
      ...reasons.map((reason) => this.#untilMs(point, reason)),
    );
    // A time that is later than dates can be is not a number.
    const mostMs = timeAfter(now, { ...NO_SPAN, years: MOST_YEARS });
    return Math.max(
      lockedUntilMs(point),
      Number.isNaN(wantedMs) ? mostMs : Math.min(wantedMs, mostMs),
    );
  }

  #untilMs(point: RestorePoint, reason: KeepReason): number {
    const { policy, now } = this.#rules;
    const createdAt = new Date(point.createdAt);
    if (reason === 'within' && policy.within) return timeAfter(createdAt, policy.within);
    if (!isPeriodRule(reason)) return -Infinity;
    const period = periodOf(reason, point.createdAt);
    const isOver = period !== periodOf(reason, now.toISOString());
    if (!isOver || this.#newest.get(`${reason}/${period}`) !== point.pointId) return -Infinity;
    return timeAfter(createdAt, spanOf(reason, policy[reason] ?? 0));
  }
}

/**
 * Ends of the locks that the points of a VM need, in milliseconds since 1970, by point id. A point
 * is locked as long as each point that builds on it. Points without a lock are absent.
 *
 * @param points - in the order of their creation, parents before their children.
 */
export function lockTimes(
  points: readonly RestorePoint[],
  rules: LockRules,
): ReadonlyMap<string, number> {
  const times = new LockTimes(points, rules);
  const untilById = new Map<string, number>();
  for (const point of points.toReversed()) {
    const untilMs = Math.max(times.of(point), untilById.get(point.pointId) ?? -Infinity);
    if (untilMs === -Infinity) continue;
    untilById.set(point.pointId, untilMs);
    if (point.type === 'full') continue;
    const ofParent = untilById.get(point.parentPointId) ?? -Infinity;
    untilById.set(point.parentPointId, Math.max(ofParent, untilMs));
  }
  return untilById;
}
