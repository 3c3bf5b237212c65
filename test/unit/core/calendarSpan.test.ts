import { afterEach, describe, expect, test, vi } from 'vitest';
import { storeOf } from '../../../src/cli/flags/storeFlags.ts';
import { durationFromNow, parseSpan, timeBefore } from '../../../src/core/calendarSpan.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

describe('a span of time', () => {
  test('has years, months, days and hours', () => {
    expect(parseSpan('1y5m7d2h', 'x')).toEqual({ years: 1, months: 5, days: 7, hours: 2 });
    expect(parseSpan('30d', 'x')).toEqual({ years: 0, months: 0, days: 30, hours: 0 });
  });

  test('has weeks of seven days', () => {
    expect(parseSpan('4w', 'x')).toEqual({ years: 0, months: 0, days: 28, hours: 0 });
    expect(parseSpan('1m2w3d', 'x')).toEqual({ years: 0, months: 1, days: 17, hours: 0 });
  });

  test.each(['', '7', 'd', '7d1w', '2h1d', '1d1d', '-1d', '0d', '1.5d', ' 7d'])(
    'is not %j',
    (text) => {
      expectCodeSync(() => parseSpan(text, '--keep-within'), 'USAGE_INVALID_OPTION');
    },
  );
});

test.each([
  ['2026-03-31T12:00:00.000Z', '1m', '2026-03-03T12:00:00.000Z'],
  ['2024-02-29T00:00:00.000Z', '1y', '2023-03-01T00:00:00.000Z'],
  ['2026-01-01T01:00:00.000Z', '1y2m3d2h', '2024-10-28T23:00:00.000Z'],
])('the time before %s by %s is %s', (date, span, expected) => {
  expect(new Date(timeBefore(new Date(date), parseSpan(span, 'x'))).toISOString()).toBe(expected);
});

describe('a duration from now', () => {
  afterEach(() => vi.useRealTimers());

  test('is that of the months that come, in options too', () => {
    vi.useFakeTimers({ now: Date.UTC(2027, 2, 31) });
    const periodMs = 31 * 86_400_000;

    expect(durationFromNow(parseSpan('1m', 'x'))).toBe(periodMs);
    expect(storeOf({ immutable: '1m' }).immutable).toMatchObject({ periodMs });
  });
});
