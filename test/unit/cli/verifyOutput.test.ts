/** Findings of verify on a terminal. */
import { expect, test } from 'vitest';
import { formatVerify } from '../../../src/cli/output/verifyOutput.ts';

test('verify names the file of a finding, relative to the repository', () => {
  const found = {
    vmName: 'web',
    fileName: 'f.vbk',
    pointId: 'p1',
    code: 'X',
    message: `/repo/${'folder'.repeat(8)}/${'file'.repeat(6)}/f.vbk: block 3`,
    affectedPointIds: [],
  };
  const report = {
    type: 'verify',
    repository: '/repo',
    durationSeconds: 1,
    outcome: 'damaged',
    files: [],
    points: [],
    damage: [found, { ...found, message: 'slot 1' }],
    damageCount: 2,
    unlistedFiles: [],
    failures: [],
    isRecorded: true,
  } as const;

  const lines = formatVerify(report, { columns: 60, isColoured: false }).split('\n');

  expect(lines.slice(1, 4)).toEqual([
    `X: ${'folder'.repeat(8)}/`,
    `    ${'file'.repeat(6)}/f.vbk: block 3; may be needed`,
    '    by no restore point',
  ]);
  expect(lines[4]).toBe('X: f.vbk: slot 1; may be needed by no restore point');
});

test('verify names a file whose VM is not known without a gap', () => {
  const point = {
    vmName: '',
    pointNumber: 1,
    pointId: 'file-1',
    isDamaged: true,
    isSelected: true,
  };
  const report = {
    type: 'verify',
    repository: '',
    durationSeconds: 1,
    outcome: 'damaged',
    files: [],
    points: [point],
    damage: [],
    damageCount: 1,
    unlistedFiles: [],
    failures: [],
    isRecorded: true,
  } as const;

  expect(formatVerify(report)).toContain('\ndamaged: restore point 1 file-1\n');
});
