import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planPrune } from '../../../src/repository/retention/prunePlan.ts';
import type { RestorePoint } from '../../../src/repository/restorePoint.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';

/** Points from a text: `a` is a full, `b<a` an increment on `a`. */
function pointsOf(text: string): RestorePoint[] {
  return text.split(' ').map((word) => {
    const [pointId = '', parent] = word.split('<');
    return parent === undefined ? restorePoint({ pointId }) : increment(pointId, parent);
  });
}

function ids(points: readonly RestorePoint[]): string {
  return points.map((point) => point.pointId).join('');
}

/**
 * A plan as text: deleted points, ranges after their parents, points that stay without being kept.
 */
function planOf(text: string, kept: string, frozen = ''): string {
  const { deleted, ranges, neededIds } = planPrune(pointsOf(text), new Set(kept), new Set(frozen));
  const merged = ranges.map(({ points, parent }) => `${parent?.pointId ?? ''}(${ids(points)})`);
  return `-${ids(deleted)} ${merged.join(' ')} +${[...neededIds].join('')}`;
}

describe('a plan', () => {
  test.each([
    ['nothing', 'a b<a c<b', 'abc', '-  +'],
    ['the full and the oldest increments into one point', 'a b<a c<b d<c', 'cd', '- (abc) +'],
    ['increments between kept points', 'a b<a c<b d<c e<d', 'ad', '-e a(bcd) +'],
    ['several runs, the one with the full last', 'a b<a c<b d<c e<d', 'bde', '- b(cd) (ab) +'],
    ['a chain into its newest point', 'a b<a c<b', 'c', '- (abc) +'],
  ])('merges %s', (_what, text, kept, expected) => {
    expect(planOf(text, kept)).toBe(expected);
  });

  test.each([
    ['a chain without kept points', 'a b<a c d<c', 'cd', '-ba  +'],
    ['the tail of an old chain', 'a b<a c<b d e<d', 'ade', '-cb  +'],
    [
      'the tail of an old chain whose kept point takes its full over',
      'a b<a c<b d',
      'bd',
      '-c (ab) +',
    ],
  ])('deletes %s', (_what, text, kept, expected) => {
    expect(planOf(text, kept)).toBe(expected);
  });

  test('leaves a point on which two kept ones build', () => {
    expect(planOf('a b<a c<b d<b', 'cd')).toBe('- (ab) +b');
  });

  test('merges a point whose other child is deleted', () => {
    expect(planOf('a b<a c<b d<b', 'd')).toBe('-c (abd) +');
  });

  test.each([
    ['a frozen full', 'a b<a c<b', 'c', 'a', '- a(bc) +a'],
    ['a frozen increment and what it builds on', 'a b<a c<b d<c e<d', 'e', 'b', '- b(cde) +ab'],
    ['a frozen newest point', 'a b<a c<b', 'c', 'c', '-  +ab'],
    ['a kept point that is frozen', 'a b<a c<b d<c', 'bd', 'b', '- b(cd) +a'],
    ['a frozen point of a chain that goes', 'a b<a c<b d', 'd', 'b', '-c  +ab'],
    ['several frozen points', 'a b<a c<b d<c e f<e g<f', 'g', 'be', '-dc e(fg) +abe'],
  ])('leaves %s', (_what, text, kept, frozen, expected) => {
    expect(planOf(text, kept, frozen)).toBe(expected);
  });

  test('keeps a point whose parent is missing as it is', () => {
    expect(planOf('b<a c<b', 'bc')).toBe('-  +');
  });

  test('ends where parents go round in a circle', () => {
    expect(planOf('a<b b<a c<b', 'c')).toMatch(/\+/);
    expect(planOf('a<a b<a', 'b')).toMatch(/\+/);
  });
});

/** A forest: each point is a full, or an increment on one of the points before it. */
const forest = fc
  .array(fc.option(fc.nat(), { nil: undefined, freq: 6 }), { minLength: 1, maxLength: 30 })
  .map((parents) =>
    parents.map((parent, k) =>
      parent === undefined || k === 0
        ? restorePoint({ pointId: `p${k}` })
        : increment(`p${k}`, `p${k - 1 - (parent % Math.min(k, 3))}`),
    ),
  );

/** Often none. */
const someOf = fc.oneof(fc.constant([]), fc.array(fc.nat(29), { maxLength: 3 }));

test('every plan does one thing with each point, and deletes none that a kept one needs', () => {
  fc.assert(
    fc.property(forest, fc.array(fc.nat(29)), someOf, (points, chosen, served) => {
      const idsAt = (positions: readonly number[]): Set<string> =>
        new Set(positions.map((k) => `p${k % points.length}`));
      const kept = idsAt([...chosen, points.length - 1]);
      const frozen = idsAt(served);
      const { deleted, ranges, neededIds } = planPrune(points, kept, frozen);
      const merged = ranges.flatMap((range) =>
        range.points.slice(0, -1).map((point) => point.pointId),
      );
      const gone = deleted.map((point) => point.pointId);

      expect([...kept, ...neededIds, ...merged, ...gone].toSorted()).toEqual(
        points.map((point) => point.pointId).toSorted(),
      );
      const byId = new Map(points.map((point) => [point.pointId, point]));
      for (const id of [...kept, ...neededIds]) {
        const parentId = byId.get(id)?.parentPointId ?? '';
        expect(gone).not.toContain(parentId);
      }
      for (const { points: members, parent } of ranges) {
        for (const [k, point] of members.entries()) {
          expect(point.parentPointId).toBe((k === 0 ? parent : members[k - 1])?.pointId ?? '');
        }
        expect(members[0]?.type).toBe(parent ? 'increment' : 'full');
      }
      const replaced = new Set([...ranges.flatMap((range) => range.points), ...deleted]);
      for (let point of points.filter(({ pointId }) => frozen.has(pointId))) {
        for (;;) {
          expect(replaced).not.toContain(point);
          const parent = byId.get(point.parentPointId);
          if (!parent) break;
          point = parent;
        }
      }
    }),
  );
});
