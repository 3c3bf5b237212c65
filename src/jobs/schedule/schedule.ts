/**
 * Times of a schedule. All functions are pure. On the nights when clocks change, a fixed time runs
 * exactly once: one that clocks skip runs when they have jumped, one that comes twice runs the
 * first time. A schedule with `*` or steps in its time follows the hours that pass.
 */
import { Cron, type CronOptions } from 'croner';
import type { JobConfig } from '../jobFile.ts';
import { jumpOver, wallMsAt } from './zoneGap.ts';

/** What these functions need of a job. */
export type Scheduled = Pick<JobConfig, 'schedule' | 'timezone' | 'windowUntil'>;

const DEFAULT_LIMIT = 1000;
/** Clocks skip less than that in one night. */
const LONGEST_GAP_MS = 3 * 3_600_000;

/** The zone of a job: its own, or that of the machine. */
export function zoneOf(job: Scheduled): string {
  return job.timezone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Options of croner for a pattern of five fields. Lists and ranges of times count as fixed. */
function optionsFor(timezone: string): CronOptions {
  return { timezone, mode: '5-part', paused: true, fixedTimeRule: 'no-wildcard' };
}

/**
 * A fixed time between `afterMs` and `untilMs` that clocks skip, where the jump ends on the next
 * day. Croner leaves such a time out.
 */
function skippedTime(
  pattern: string,
  zone: string,
  afterMs: number,
  untilMs: number,
): number | undefined {
  const [minute = '*', hour = '*'] = pattern.trim().split(/\s+/);
  if (/[*/]/.test(minute + hour)) return undefined;
  const walls = new Cron(pattern, optionsFor('UTC'));
  const lastWallMs = wallMsAt(untilMs, zone);
  let wall = walls.nextRun(new Date(wallMsAt(afterMs, zone) - LONGEST_GAP_MS));
  while (wall && wall.getTime() < lastWallMs) {
    const jumpMs = jumpOver(wall.getTime(), zone);
    if (jumpMs !== undefined && jumpMs > afterMs && jumpMs < untilMs) return jumpMs;
    wall = walls.nextRun(wall);
  }
  return undefined;
}

/** First time of a pattern after `afterMs`; undefined when there is none. */
function nextTime(pattern: string, zone: string, afterMs: number): number | undefined {
  const next = new Cron(pattern, optionsFor(zone)).nextRun(new Date(afterMs))?.getTime();
  if (next === undefined) return undefined;
  return skippedTime(pattern, zone, afterMs, next) ?? next;
}

/** First slot of a job after `afterMs`; undefined for a job without a schedule. */
export function nextSlot(job: Scheduled, afterMs: number): Date | undefined {
  if (job.schedule === undefined) return undefined;
  const ms = nextTime(job.schedule, zoneOf(job), afterMs);
  return ms === undefined ? undefined : new Date(ms);
}

/**
 * Slots of a job after `afterMs`, up to and with `untilMs`, oldest first.
 *
 * @param limit - when there are more, only some of the newest are given, at most this many.
 */
export function slotsBetween(
  job: Scheduled,
  afterMs: number,
  untilMs: number,
  limit: number = DEFAULT_LIMIT,
): Date[] {
  // A clock that was years late must not cost minutes, so the time is halved and not walked.
  for (let fromMs = afterMs; ; fromMs = Math.ceil((fromMs + untilMs) / 2)) {
    const slots = firstSlots(job, fromMs, untilMs, limit + 1);
    if (slots.length <= limit) return slots;
  }
}

function firstSlots(job: Scheduled, afterMs: number, untilMs: number, limit: number): Date[] {
  const slots: Date[] = [];
  let slot = nextSlot(job, afterMs);
  while (slot && slot.getTime() <= untilMs && slots.length < limit) {
    slots.push(slot);
    slot = nextSlot(job, slot.getTime());
  }
  return slots;
}

/**
 * End of the window of a run that began at `startMs`: the first time after it when clocks show
 * `windowUntil`. Undefined for a job without a window.
 */
export function windowEnd(job: Scheduled, startMs: number): number | undefined {
  if (job.windowUntil === undefined) return undefined;
  const [hour, minute] = job.windowUntil.split(':').map(Number);
  return nextTime(`${minute} ${hour} * * *`, zoneOf(job), startMs);
}
