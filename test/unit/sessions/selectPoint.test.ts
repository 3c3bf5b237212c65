import { describe, expect, test } from 'vitest';
import { selectDisks, selectPoint } from '../../../src/sessions/shared/selectPoint.ts';
import { diskPoint, restorePoint } from '../../helpers/repository/madeUp.ts';

const NOT_FOUND = expect.objectContaining({ code: 'USAGE_NOT_FOUND' });
const points = ['aaaa-1', 'aaaa-2', 'bbbb-3'].map((pointId, k) =>
  restorePoint({ pointId, number: k + 1 }),
);
const metadata = { vm: { id: 'i', name: 'vm' }, points };

describe('selectPoint', () => {
  test.each([
    ['latest', 'bbbb-3'],
    ['aaaa-1', 'aaaa-1'],
    ['bbbb', 'bbbb-3'],
    ['2', 'aaaa-2'],
  ])('takes %j for %s', (selector, pointId) => {
    expect(selectPoint(metadata, selector).pointId).toBe(pointId);
  });

  test.each(['aaaa', 'bbb', 'cccc', '', 'all', '0', '4', '2.0', '-1'])('refuses %j', (selector) => {
    expect(() => selectPoint(metadata, selector)).toThrow(NOT_FOUND);
  });

  test('says of a short beginning of an id how many characters it needs', () => {
    const message = '"bbb" is too short: give at least 4 characters of the id';
    expect(() => selectPoint(metadata, 'bbb')).toThrow(expect.objectContaining({ message }));
    expect(() => selectPoint(metadata, 'bbbc')).toThrow(/does not exist/);
  });

  test('refuses a number that two points have, and names them', () => {
    const twice = points.map((point) => ({ ...point, number: 1 }));

    expect(() => selectPoint({ ...metadata, points: twice }, '1')).toThrow(
      expect.objectContaining({ message: expect.stringContaining('aaaa-1, aaaa-2') as string }),
    );
  });

  test('finds no latest point where there is none', () => {
    expect(() => selectPoint({ ...metadata, points: [] }, 'latest')).toThrow(NOT_FOUND);
  });
});

describe('selectDisks', () => {
  const disks = [diskPoint(), diskPoint({ diskId: 'd2', alias: 'b.raw' })];
  const point = restorePoint({ disks });

  test('takes all without names, else those named by id or alias', () => {
    expect(selectDisks(point, [])).toEqual(disks);
    expect(selectDisks(point, ['b.raw', 'd1'])).toEqual(disks.toReversed());
  });

  test('refuses a name that two disks have, and takes an id before a name', () => {
    const twins = [
      diskPoint(),
      diskPoint({ diskId: 'd2' }),
      diskPoint({ diskId: 'd3', alias: 'd1' }),
    ];
    const ambiguous = restorePoint({ disks: twins });

    expect(() => selectDisks(ambiguous, ['a.raw'])).toThrow(
      expect.objectContaining({
        code: 'USAGE_INVALID_OPTION',
        message: expect.stringContaining('d1, d2') as string,
      }),
    );
    expect(selectDisks(ambiguous, ['d1', 'd2'])).toEqual(twins.slice(0, 2));
    expect(selectDisks(ambiguous, ['d1', 'd1'])).toEqual(twins.slice(0, 1));
  });

  test('refuses a disk that the point does not hold', () => {
    expect(() => selectDisks(point, ['a.raw', 'c.raw'])).toThrow(NOT_FOUND);
  });
});
