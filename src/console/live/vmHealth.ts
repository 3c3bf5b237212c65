/** State of a VM as the console shows it. Pure. */
import type { VmState } from '../../jobs/jobState.ts';
import { nextSlot, type Scheduled, slotsBetween, windowEnd } from '../../jobs/schedule/schedule.ts';
import type { VmHealth } from '../contract.ts';

const DAY_MS = 24 * 3_600_000;
/** How far back the schedule is walked: first a few days, then more for rare times. */
const SPANS_MS = [3 * DAY_MS, 40 * DAY_MS, 800 * DAY_MS] as const;
const MOST_SLOTS = 20;

/**
 * A VM whose last point is older than that is late: a run should have given it a newer one. It is
 * the newest time of the schedule whose run has had its time. A run has its time until the end of
 * its window; without a window until the next time of the schedule.
 *
 * @param sinceMs - the schedule counts from then on.
 * @returns milliseconds since 1970; undefined when no run was due yet.
 */
export function lateBefore(job: Scheduled, sinceMs: number, nowMs: number): number | undefined {
  if (job.schedule === undefined) return undefined;
  const isOver = (slotMs: number): boolean => {
    const endMs = windowEnd(job, slotMs) ?? nextSlot(job, slotMs)?.getTime() ?? Infinity;
    return endMs <= nowMs;
  };
  for (const spanMs of SPANS_MS) {
    const fromMs = Math.max(nowMs - spanMs, sinceMs);
    const slots = slotsBetween(job, fromMs, nowMs, MOST_SLOTS);
    const newest = slots.findLast((slot) => isOver(slot.getTime()));
    if (newest) return newest.getTime();
    if (fromMs === sinceMs) break;
  }
  return undefined;
}

/**
 * The worst that is known of a VM. A VM that was not started, and whose point is not late yet, is a
 * warning.
 *
 * @param lateBeforeMs - of {@link lateBefore}.
 */
export function healthOf(vm: VmState, lateBeforeMs: number | undefined): VmHealth {
  const { isDamaged, lastOutcome, lastSuccessAt } = vm;
  if (isDamaged) return 'damaged';
  if (lastOutcome === 'failure') return 'failed';
  if (lastSuccessAt === undefined) return 'never';
  if (lateBeforeMs !== undefined && Date.parse(lastSuccessAt) < lateBeforeMs) return 'late';
  return lastOutcome === 'success' ? 'good' : 'warning';
}
