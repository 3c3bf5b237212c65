import { describe, expect, test } from 'vitest';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { lockTimes } from '../../../src/repository/retention/lockTimes.ts';
import {
  applyRetention,
  type RetentionPolicy,
} from '../../../src/repository/retention/retention.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';

const NOW = new Date('2026-11-26T12:00:00.000Z');
const DAY_MS = 24 * 60 * 60 * 1000;

function full(createdAt: string, facts: Partial<RestorePoint> = {}): RestorePoint {
  return restorePoint({ pointId: createdAt, createdAt: `${createdAt}T08:00:00.000Z`, ...facts });
}

/** Ends of the locks by point id. The shortest lock is a day. */
function locksOf(
  points: readonly RestorePoint[],
  policy: RetentionPolicy,
): Readonly<Record<string, string>> {
  const kept = applyRetention(points, policy, NOW);
  const times = lockTimes(points, { kept, policy, now: NOW, periodMs: DAY_MS });
  return Object.fromEntries([...times].map(([id, ms]) => [id, new Date(ms).toISOString()]));
}

describe('a kept point is locked', () => {
  test.each([
    [{ daily: 5 }, '2026-11-29T08:00:00.000Z'],
    [{ weekly: 5 }, undefined],
    [{ within: { years: 0, months: 2, days: 1, hours: 3 } }, '2027-01-25T11:00:00.000Z'],
    [{ last: 9 }, undefined],
    [{ daily: 2, within: { years: 0, months: 0, days: 4, hours: 0 } }, '2026-11-28T08:00:00.000Z'],
  ])('by %j', (policy, expected) => {
    const points = [full('2026-11-24'), full('2026-11-26')];

    expect(locksOf(points, policy)['2026-11-24']).toBe(expected ?? '2026-11-25T08:00:00.000Z');
  });

  test.each([
    [{ weekly: 3 }, '2026-09-21T08:00:00.000Z'],
    [{ monthly: 5 }, '2027-01-31T08:00:00.000Z'],
    [{ yearly: 1, monthly: 5 }, '2027-01-31T08:00:00.000Z'],
  ])('by %j for weeks and months that have passed', (policy, expected) => {
    const points = [full('2026-08-31'), full('2026-11-26')];

    expect(locksOf(points, policy)['2026-08-31']).toBe(expected);
  });

  test('by years, at most for a hundred', () => {
    const points = [full('2024-06-01'), full('2025-06-01'), full('2026-11-26')];

    expect(locksOf(points, { yearly: 3 })).toMatchObject({
      '2024-06-01': '2027-06-01T08:00:00.000Z',
      '2025-06-01': '2028-06-01T08:00:00.000Z',
    });
    for (const yearly of [9999, Number.MAX_SAFE_INTEGER]) {
      expect(locksOf(points, { yearly })['2024-06-01']).toBe('2126-11-26T12:00:00.000Z');
    }
  });
});

test('the newest point of a period that has not passed is locked for the shortest time', () => {
  const points = [full('2026-11-20'), full('2026-11-26')];

  expect(locksOf(points, { yearly: 10, monthly: 12 })).toEqual({
    '2026-11-20': '2026-11-21T08:00:00.000Z',
    '2026-11-26': '2026-11-27T08:00:00.000Z',
  });
});

test('the oldest point of a rule that is not used up is locked only as the newest of its day', () => {
  const points = [
    full('2026-11-20'),
    full('2026-11-20', { pointId: 'later', createdAt: '2026-11-20T20:00:00.000Z' }),
    full('2026-11-26'),
  ];

  expect(locksOf(points, { daily: 10 })).toMatchObject({
    '2026-11-20': '2026-11-21T08:00:00.000Z',
    later: '2026-11-30T20:00:00.000Z',
  });
});

test('points on which a kept one builds are locked as long, and no lock becomes shorter', () => {
  const lockedUntil = '2026-12-24T00:00:00.000Z';
  const points = [
    full('2026-11-01'),
    { ...increment('b', '2026-11-01'), createdAt: '2026-11-02T08:00:00.000Z' },
    { ...increment('c', 'b'), createdAt: '2026-11-03T08:00:00.000Z', lockedUntil },
    { ...increment('d', 'c'), createdAt: '2026-11-26T08:00:00.000Z' },
    full('2026-11-26'),
  ];

  const locks = locksOf(points, { last: 1 });

  expect(locks).toEqual({
    '2026-11-01': lockedUntil,
    b: lockedUntil,
    c: lockedUntil,
    '2026-11-26': '2026-11-27T08:00:00.000Z',
  });
});

test('a wrong clock locks nothing until its false date', () => {
  const points = [full('2026-11-20'), full('2099-01-01')];

  expect(locksOf(points, { daily: 2 })).toEqual({ '2026-11-20': '2026-11-22T08:00:00.000Z' });
});
