/** Health of points from the checks of their containers. */
import { expect, test } from 'vitest';
import { healthOfPoints } from '../../../src/repository/damage/pointHealth.ts';
import type {
  DamagedBlock,
  VerifiedContainer,
} from '../../../src/repository/damage/verifyRecord.ts';
import { increment, restorePoint } from '../../helpers/repository/madeUp.ts';

const POINTS = [restorePoint(), increment('p2', 'p1'), increment('p3', 'p2')];
const BLOCK: DamagedBlock = { blockId: 4, code: 'INTEGRITY_CRC_MISMATCH', message: 'rotten' };

function checked(
  ...entries: readonly (Partial<VerifiedContainer> & { readonly pointId: string })[]
): ReadonlyMap<string, VerifiedContainer> {
  return new Map(
    entries.map((entry, k) => {
      const fileName = POINTS.find((point) => point.pointId === entry.pointId)?.fileName ?? '';
      return [
        fileName,
        {
          fileName,
          sizeBytes: 1,
          modifiedAtMs: 1,
          verifiedAt: `2026-11-2${k}T00:00:00.000Z`,
          sampleRatio: 1,
          checkedBlocks: 1,
          skippedBlocks: 0,
          storedBytesRead: 1,
          plainBytes: 1,
          findingCount: 0,
          problems: [],
          damagedBlocks: [],
          isTruncated: false,
          ...entry,
        },
      ];
    }),
  );
}

function damaged(entries: ReturnType<typeof checked>): Record<string, boolean> {
  const health = [...healthOfPoints(POINTS, entries)];
  return Object.fromEntries(health.map(([pointId, { isDamaged }]) => [pointId, isDamaged]));
}

test('a point is verified when all its containers are, as of the oldest check and the smallest sample', () => {
  const entries = checked({ pointId: 'p1', sampleRatio: 0.5 }, { pointId: 'p2' });

  const health = healthOfPoints(POINTS, entries);

  const facts = { verifiedAt: '2026-11-20T00:00:00.000Z', sampleRatio: 0.5, isDamaged: false };
  expect(Object.fromEntries(health)).toEqual({ p1: facts, p2: facts });
});

test.each<[string, Partial<VerifiedContainer>, Record<string, boolean>]>([
  [
    'a block that two points need',
    { damagedBlocks: [{ ...BLOCK, neededBy: ['p1', 'p2'] }] },
    { p1: true, p2: true, p3: false },
  ],
  [
    'a block that no point needs',
    { damagedBlocks: [{ ...BLOCK, neededBy: [] }] },
    { p1: false, p2: false, p3: false },
  ],
  [
    'a block whose points are not known yet',
    { damagedBlocks: [BLOCK] },
    { p1: true, p2: true, p3: true },
  ],
  [
    'a damaged structure',
    { problems: [{ code: 'FORMAT_STRUCTURE', message: '' }] },
    { p1: true, p2: true, p3: true },
  ],
  [
    'other chain metadata',
    { problems: [{ code: 'INTEGRITY_METADATA_MISMATCH', message: '' }] },
    { p1: true, p2: false, p3: false },
  ],
  ['more blocks than are recorded', { isTruncated: true }, { p1: true, p2: true, p3: true }],
])('%s harms those that need it', (_what, facts, expected) => {
  const entries = checked({ pointId: 'p1', ...facts }, { pointId: 'p2' }, { pointId: 'p3' });

  expect(damaged(entries)).toEqual(expected);
});

test('damage shows before the rest of a chain is checked', () => {
  const blocks = [{ ...BLOCK, neededBy: ['p1', 'p3'] }];

  expect(damaged(checked({ pointId: 'p1', damagedBlocks: blocks }))).toEqual({
    p1: true,
    p3: true,
  });
});
