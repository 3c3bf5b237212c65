/** What is due of the schedule of a job. All functions are pure. */
import { nextSlot, type Scheduled, slotsBetween, windowEnd, zoneOf } from '../schedule/schedule.ts';
import type { JobState, OpenRun, WatchedSchedule } from '../jobState.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A run that starts later than that after its slot is told as late. */
const ON_TIME_MS = 2 * MINUTE_MS;
/** How late a run may start that has no window. */
const LATE_LIMIT_MS = HOUR_MS;
/** A slot that is further ahead was started while the clock was wrong. */
const WRONG_CLOCK_MS = 24 * HOUR_MS;

export interface Due {
  /** The slot to start now. */
  readonly start: Date | undefined;
  readonly isLate: boolean;
  /** Slots for which no run is started, oldest first. */
  readonly missed: readonly Date[];
}

/** True while a run of this slot may start: in its window, or within an hour. */
export function mayStart(job: Scheduled, slotMs: number, nowMs: number): boolean {
  const endMs = windowEnd(job, slotMs) ?? slotMs + LATE_LIMIT_MS;
  return nowMs < endMs;
}

/**
 * Slots after `afterMs` that have come by `nowMs`. Only the newest may start. The others are
 * missed.
 *
 * @param isBusy - the run before still runs, so none may start.
 */
export function dueSlots(job: Scheduled, afterMs: number, nowMs: number, isBusy: boolean): Due {
  const slots = slotsBetween(job, afterMs, nowMs);
  const newest = slots.at(-1);
  if (!newest || isBusy || !mayStart(job, newest.getTime(), nowMs)) {
    return { start: undefined, isLate: false, missed: slots };
  }
  const isLate = nowMs - newest.getTime() > ON_TIME_MS;
  return { start: newest, isLate, missed: slots.slice(0, -1) };
}

/** The schedule of a job as its state keeps it. */
function scheduleText(job: Scheduled): string {
  return job.schedule === undefined ? '' : `${job.schedule} ${zoneOf(job)}`;
}

/**
 * The state of a job when a daemon begins to watch it. A new or changed schedule counts from now
 * on: its earlier times were none. A slot far in the future is forgotten, because a clock that was
 * wrong for an hour must not stop backups for years.
 */
export function watchedState(state: JobState, job: Scheduled, nowMs: number): JobState {
  const { watched, lastSlot } = state;
  if (job.schedule === undefined && !watched) return state;
  const schedule = scheduleText(job);
  const isAhead = (time: string | undefined): boolean =>
    time !== undefined && Date.parse(time) > nowMs + WRONG_CLOCK_MS;
  const isKnown = watched?.schedule === schedule && !isAhead(watched.since);
  if (isKnown && !isAhead(lastSlot)) return state;
  const now: WatchedSchedule = { schedule, since: new Date(nowMs).toISOString() };
  return { ...state, watched: now, lastSlot: isAhead(lastSlot) ? undefined : lastSlot };
}

/** Slots after this time are still to be started or told. */
export function watchedFromMs(state: JobState, nowMs: number): number {
  const times = [state.lastSlot, state.watched?.since].filter((time) => time !== undefined);
  return times.length === 0 ? nowMs : Math.max(...times.map((time) => Date.parse(time)));
}

/**
 * Why a run that was stopped is not continued; undefined when it may be.
 *
 * @param openRun - with a slot: a run that a command started is not the daemon's.
 */
export function whyNotContinued(
  job: Scheduled,
  openRun: OpenRun,
  nowMs: number,
): string | undefined {
  if (openRun.isStopped) return 'a user stopped it';
  const slotMs = Date.parse(openRun.slot ?? openRun.startedAt);
  const endMs = windowEnd(job, slotMs);
  if (endMs !== undefined && nowMs >= endMs) {
    return `its window ended at ${new Date(endMs).toISOString()}`;
  }
  const next = nextSlot(job, slotMs);
  if (next && next.getTime() <= nowMs) return `a newer run was due at ${next.toISOString()}`;
  return undefined;
}
