import { describe, expect, test } from 'vitest';
import { findBottleneck } from '../../../src/sessions/shared/report.ts';
import { diskReport } from '../../helpers/repository/madeUp.ts';

describe('findBottleneck', () => {
  test.each([
    [{ extents: 1, read: 2, hash: 2, write: 2 }, 'source (extents, read)', 0.3],
    [{ read: 2, hash: 2, compress: 3, write: 2 }, 'cpu (hash, compress)', 0.5],
    [{ read: 2, compress: 3, write: 4 }, 'repository (write)', 0.4],
    [{ read: 2, limit: 7, write: 4 }, 'limit of the rate', 0.7],
  ])('names of %j the busiest part', (seconds, stage, busyRatio) => {
    expect(findBottleneck([diskReport(seconds)], 10, 1)).toEqual({ stage, busyRatio });
  });

  test('adds the disks up and does not count waiting', () => {
    const disks = [
      diskReport({ read: 3, wait: 9 }),
      diskReport({ write: 2 }),
      diskReport({ write: 2 }),
    ];

    expect(findBottleneck(disks, 8, 1)).toEqual({ stage: 'repository (write)', busyRatio: 0.5 });
  });

  test('is never busier than all the time', () => {
    expect(findBottleneck([diskReport({ read: 30 })], 10, 1).busyRatio).toBe(1);
    expect(findBottleneck([], 0, 1).busyRatio).toBe(0);
  });
});
