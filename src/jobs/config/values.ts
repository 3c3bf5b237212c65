/** Values of a job file: sizes, times, shares, places. Each text becomes a value or a bad value. */
import { type CalendarSpan, durationFromNow, parseSpan } from '../../core/calendarSpan.ts';
import { UsageError } from '../../core/errors.ts';
import { MESSAGE_CODES, type MessageCode, messageLevel } from '../../core/messages.ts';
import { didYouMean } from '../../core/nearestNames.ts';
import { parseBytes } from '../../core/units.ts';

/** Why a value is refused, and what to write instead. Neither may show a secret. */
export class BadValue extends Error {
  readonly advice: string;

  constructor(what: string, advice: string) {
    super(what);
    this.advice = advice;
  }
}

/** Kind of a value, in the words of the documentation. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a group of keys';
  return typeof value === 'string' ? 'a text' : `a ${typeof value}`;
}

/** Long texts are cut, so that a message stays readable. */
const MOST_CHARS = 60;

/** A value as messages show it. */
export function shown(value: unknown): string {
  if (typeof value === 'object') return kindOf(value);
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text;
}

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: DAY_MS,
};

/** Timers of Node hold no longer time: they would end at once. */
const MOST_DAYS = 24;

export function parseDurationMs(text: string): number {
  const match = /^(\d{1,9})\s*(s|min|h|d)$/.exec(text);
  if (!match) {
    const advice = 'write seconds, minutes, hours or days: 30s';
    throw new BadValue(`${shown(text)} is not a duration`, advice);
  }
  const durationMs = Number(match[1]) * (UNIT_MS[match[2] ?? ''] ?? 0);
  if (durationMs <= MOST_DAYS * DAY_MS) return durationMs;
  throw new BadValue(`"${text}" is too long`, `write ${MOST_DAYS}d at most`);
}

/** A time limit: nothing would end within no time. */
export function parseTimeoutMs(text: string): number {
  const durationMs = parseDurationMs(text);
  if (durationMs > 0) return durationMs;
  throw new BadValue(`"${text}" is too short`, 'write 1s or more');
}

/** Turns the error of a parser of options into a bad value. */
function adopted<T>(parse: (text: string, name: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text, 'value');
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw new BadValue(error.message.replace(/^value: /, ''), error.hint);
    }
  };
}

export const parseSizeBytes: (text: string) => number = adopted(parseBytes);
export const parseCalendarSpan: (text: string) => CalendarSpan = adopted(parseSpan);

const BLOCK_SIZES = ['256KiB', '512KiB', '1MiB', '2MiB', '4MiB', '8MiB'];

export function parseBlockSize(text: string): number {
  const bytes = parseSizeBytes(text);
  if (BLOCK_SIZES.some((known) => parseSizeBytes(known) === bytes)) return bytes;
  throw new BadValue(`"${text}" is no block size`, `write ${BLOCK_SIZES.join(', ')}`);
}

/** A share such as `5%`, as a ratio above 0, at most 1. */
export function parseShare(text: string): number {
  const match = /^(\d{1,3}(?:\.\d+)?)\s*%$/.exec(text);
  const ratio = Number(match?.[1] ?? 0) / 100;
  if (ratio > 0 && ratio <= 1) return ratio;
  throw new BadValue(`"${text}" is not a share`, 'write more than 0% and at most 100%: 5%');
}

/** Length of a lock. Months and years are those from now on. */
export function parsePeriodMs(text: string): number {
  return durationFromNow(parseCalendarSpan(text));
}

/** `HH:MM`. */
export function parseTimeOfDay(text: string): string {
  const match = /^(\d{1,2}):(\d{2})$/.exec(text);
  const [hours, minutes] = [Number(match?.[1] ?? 99), Number(match?.[2] ?? 99)];
  if (hours <= 23 && minutes <= 59) return `${match?.[1]?.padStart(2, '0')}:${match?.[2]}`;
  throw new BadValue(`"${text}" is not a time of day`, "write '00:00' to '23:59'");
}

/** A label of workers, such as `site=a`. */
export function parseWorkerLabel(text: string): string {
  const part = '[a-z0-9][a-z0-9._-]{0,63}';
  if (new RegExp(`^${part}=${part}$`, 'i').test(text)) return text;
  const advice = 'write name=value, with letters, digits, "_", "." and "-": site=a';
  throw new BadValue(`${shown(text)} is no label`, advice);
}

/** Code of a message that a job can accept. An error is never accepted. */
export function parseAcceptedCode(text: string): MessageCode {
  const code = MESSAGE_CODES.find((known) => known === text);
  if (code === undefined) {
    const hint = didYouMean(text, MESSAGE_CODES);
    throw new BadValue(`${shown(text)} is no code of a message`, `${hint}see docs/errors.md`);
  }
  if (messageLevel(code) !== 'error') return code;
  throw new BadValue(`"${code}" is an error`, 'accept codes of warnings only');
}
