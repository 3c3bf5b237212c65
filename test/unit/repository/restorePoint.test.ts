import { describe, expect, test } from 'vitest';
import { chainTo } from '../../../src/repository/restorePoint.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';

const MISSING = expect.objectContaining({ code: 'CHAIN_PARENT_MISSING' });
const full = restorePoint();
const [second, third] = [increment('p2', 'p1'), increment('p3', 'p2')];

describe('chainTo', () => {
  test('leads from the full to the point, oldest first', () => {
    const other = restorePoint({ pointId: 'other' });

    expect(chainTo([third, other, second, full], third)).toEqual([full, second, third]);
    expect(chainTo([third, other, second, full], second)).toEqual([full, second]);
    expect(chainTo([full], full)).toEqual([full]);
  });

  test('fails where a parent is missing', () => {
    expect(() => chainTo([second, third], third)).toThrow(MISSING);
    expect(() => chainTo([full, third], third)).toThrow(MISSING);
  });

  test('ends on points that are their own ancestors', () => {
    const [a, b, self] = [increment('a', 'b'), increment('b', 'a'), increment('s', 's')];

    expect(() => chainTo([a, b], a)).toThrow(MISSING);
    expect(() => chainTo([self], self)).toThrow(MISSING);
  });
});
