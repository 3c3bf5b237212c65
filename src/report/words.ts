/** Texts that pages, mails and texts share. Times are UTC, so that all readers see the same. */
import type { RunOutcome } from '../jobs/runReport.ts';
import { formatBytes, formatDuration } from '../core/units.ts';

/** Result of a VM or a run. */
export type Outcome = RunOutcome | 'notStarted';

export const OUTCOME_WORDS: Readonly<Record<Outcome, string>> = {
  success: 'success',
  warning: 'warning',
  failure: 'failed',
  notStarted: 'not started',
};

/** Something to do. */
export interface Problem {
  readonly code: string;
  readonly text: string;
  readonly hint: string;
}

/** Code and text of a problem, where it has them. */
export function problemText({ code, text }: Problem): string {
  return [code, text].filter((part) => part !== '').join(' ');
}

/** What to do; empty when there is nothing. */
export function adviceText(hint: string): string {
  return hint === 'None.' ? '' : hint;
}

/** Where a run took place, for people who get mails of several machines. */
export interface Origin {
  readonly host: string;
  readonly engineUrl: string;
}

/** Without user, password and query, which an URL could hold. */
export function originText({ host, engineUrl }: Origin): string {
  const { origin, pathname } = new URL(engineUrl);
  return `Host ${host}, engine ${origin}${pathname}`;
}

const MINUTE_MS = 60_000;
const HOUR_MS: number = 60 * MINUTE_MS;
const DAY_MS: number = 24 * HOUR_MS;

/** `2026-11-30 01:02 UTC`. A text that is no time stays as it is. */
export function timeText(iso: string): string {
  const time = Date.parse(iso);
  if (Number.isNaN(time)) return iso;
  return `${new Date(time).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** ISO 8601 for milliseconds since 1970. Empty for a time that no calendar has. */
export function isoText(timeMs: number): string {
  const date = new Date(timeMs);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

/** Age of something: `5 min`, `3 h`, `2 days 4 h`. A time in the future has the age 0. */
export function ageText(ageMs: number): string {
  const age = Math.max(0, ageMs);
  if (age < HOUR_MS) return `${Math.floor(age / MINUTE_MS)} min`;
  const hours = Math.floor(age / HOUR_MS);
  if (age < 2 * DAY_MS) return `${hours} h`;
  const days = Math.floor(age / DAY_MS);
  const left = hours - days * 24;
  return days < 10 && left > 0 ? `${days} days ${left} h` : `${days} days`;
}

export function secondsText(seconds: number): string {
  return formatDuration(seconds * 1000);
}

/** `-` for a number that is not there. */
export function bytesText(bytes: number | undefined): string {
  return bytes === undefined ? '-' : formatBytes(bytes);
}

export function ratioText(ratio: number): string {
  return ratio > 0 ? `${ratio.toFixed(2)}\u00D7` : '-';
}

/** `1 VM`, `3 VMs`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

export function sumOf<T>(items: readonly T[], pick: (item: T) => number): number {
  return items.reduce((sum, item) => sum + pick(item), 0);
}
