/** Times of schedules on ordinary days and on the nights when clocks change. */
import { assert, constantFrom, integer, nat, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  nextSlot,
  type Scheduled,
  slotsBetween,
  windowEnd,
} from '../../../src/jobs/schedule/schedule.ts';
import { jumpOver, wallMsAt } from '../../../src/jobs/schedule/zoneGap.ts';

function job(schedule: string, timezone = 'UTC', windowUntil?: string): Scheduled {
  return { schedule, timezone, windowUntil };
}

function between(of: Scheduled, from: string, to: string): string[] {
  return slotsBetween(of, Date.parse(from), Date.parse(to)).map((slot) => slot.toISOString());
}

describe('slots of a schedule', () => {
  it('begin after the first time and include the last', () => {
    const nightly = job('0 1 * * *');

    expect(between(nightly, '2026-05-01T01:00:00Z', '2026-05-03T01:00:00Z')).toEqual([
      '2026-05-02T01:00:00.000Z',
      '2026-05-03T01:00:00.000Z',
    ]);
    expect(nextSlot(nightly, Date.parse('2026-05-01T00:59:59.999Z'))?.toISOString()).toBe(
      '2026-05-01T01:00:00.000Z',
    );
  });

  it('do not exist without a schedule', () => {
    const manual: Scheduled = { schedule: undefined, timezone: undefined, windowUntil: undefined };

    expect(nextSlot(manual, 0)).toBeUndefined();
    expect(slotsBetween(manual, 0, Date.parse('2026-05-01T00:00:00Z'))).toEqual([]);
  });

  it('follow day of month or day of week, as cron does', () => {
    expect(between(job('0 1 1 * 1'), '2026-06-01T12:00:00Z', '2026-07-02T00:00:00Z')).toEqual([
      '2026-06-08T01:00:00.000Z',
      '2026-06-15T01:00:00.000Z',
      '2026-06-22T01:00:00.000Z',
      '2026-06-29T01:00:00.000Z',
      '2026-07-01T01:00:00.000Z',
    ]);
  });

  it('are the newest ones where there are too many', () => {
    const untilMs = Date.parse('2026-05-01T00:00:00Z');
    const slots = slotsBetween(job('* * * * *'), 0, untilMs, 100);

    expect(slots.length).toBeLessThanOrEqual(100);
    expect(slots.length).toBeGreaterThan(40);
    expect(slots.at(-1)?.getTime()).toBe(untilMs);
  });
});

/** Zone, schedule, the days around a change, and the slots in that time. */
const CHANGES: readonly (readonly [string, string, string, string, string, readonly string[]])[] = [
  [
    'Berlin in spring: 02:30 runs at 03:00',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00:00Z',
    '2026-03-30T12:00:00Z',
    ['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
  ],
  [
    'Berlin in autumn: 02:30 runs the first time',
    '30 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12:00:00Z',
    '2026-10-26T12:00:00Z',
    ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
  ],
  [
    'Berlin in autumn: a list of times runs once each',
    '15,45 2 * * *',
    'Europe/Berlin',
    '2026-10-24T12:00:00Z',
    '2026-10-25T12:00:00Z',
    ['2026-10-25T00:15:00.000Z', '2026-10-25T00:45:00.000Z'],
  ],
  [
    'Berlin in spring: times of a list that fall together run once',
    '0 2,3 * * *',
    'Europe/Berlin',
    '2026-03-28T12:00:00Z',
    '2026-03-29T12:00:00Z',
    ['2026-03-29T01:00:00.000Z'],
  ],
  [
    'Berlin in autumn: each hour that passes has a slot',
    '0 * * * *',
    'Europe/Berlin',
    '2026-10-24T23:30:00Z',
    '2026-10-25T02:00:00Z',
    ['2026-10-25T00:00:00.000Z', '2026-10-25T01:00:00.000Z', '2026-10-25T02:00:00.000Z'],
  ],
  [
    'Lord Howe in spring: half an hour is skipped',
    '15 2 * * *',
    'Australia/Lord_Howe',
    '2026-10-03T10:00:00Z',
    '2026-10-05T10:00:00Z',
    ['2026-10-03T15:30:00.000Z', '2026-10-04T15:15:00.000Z'],
  ],
  [
    'Lord Howe in autumn: half an hour comes twice',
    '45 1 * * *',
    'Australia/Lord_Howe',
    '2026-04-04T10:00:00Z',
    '2026-04-06T10:00:00Z',
    ['2026-04-04T14:45:00.000Z', '2026-04-05T15:15:00.000Z'],
  ],
  [
    'Beirut in spring: midnight is skipped',
    '0 0 * * *',
    'Asia/Beirut',
    '2026-03-28T12:00:00Z',
    '2026-03-30T12:00:00Z',
    ['2026-03-28T22:00:00.000Z', '2026-03-29T21:00:00.000Z'],
  ],
  [
    'Sao Paulo in spring: 00:30 runs at 01:00',
    '30 0 * * *',
    'America/Sao_Paulo',
    '2018-11-03T12:00:00Z',
    '2018-11-05T12:00:00Z',
    ['2018-11-04T03:00:00.000Z', '2018-11-05T02:30:00.000Z'],
  ],
  [
    'Sao Paulo in autumn: 23:30 comes twice and runs the first time',
    '30 23 * * *',
    'America/Sao_Paulo',
    '2018-02-17T12:00:00Z',
    '2018-02-19T12:00:00Z',
    ['2018-02-18T01:30:00.000Z', '2018-02-19T02:30:00.000Z'],
  ],
  [
    'Nuuk in spring: 23:30 is skipped and runs at midnight, the next day',
    '30 23 * * *',
    'America/Nuuk',
    '2026-03-28T12:00:00Z',
    '2026-03-30T12:00:00Z',
    ['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
  ],
  [
    'Nuuk in spring: 23:30 on Saturdays runs, although it is Sunday then',
    '30 23 * * 6',
    'America/Nuuk',
    '2026-03-28T12:00:00Z',
    '2026-04-05T12:00:00Z',
    ['2026-03-29T01:00:00.000Z', '2026-04-05T00:30:00.000Z'],
  ],
];

describe('slots where clocks change', () => {
  it.each(CHANGES)('%s', (_, schedule, zone, from, to, expected) => {
    expect(between(job(schedule, zone), from, to)).toEqual(expected);
  });

  it.each(['Europe/Berlin', 'Asia/Beirut', 'Australia/Lord_Howe', 'America/Nuuk', 'Asia/Kolkata'])(
    'of any daily time in %s are one a day',
    (zone) => {
      const time = record({ hour: integer({ max: 23, min: 0 }), minute: nat(59) });
      const starts = constantFrom('2026-03-01T09:00:00Z', '2026-09-20T09:00:00Z');
      assert(
        property(time, starts, ({ hour, minute }, start) => {
          const startMs = Date.parse(start);
          const days = 50;
          const untilMs = startMs + days * 86_400_000;
          const slots = slotsBetween(job(`${minute} ${hour} * * *`, zone), startMs, untilMs);
          const gaps = slots.slice(1).map((slot, n) => slot.getTime() - Number(slots[n]));

          expect(Math.abs(slots.length - days)).toBeLessThanOrEqual(1);
          expect(Math.max(...gaps)).toBeLessThanOrEqual(25.01 * 3_600_000);
          expect(Math.min(...gaps)).toBeGreaterThanOrEqual(22.99 * 3_600_000);
        }),
        { numRuns: 4 },
      );
    },
  );

  it('do not depend on the time from which one looks', () => {
    const nightly = job('30 2 * * *', 'Europe/Berlin');
    const startMs = Date.parse('2026-10-24T12:00:00Z');
    const endMs = Date.parse('2026-10-27T12:00:00Z');
    const whole = slotsBetween(nightly, startMs, endMs).map(Number);
    const minutes: number[] = [];
    for (let ms = startMs; ms < endMs; ms += 600_000) {
      minutes.push(...slotsBetween(nightly, ms, ms + 600_000).map(Number));
    }

    expect(minutes).toEqual(whole);
    expect(whole).toHaveLength(3);
  });
});

function end(until: string, zone: string, start: string): string | undefined {
  const ms = windowEnd(job('0 1 * * *', zone, until), Date.parse(start));
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

describe('the end of a window', () => {
  it('is the next time of day, also after midnight', () => {
    expect(end('06:00', 'UTC', '2026-05-01T01:00:00Z')).toBe('2026-05-01T06:00:00.000Z');
    expect(end('06:00', 'UTC', '2026-05-01T22:00:00Z')).toBe('2026-05-02T06:00:00.000Z');
    expect(end('06:00', 'UTC', '2026-05-01T06:00:00Z')).toBe('2026-05-02T06:00:00.000Z');
  });

  it('follows the clocks of the zone', () => {
    expect(end('06:00', 'Europe/Berlin', '2026-03-28T23:00:00Z')).toBe('2026-03-29T04:00:00.000Z');
    expect(end('06:00', 'Europe/Berlin', '2026-10-24T22:00:00Z')).toBe('2026-10-25T05:00:00.000Z');
    expect(end('02:30', 'Europe/Berlin', '2026-03-28T23:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
    expect(end('23:30', 'America/Nuuk', '2026-03-28T20:00:00Z')).toBe('2026-03-29T01:00:00.000Z');
  });

  it('does not exist without a window', () => {
    expect(windowEnd(job('0 1 * * *'), 0)).toBeUndefined();
  });
});

describe('times that clocks skip', () => {
  it('are known with the instant of the jump', () => {
    const wall = Date.parse('2026-03-29T02:30:00Z');

    expect(jumpOver(wall, 'Europe/Berlin')).toBe(Date.parse('2026-03-29T01:00:00Z'));
    expect(jumpOver(wall - 3_600_000, 'Europe/Berlin')).toBeUndefined();
    expect(jumpOver(wall, 'UTC')).toBeUndefined();
    expect(wallMsAt(Date.parse('2026-03-29T01:00:00.250Z'), 'Europe/Berlin')).toBe(
      Date.parse('2026-03-29T03:00:00.250Z'),
    );
  });
});
