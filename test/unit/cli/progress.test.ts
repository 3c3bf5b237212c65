import { describe, expect, test } from 'vitest';
import { formatProgress, type ProgressCounts } from '../../../src/cli/output/progress.ts';

const GIB = 1024 ** 3;
const HALF: ProgressCounts = {
  doneBytes: GIB,
  sizeBytes: 2 * GIB,
  readBytes: GIB / 2,
  elapsedMs: 1000,
};

describe('the progress line', () => {
  test('shows share, bytes, rate and time left', () => {
    expect(formatProgress('backup', HALF, 200)).toMatch(
      /^backup █{20}░{20} 50% \| 1\.00 GiB of 2\.00 GiB \| read 512\.0 MiB\/s \| 1\.0 s left$/,
    );
  });

  test('shows what is not known yet as a question mark', () => {
    const none = { doneBytes: 0, sizeBytes: 0, readBytes: 0, elapsedMs: 1 };

    expect(formatProgress('backup', none, 80)).toMatch(
      / 0% \| 0 B of \? \| read 0 B\/s \| \? left$/,
    );
  });

  test.each([1, 20, 40, 63, 64, 70, 80, 140, 200])(
    'is shorter than a terminal of %d columns',
    (columns) => {
      expect(formatProgress('synthesize', HALF, columns).length).toBeLessThan(columns);
    },
  );

  test('has no bar where there is no room for one', () => {
    expect(formatProgress('backup', HALF, 65)).toMatch(/^backup 50% \| /);
  });

  test('is full at the end, also when more is done than the disk is large', () => {
    expect(formatProgress('backup', { ...HALF, doneBytes: 3 * GIB }, 200)).toMatch(/█{40} 100% /);
  });
});
