/** Names of reports, and which of them a prune deletes. */
import { describe, expect, test } from 'vitest';
import {
  compactTime,
  MAX_FAILED_REPORTS,
  sessionFileName,
  sessionFilesIn,
  staleSessionFiles,
} from '../../../src/sessions/history/sessionFiles.ts';
import type { SessionType } from '../../../src/sessions/history/sessionRecord.ts';

const ID = '0a1b2c3d-0000-4000-8000-000000000000';

function nameOf(type: SessionType, startedAt: string, isFailed = false): string {
  return sessionFileName({ type, sessionId: ID, startedAt, isFailed });
}

function day(number: number): string {
  return `2026-11-${String(number).padStart(2, '0')}T01:00:00.123Z`;
}

describe('names of reports', () => {
  test('tell time, type, failure and the beginning of the id', () => {
    expect(nameOf('backup', '2026-11-30T01:50:00.999Z')).toBe(
      'session-20261130T015000999Z-backup-0a1b2c3d.json',
    );
    const failed = nameOf('restore', '2026-11-30T01:50:00Z', true);
    expect(failed).toBe('session-20261130T015000000Z-restore-failed-0a1b2c3d.json');
    expect(sessionFilesIn([failed])).toEqual([
      {
        fileName: failed,
        time: compactTime('2026-11-30T01:50:00Z'),
        type: 'restore',
        isFailed: true,
        idStart: '0a1b2c3d',
      },
    ]);
  });

  test('are found among other files, newest first', () => {
    const [older, newer] = [nameOf('prune', day(1)), nameOf('backup', day(2))];
    const others = ['vm.vbm', `${newer}.partial`, 'session-x-backup-0a1b2c3d.json', 'verify.json'];

    const found = sessionFilesIn([older, ...others, newer]);

    expect(found.map(({ fileName }) => fileName)).toEqual([newer, older]);
  });
});

test('reports of one second are in the order of their start', () => {
  const starts = ['01:50:00.002', '01:50:00.010', '01:50:00.100'];
  const names = starts.map((time, k) =>
    sessionFileName({
      type: k === 0 ? 'verify' : 'backup',
      sessionId: `${9 - k}a1b2c3d-0000`,
      startedAt: `2026-11-30T${time}Z`,
      isFailed: false,
    }),
  );

  const found = sessionFilesIn([...names].toSorted());

  expect(found.map(({ fileName }) => fileName)).toEqual(names.toReversed());
});

describe('reports that a prune deletes', () => {
  const points = [{ createdAt: day(10) }, { createdAt: day(20) }];

  test('are those of backups without a point', () => {
    const names = [nameOf('backup', day(10)), nameOf('backup', day(15)), nameOf('backup', day(20))];

    expect(staleSessionFiles(names, points)).toEqual([nameOf('backup', day(15))]);
  });

  test.each(['verify', 'restore', 'prune', 'copy', 'synthesize'] as const)(
    'are those of %s older than all points',
    (type) => {
      const names = [nameOf(type, day(9)), nameOf(type, day(11))];

      expect(staleSessionFiles(names, points)).toEqual([nameOf(type, day(9))]);
    },
  );

  test('are failed ones older than all points, and those beyond the newest 200', () => {
    const failedAt = (minute: number): string =>
      nameOf('backup', new Date(Date.parse(day(12)) + minute * 60_000).toISOString(), true);
    const names = Array.from({ length: MAX_FAILED_REPORTS + 2 }, (_, minute) => failedAt(minute));
    const old = nameOf('backup', day(1), true);

    const stale = staleSessionFiles([old, ...names], points);

    expect(stale.toSorted()).toEqual([old, failedAt(0), failedAt(1)].toSorted());
  });

  test('are no other files', () => {
    expect(staleSessionFiles(['vm.vbm', 'verify.json', 'session-.json'], points)).toEqual([]);
  });
});
