/** Spans of calendar time, such as 1y5m2w7d2h. */
import { UsageError } from './errors.ts';

/** A span of calendar time. All parts are whole numbers, 0 or more. */
export interface CalendarSpan {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

const SPAN = /^(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?$/;
const DAYS_PER_WEEK = 7;
const HOUR_MS = 3_600_000;

/**
 * Parses a span such as `1y5m2w7d2h`: years, months, weeks, days and hours, in this order, each at
 * most once. At least one part is above 0. A week counts as seven days.
 *
 * @param optionName - name of the option, for the error text.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function parseSpan(text: string, optionName: string): CalendarSpan {
  const [years = 0, months = 0, weeks = 0, singleDays = 0, hours = 0] = (SPAN.exec(text) ?? [])
    .slice(1)
    .map((part) => Number(part ?? 0));
  const days = weeks * DAYS_PER_WEEK + singleDays;
  if (years + months + days + hours > 0) return { years, months, days, hours };
  throw new UsageError('USAGE_INVALID_OPTION', `${optionName}: "${text}" is not a span of time`, {
    hint: 'write years, months, weeks, days and hours such as 4w or 1y5m2w7d2h',
  });
}

/**
 * Time `span` before `date`, in milliseconds since 1970, by the calendar of UTC. Where a month has
 * no such day, the time moves on into the next month: one month before 31 March is 3 March (or 2
 * March).
 */
export function timeBefore(date: Date, span: CalendarSpan): number {
  return moved(date, span, -1);
}

/** Time `span` after `date`. As {@link timeBefore}. */
export function timeAfter(date: Date, span: CalendarSpan): number {
  return moved(date, span, 1);
}

/** Milliseconds from now until `span` later. */
export function durationFromNow(span: CalendarSpan): number {
  const now = new Date();
  return timeAfter(now, span) - now.getTime();
}

function moved(date: Date, { years, months, days, hours }: CalendarSpan, sign: 1 | -1): number {
  const result = new Date(date);
  result.setUTCFullYear(
    date.getUTCFullYear() + sign * years,
    date.getUTCMonth() + sign * months,
    date.getUTCDate() + sign * days,
  );
  return result.getTime() + sign * hours * HOUR_MS;
}
