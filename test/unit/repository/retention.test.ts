import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSpan } from '../../../src/core/calendarSpan.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import {
  applyRetention,
  checkPolicy,
  type RetentionPolicy,
} from '../../../src/repository/retention/retention.ts';
import { expectCodeSync } from '../../helpers/codes.ts';
import { restorePoint } from '../../helpers/repository/madeUp.ts';

const NOW = new Date('2026-11-26T12:00:00Z');

/** Points with these times, in this order. The id of each is its time. */
function pointsAt(...times: readonly string[]): RestorePoint[] {
  return times.map((time) => {
    const createdAt = new Date(time).toISOString();
    return restorePoint({ pointId: time, createdAt });
  });
}

function keptOf(points: readonly RestorePoint[], policy: RetentionPolicy): string[] {
  return [...applyRetention(points, policy, NOW).keys()].toSorted();
}

describe('a counted rule', () => {
  test('keeps the last points', () => {
    const points = pointsAt('2026-11-01', '2026-11-02', '2026-11-03');

    expect(keptOf(points, { last: 2 })).toEqual(['2026-11-02', '2026-11-03']);
  });

  test('keeps the newest point of each day, and counts only days with points', () => {
    const points = pointsAt(
      '2026-10-01T08:00Z',
      '2026-10-09T08:00Z',
      '2026-10-09T20:00Z',
      '2026-11-26T00:00Z',
      '2026-11-26T10:00Z',
    );

    expect(keptOf(points, { daily: 2 })).toEqual(['2026-10-09T20:00Z', '2026-11-26T10:00Z']);
  });

  test.each([
    ['daily', '2026-11-25T23:59:59Z', '2026-11-26T00:00:00Z'],
    ['weekly', '2026-11-22T23:59:59Z', '2026-11-23T00:00:00Z'],
    ['weekly', '2026-01-04T23:00:00Z', '2026-01-05T00:00:00Z'],
    ['monthly', '2026-10-31T23:59:59Z', '2026-11-01T00:00:00Z'],
    ['yearly', '2025-12-31T23:59:59Z', '2026-01-01T00:00:00Z'],
  ] as const)('parts %s at %s and %s, in UTC', (rule, before, after) => {
    const points = pointsAt('2020-01-01', before, after);

    expect(keptOf(points, { [rule]: 2 })).toEqual([before, after].toSorted());
  });

  test.each([
    ['weekly', '2025-12-29T00:00:00Z', '2026-01-04T12:00:00Z'],
    ['monthly', '2026-11-01T00:00:00Z', '2026-11-26T00:00:00Z'],
    ['yearly', '2026-01-01T00:00:00Z', '2026-11-26T00:00:00Z'],
  ] as const)('sees one %s period from %s to %s', (rule, first, last) => {
    const points = pointsAt('2020-01-01', first, last);

    expect(keptOf(points, { [rule]: 1 })).toEqual([last]);
  });

  test('keeps the oldest point too while some of its count is left', () => {
    const points = pointsAt('2026-11-26T08:00Z', '2026-11-26T09:00Z', '2026-11-26T10:00Z');

    expect(keptOf(points, { monthly: 3 })).toEqual(['2026-11-26T08:00Z', '2026-11-26T10:00Z']);
    expect(keptOf(points, { monthly: 1 })).toEqual(['2026-11-26T10:00Z']);
  });
});

describe('keep within', () => {
  test('counts back from the newest point, not from now', () => {
    const points = pointsAt('2024-01-01', '2024-01-03', '2024-01-08', '2024-01-10');

    expect(keptOf(points, { within: parseSpan('7d', 'x') })).toEqual(['2024-01-08', '2024-01-10']);
  });

  test('goes by the calendar', () => {
    const points = pointsAt('2024-02-29T00:00Z', '2024-03-01T01:00Z', '2025-03-01T02:00Z');

    expect(keptOf(points, { within: parseSpan('1y1h', 'x') })).toEqual(['2025-03-01T02:00Z']);
    expect(keptOf(points, { within: parseSpan('1y2h', 'x') })).toEqual([
      '2024-03-01T01:00Z',
      '2025-03-01T02:00Z',
    ]);
  });

  test('takes no point of the future for the newest', () => {
    const points = pointsAt('2026-11-20', '2036-01-01', '2026-11-25');

    expect(keptOf(points, { within: parseSpan('7d', 'x') })).toHaveLength(3);
  });
});

describe('a point of the future', () => {
  test('takes no slot of a rule and is kept', () => {
    const points = pointsAt('2026-11-24', '2026-11-25', '2076-11-25', '2026-11-26');

    const kept = applyRetention(points, { daily: 2 }, NOW);

    expect(Object.fromEntries(kept)).toEqual({
      '2076-11-25': ['future'],
      '2026-11-25': ['daily'],
      '2026-11-26': ['daily'],
    });
  });

  test.each(['last', 'daily', 'weekly', 'monthly', 'yearly'] as const)(
    'leaves to the rule %s what it keeps without it',
    (rule) => {
      const right = ['2024-05-05', '2025-05-05', '2026-10-05', '2026-11-25', '2026-11-26'];
      const mixed = pointsAt('2076-01-01', ...right, '2076-01-02');

      const kept = keptOf(mixed, { [rule]: 2 });

      const wanted = [...keptOf(pointsAt(...right), { [rule]: 2 }), '2076-01-01', '2076-01-02'];
      expect(kept).toEqual(wanted.toSorted());
    },
  );

  test('is one that is dated more than a day after now', () => {
    const points = pointsAt('2026-11-25', '2026-11-27T12:00:00Z', '2026-11-27T12:00:01Z');

    const kept = applyRetention(points, { last: 1 }, NOW);

    expect(kept.get('2026-11-27T12:00:00Z')).toEqual(['last']);
    expect(kept.get('2026-11-27T12:00:01Z')).toEqual(['future']);
  });
});

describe('a policy', () => {
  test('keeps what any of its rules keeps, and says which', () => {
    const points = pointsAt('2025-05-05', '2026-11-25T08:00Z', '2026-11-25T09:00Z', '2026-11-26');

    const kept = applyRetention(points, { last: 1, daily: 2, yearly: 2 }, NOW);

    expect(Object.fromEntries(kept)).toEqual({
      '2026-11-26': ['last', 'daily', 'yearly'],
      '2026-11-25T09:00Z': ['daily'],
      '2025-05-05': ['yearly'],
    });
  });

  test('keeps the newest point, though its time lies before that of others', () => {
    const points = pointsAt('2026-11-25', '2020-01-01');

    const kept = applyRetention(points, { within: parseSpan('1d', 'x') }, NOW);

    expect(kept.get('2020-01-01')).toEqual(['newest']);
  });

  test.each([{}, { last: 0 }, { daily: 0, weekly: undefined }])(
    'is refused when it is %j',
    (keep) => {
      expectCodeSync(() => checkPolicy(keep), 'USAGE_INVALID_OPTION');
    },
  );

  test.each([-1, 1.5, Number.NaN])('is refused with a count of %d', (daily) => {
    expectCodeSync(() => checkPolicy({ last: 1, daily }), 'USAGE_INVALID_OPTION');
  });
});

describe('any policy over any points', () => {
  const time = fc
    .date({ min: new Date('2024-01-01'), max: new Date('2026-12-31'), noInvalidDate: true })
    .map((date) => date.toISOString());
  const times = fc.uniqueArray(time, { minLength: 1, maxLength: 40 });
  const count = fc.integer({ min: 0, max: 6 });
  const policy = fc.record({
    last: count,
    daily: count,
    weekly: count,
    monthly: count,
    yearly: count,
    within: fc.option(fc.constant(parseSpan('2m', 'x')), { nil: undefined }),
  });

  test('keeps the newest point and no more than its rules allow', () => {
    fc.assert(
      fc.property(times, policy, (unordered, keep) => {
        const points = pointsAt(...unordered.toSorted());
        const kept = applyRetention(points, keep, NOW);

        expect(kept.has(points.at(-1)?.pointId ?? '')).toBe(true);
        for (const rule of ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const) {
          const byRule = [...kept.values()].filter((reasons) => reasons.includes(rule));
          expect(byRule.length).toBeLessThanOrEqual(keep[rule]);
        }
        const lastOnes = points.slice(Math.max(0, points.length - keep.last));
        for (const { pointId } of lastOnes) expect(kept.has(pointId)).toBe(true);
      }),
    );
  });

  test('keeps at least what each of its rules alone keeps', () => {
    fc.assert(
      fc.property(times, policy, (unordered, keep) => {
        const points = pointsAt(...unordered.toSorted());
        const all = new Set(keptOf(points, keep));

        for (const [rule, value] of Object.entries(keep)) {
          for (const id of keptOf(points, { [rule]: value })) expect(all).toContain(id);
        }
      }),
    );
  });
});
