// @ts-check
/** Texts for sizes, times and states. Sizes and durations read as those of the command line. */
/** @import { VmHealth, TaskRequest, TaskRow } from '../contract.ts' */
/** @import { RunOutcome } from '../../jobs/runReport.ts' */
/** @import { ProgressPhase, ProgressResult } from '../../sessions/shared/progress.ts' */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
/** A value above it would be printed as 1024.0 of the smaller unit. */
const UNIT_LIMIT = 1023.95;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `1.50 MiB`. @param {number} bytes */
function formatBytes(bytes) {
  let value = bytes;
  let unit = 0;
  while (value >= (unit === 0 ? 1024 : UNIT_LIMIT) && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 ? 0 : value < 10 ? 2 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Empty for a size that is not known. @param {number | undefined} bytes */
export function bytesText(bytes) {
  return bytes === undefined ? '' : formatBytes(bytes);
}

/** `12.3 s`, `3 min 20 s`, `2 h 05 min`. @param {number | undefined} seconds */
export function durationText(seconds) {
  if (seconds === undefined) return '';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** One figure, which does not flicker: `12 s`, `5 min`, `1.5 h`. @param {number} timeMs */
export function leftText(timeMs) {
  const seconds = Math.round(timeMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** `5 min`, `3 h`, `2 days 4 h`. A time in the future has the age 0. @param {number} ageMs */
export function ageText(ageMs) {
  const age = Math.max(0, ageMs);
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)} min`;
  const hours = Math.floor(age / HOUR_MS);
  if (age < 2 * DAY_MS) return `${hours} h`;
  const days = Math.floor(age / DAY_MS);
  const left = hours - days * 24;
  return days < 10 && left > 0 ? `${days} days ${left} h` : `${days} days`;
}

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/**
 * A time for people, in their zone. A text that is no time stays as it is.
 *
 * @param {string} iso
 * @param {'time' | 'date' | 'clock'} [form]
 */
export function timeText(iso, form = 'time') {
  const timeMs = Date.parse(iso);
  if (Number.isNaN(timeMs)) return iso;
  return { time: TIME, date: DATE, clock: CLOCK }[form].format(timeMs);
}

/** `1 VM`, `3 VMs`. @param {number} count @param {string} noun */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** Whole percents. @param {number} part @param {number} whole */
export function percentOf(part, whole) {
  return whole > 0 ? Math.min(100, Math.floor((part / whole) * 100)) : 0;
}

/** `web01_disk1 and 2 more`. @param {readonly string[]} names */
export function namesText(names) {
  return names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? '');
}

/** The worst first: a sort by state shows it on top. @type {readonly VmHealth[]} */
export const HEALTHS = ['damaged', 'failed', 'never', 'late', 'warning', 'good'];

/** @type {Readonly<Record<VmHealth, string>>} */
export const HEALTH_WORDS = {
  good: 'good',
  warning: 'warning',
  late: 'late',
  failed: 'failed',
  never: 'no point',
  damaged: 'damaged',
};

/** @type {Readonly<Record<RunOutcome | 'notStarted', string>>} */
export const OUTCOME_WORDS = {
  success: 'success',
  warning: 'warning',
  failure: 'failed',
  notStarted: 'not started',
};

/** @type {Readonly<Record<ProgressPhase, string>>} */
export const PHASE_WORDS = {
  preparing: 'preparing',
  freezing: 'freezing',
  reading: 'reading',
  finalizing: 'engine finalizes',
  committing: 'committing',
  writing: 'writing',
  uploading: 'uploading',
  converting: 'converting',
  creatingVm: 'creating the VM',
  verifying: 'verifying',
  merging: 'merging',
  copying: 'copying',
  stopping: 'stopping',
};

/** Work of a session by its last phase. @type {Readonly<Partial<Record<ProgressPhase, string>>>} */
export const WORK_WORDS = {
  merging: 'prune',
  committing: 'prune',
  verifying: 'verify',
  copying: 'copy',
  writing: 'restore',
  uploading: 'restore',
  converting: 'restore',
  creatingVm: 'restore',
};

/** @type {Readonly<Record<ProgressResult, string>>} */
export const RESULT_WORDS = { done: 'done', failed: 'failed', cancelled: 'stopped' };

/** @type {Readonly<Record<TaskRow['state'], string>>} */
export const TASK_WORDS = {
  running: 'running',
  done: 'done',
  failed: 'failed',
  stopped: 'stopped',
};

/** @type {Readonly<Record<TaskRequest['type'], string>>} */
export const TASK_TYPE_WORDS = {
  restoreFiles: 'Restore to files',
  restoreVm: 'Restore as a new VM',
  verify: 'Verify',
  export: 'Export by NBD',
};
