import { describe, expect, it } from 'vitest';
import { chooseDisks, type OpenPoint } from '../../../src/points/openPoint.ts';
import { expectCodeSync } from '../../helpers/codes.ts';

function pointWith(...names: readonly string[]): OpenPoint {
  const disks = names.map((alias) => ({ alias }));
  const disk = (name: string): unknown => disks.find(({ alias }) => alias === name);
  return { id: 'p1', disks, disk } as unknown as OpenPoint;
}

describe('the disks that a command names', () => {
  it('are all without names, and each of them once', () => {
    const point = pointWith('root', 'data');

    expect(chooseDisks(point, [])).toEqual(point.disks);
    expect(chooseDisks(point, ['data', 'data'])).toEqual([point.disks[1]]);
  });

  it('are refused for a point that has only a configuration', () => {
    const error = expectCodeSync(() => chooseDisks(pointWith(), []), 'USAGE_NOT_FOUND');

    expect(error.message).toBe('restore point p1 has no disks');
  });
});
