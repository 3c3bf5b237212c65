/** The open steps in the journal of a backup session. */
import { describe, expect, test } from 'vitest';
import type { JournalEntry } from '../../../src/repository/journal.ts';
import { isSettled, openSteps } from '../../../src/sessions/cleanup/engineCleanup.ts';

const NOTHING = {
  transferIds: [],
  backupIds: [],
  descriptions: [],
  snapshotIds: [],
  otherTransferIds: [],
};

const session: JournalEntry = {
  step: 'session',
  kind: 'backup',
  sessionId: 's1',
  vmId: 'v1',
  vmName: 'web01',
  process: { host: 'h', pid: 1, startedAt: '1' } as never,
};
const asked: JournalEntry = { step: 'backup-starting', description: 'ovirt-cbt r s 1' };
const made: JournalEntry = { step: 'backup', backupId: 'b1' };
const ready: JournalEntry = { step: 'backup-ready', backupId: 'b1', snapshotId: 'n1' };
const opening: JournalEntry = { step: 'transfer-starting', diskId: 'd1' };
const opened: JournalEntry = { step: 'transfer', transferId: 't1', diskId: 'd1' };
const closed: JournalEntry = { step: 'transfer-done', transferId: 't1' };
const done: JournalEntry = { step: 'backup-done', backupId: 'b1' };

describe('openSteps', () => {
  test('are none before the engine was asked for anything', () => {
    expect(openSteps([session])).toEqual(NOTHING);
  });

  test('are none of an empty journal, which a crash may leave', () => {
    expect(openSteps([])).toEqual(NOTHING);
  });

  test('hold the description of a backup whose id never arrived', () => {
    expect(openSteps([session, asked])).toEqual({
      ...NOTHING,
      descriptions: ['ovirt-cbt r s 1'],
    });
  });

  test('hold the id of a backup once it is known, and no longer its description', () => {
    expect(openSteps([session, asked, made])).toEqual({ ...NOTHING, backupIds: ['b1'] });
  });

  test('hold the snapshot of a backup that was ready', () => {
    expect(openSteps([session, asked, made, ready])).toEqual({
      ...NOTHING,
      backupIds: ['b1'],
      snapshotIds: ['n1'],
    });
  });

  test('hold no snapshot of a backup that made none', () => {
    const bare: JournalEntry = { step: 'backup-ready', backupId: 'b1' };

    expect(openSteps([asked, made, bare])).toEqual({ ...NOTHING, backupIds: ['b1'] });
  });

  test('hold a transfer until it is done', () => {
    const steps = [session, asked, made, opening, opened];

    expect(openSteps(steps).transferIds).toEqual(['t1']);
    expect(openSteps([...steps, closed]).transferIds).toEqual([]);
  });

  test('hold a transfer that was made anew', () => {
    const again: JournalEntry = { step: 'transfer', transferId: 't2', diskId: 'd1' };

    expect(openSteps([opening, opened, opening, again]).transferIds).toEqual(['t1', 't2']);
  });

  test('hold only the snapshot after the backup is done, since a merge may have failed', () => {
    const steps = [session, asked, made, ready, opening, opened, closed, done];

    expect(openSteps(steps)).toEqual({ ...NOTHING, snapshotIds: ['n1'] });
  });

  test('hold the second backup of a session that started over', () => {
    const second: readonly JournalEntry[] = [
      { step: 'backup-starting', description: 'ovirt-cbt r s 2' },
      { step: 'backup', backupId: 'b2' },
    ];

    expect(openSteps([asked, made, done, ...second]).backupIds).toEqual(['b2']);
  });

  test('hold the descriptions of both starts when no id ever arrived', () => {
    const second: JournalEntry = { step: 'backup-starting', description: 'ovirt-cbt r s 2' };

    expect(openSteps([asked, second]).descriptions).toEqual(['ovirt-cbt r s 1', 'ovirt-cbt r s 2']);
  });

  test('hold a snapshot that was carried over from an earlier session, once', () => {
    const left: JournalEntry = { step: 'snapshot-left', snapshotId: 'n1' };

    expect(openSteps([session, left, asked, made, ready]).snapshotIds).toEqual(['n1']);
  });

  test('hold the transfers of others of all starts, which are never ours', () => {
    const steps: readonly JournalEntry[] = [
      { step: 'backup-starting', description: 'ovirt-cbt r s 1', otherTransferIds: ['o1'] },
      made,
      done,
      { step: 'backup-starting', description: 'ovirt-cbt r s 2', otherTransferIds: ['o1', 'o2'] },
      { step: 'backup-refused' },
    ];

    expect(openSteps(steps)).toEqual({ ...NOTHING, otherTransferIds: ['o1', 'o2'] });
  });

  test('hold the first backup of a session whose second one was refused', () => {
    const second: readonly JournalEntry[] = [
      { step: 'backup-starting', description: 'ovirt-cbt r s 2' },
      { step: 'backup-refused' },
    ];

    expect(openSteps([asked, made, ...second])).toEqual({ ...NOTHING, backupIds: ['b1'] });
  });

  test('hold no snapshot that is gone', () => {
    const gone: JournalEntry = { step: 'snapshot-gone', snapshotId: 'n1' };

    expect(openSteps([asked, made, ready, done, gone])).toEqual(NOTHING);
  });

  test('hold no transfer of a backup that is done', () => {
    expect(openSteps([asked, made, opening, opened, done])).toEqual(NOTHING);
  });

  test('hold the transfer of another backup than the one that is done', () => {
    const other: JournalEntry = { step: 'backup-done', backupId: 'b0' };

    expect(openSteps([asked, made, opening, opened, other]).transferIds).toEqual(['t1']);
  });
});

describe('a journal is settled', () => {
  test.each<[string, readonly JournalEntry[]]>([
    ['before the first step', [session]],
    ['when its backup was refused', [session, asked, { step: 'backup-refused' }]],
    ['when its backup is done and made no snapshot', [session, asked, made, done]],
    [
      'when its backup is done and its snapshot gone',
      [asked, made, ready, done, { step: 'snapshot-gone', snapshotId: 'n1' }],
    ],
  ])('%s', (_title, steps) => {
    expect(isSettled(steps)).toBe(true);
  });

  test.each<[string, readonly JournalEntry[]]>([
    ['a backup may have been made', [session, asked]],
    ['a backup is open', [session, asked, made]],
    ['a transfer is open', [opening, opened]],
    ['the snapshot of a backup that is done may be left', [asked, made, ready, done]],
    ['a snapshot is left of an earlier session', [{ step: 'snapshot-left', snapshotId: 'n0' }]],
  ])('not while %s', (_title, steps) => {
    expect(isSettled(steps)).toBe(false);
  });
});
