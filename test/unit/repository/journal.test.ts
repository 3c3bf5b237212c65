import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import {
  BACKUP_JOURNAL,
  Journal,
  type JournalEntry,
  leftBackupJournal,
  removeJournal,
  restoreJournalName,
  restoreJournals,
} from '../../../src/repository/journal.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { DiskFolder } from '../../../src/store/folder/diskFolder.ts';

const SESSION = {
  kind: 'backup',
  sessionId: '5f3c1e0e-0000-4000-8000-000000000001',
  vmId: 'vm-1',
  vmName: 'web 1',
} as const;

/** One entry of each kind. */
const STEPS: readonly JournalEntry[] = [
  { step: 'backup-starting', description: 'ovirt-cbt r s 1', otherTransferIds: ['t9'] },
  { step: 'backup-refused' },
  { step: 'backup', backupId: 'b1' },
  { step: 'backup-ready', backupId: 'b1', toCheckpointId: 'c1', snapshotId: 's1' },
  { step: 'transfer-starting', diskId: 'd1' },
  { step: 'transfer', transferId: 't1', diskId: 'd1' },
  { step: 'transfer-done', transferId: 't1' },
  { step: 'backup-done', backupId: 'b1' },
  { step: 'snapshot-left', snapshotId: 's1' },
  { step: 'snapshot-gone', snapshotId: 's1' },
  { step: 'disk-starting', name: 'a' },
  { step: 'disk', diskId: 'd2', name: 'a' },
  { step: 'vm-starting', name: 'web 2' },
  { step: 'vm', vmId: 'v2', name: 'web 2' },
  { step: 'refused', name: 'web 2' },
  { step: 'restore-done' },
];

describe('a journal', () => {
  const temp = useTempFolder();
  const file = (): string => temp.path(BACKUP_JOURNAL);
  const place = (): DiskFolder => new DiskFolder(temp.path());

  async function writeAll(steps: readonly JournalEntry[]): Promise<void> {
    const journal = await Journal.create(place(), BACKUP_JOURNAL, SESSION);
    for (const step of steps) await journal.append(step);
    await journal.keep();
  }

  async function readSteps(): Promise<(string | undefined)[]> {
    const record = await leftBackupJournal(new DiskFolder(temp.path()));
    return record?.entries.map(({ step }) => step) ?? [];
  }

  it('waits for the disk with each step, except those that the engine can tell later', async () => {
    const journal = await Journal.create(place(), BACKUP_JOURNAL, SESSION);
    const some = await open(file());
    const sync = vi.spyOn(Object.getPrototypeOf(some) as FileHandle, 'datasync');
    await some.close();
    const unsynced: string[] = [];
    for (const step of STEPS) {
      const before = sync.mock.calls.length;
      await journal.append(step);
      if (sync.mock.calls.length === before) unsynced.push(step.step);
    }
    expect(unsynced).toEqual(['backup-ready', 'transfer-done', 'backup-done', 'snapshot-gone']);

    await journal.append({ step: 'backup-done', backupId: 'b1' });
    const before = sync.mock.calls.length;
    await journal.keep();
    expect(sync.mock.calls.length).toBe(before + 1);
    sync.mockRestore();
  });

  it('gives back every step that was written, behind its session', async () => {
    await writeAll(STEPS);

    const record = await leftBackupJournal(new DiskFolder(temp.path()));

    const [session, ...steps] = record?.entries ?? [];
    expect(session).toMatchObject({ step: 'session', ...SESSION, process: { pid: process.pid } });
    expect(steps).toEqual(STEPS);
    expect(record).toMatchObject({ fileName: BACKUP_JOURNAL, isDamaged: false });
  });

  it('holds a step on disk as soon as it is appended', async () => {
    const journal = await Journal.create(place(), BACKUP_JOURNAL, SESSION);

    await journal.append({ step: 'backup', backupId: 'b1' });

    expect(await readSteps()).toEqual(['session', 'backup']);
    await journal.remove();
  });

  it('keeps the order of appends that overlap', async () => {
    const journal = await Journal.create(place(), BACKUP_JOURNAL, SESSION);
    const ids = Array.from({ length: 20 }, (_, k) => `t${k}`);

    await Promise.all(
      ids.map((transferId) => journal.append({ step: 'transfer-done', transferId })),
    );

    await journal.keep();
    const record = await leftBackupJournal(new DiskFolder(temp.path()));
    expect(record?.entries.slice(1)).toEqual(
      ids.map((transferId) => ({ step: 'transfer-done', transferId })),
    );
  });

  it('does not count a last line that is torn, wherever it is torn', async () => {
    await writeAll([{ step: 'backup', backupId: 'b1' }]);
    const wholeBytes = statSync(file()).size;
    appendFileSync(file(), `${JSON.stringify({ step: 'transfer-done', transferId: 't1' })}\n`);

    for (let bytes = statSync(file()).size - 2; bytes >= wholeBytes; bytes--) {
      truncateSync(file(), bytes);
      expect(await readSteps()).toEqual(['session', 'backup']);
      expect((await leftBackupJournal(new DiskFolder(temp.path())))?.isDamaged).toBe(false);
    }
  });

  it.each([
    ['a step that is not known', '{"step":"dance"}'],
    ['no step', '{"backupId":"b1"}'],
    ['an id that would leave its path', '{"step":"backup","backupId":"../../vms"}'],
    ['an id of the wrong kind', '{"step":"backup","backupId":7}'],
    ['garbage', '\u0000\u0000\u0000'],
    ['a list', '[]'],
    ['nothing', ''],
  ])('is damaged by a line with %s, and the lines behind it count', async (_title, line) => {
    await writeAll([{ step: 'backup', backupId: 'b1' }]);
    appendFileSync(file(), `${line}\n{"step":"backup-done","backupId":"b1"}\n`);

    const record = await leftBackupJournal(new DiskFolder(temp.path()));

    expect(record?.entries.map(({ step }) => step)).toEqual(['session', 'backup', 'backup-done']);
    expect(record?.isDamaged).toBe(true);
  });

  it('that is empty has no steps', async () => {
    writeFileSync(file(), '');

    const record = await leftBackupJournal(new DiskFolder(temp.path()));

    expect(record).toEqual({ fileName: BACKUP_JOURNAL, entries: [], isDamaged: false });
  });

  it('that is not there is none', async () => {
    expect(await leftBackupJournal(new DiskFolder(temp.path()))).toBeUndefined();
  });

  it('replaces the one before, and carries over what is still open', async () => {
    await writeAll([{ step: 'backup', backupId: 'b1' }]);
    const carried: JournalEntry = { step: 'snapshot-left', snapshotId: 's1' };

    const journal = await Journal.create(
      place(),
      BACKUP_JOURNAL,
      { ...SESSION, sessionId: 'next' },
      [carried],
    );

    await journal.keep();
    const record = await leftBackupJournal(new DiskFolder(temp.path()));
    expect(record?.entries).toEqual([
      expect.objectContaining({ step: 'session', sessionId: 'next' }),
      carried,
    ]);
    expect(journal.entries).toEqual(record?.entries);
    expect(readdirSync(temp.path())).toEqual([BACKUP_JOURNAL]);
  });

  it('is started although the start of another was cut by a crash', async () => {
    writeFileSync(`${file()}.partial`, '{"step":"ses');

    await writeAll([{ step: 'backup', backupId: 'b1' }]);

    expect(await readSteps()).toEqual(['session', 'backup']);
  });

  it('can be read by its owner only, and holds names and ids only', async () => {
    await writeAll(STEPS);

    const fields = readFileSync(file(), 'utf8')
      .trim()
      .split('\n')
      .flatMap((line) => Object.keys(JSON.parse(line) as object));
    expect(statSync(file()).mode % 0o1000).toBe(0o600);
    expect(
      [...new Set(fields)].filter((name) => !/Ids?$|^(?:at|step|name|vmName)$/.test(name)),
    ).toEqual(['kind', 'process', 'description']);
  });

  it('is gone when it is removed, and removing it again is no error', async () => {
    const journal = await Journal.create(place(), BACKUP_JOURNAL, SESSION);

    await journal.remove();
    await removeJournal(place(), BACKUP_JOURNAL);

    expect(existsSync(file())).toBe(false);
  });
});

describe('journals of restores', () => {
  const temp = useTempFolder();

  it('of a process that runs are left alone', async () => {
    const name = restoreJournalName(SESSION.sessionId);
    const journal = await Journal.create(new DiskFolder(temp.path()), name, {
      ...SESSION,
      kind: 'restore',
    });

    expect(await restoreJournals(new DiskFolder(temp.path()))).toEqual({ left: [], unproven: [] });
    await journal.remove();
  });

  it.each([
    ['of a process that is gone', (text: string) => text.replace(/"pid":\d+/, '"pid":4194304')],
    ['that end before their process is named', () => ''],
  ])('%s are found', async (_title, edit) => {
    const file = temp.path(restoreJournalName(SESSION.sessionId));
    const journal = await Journal.create(new DiskFolder(path.dirname(file)), path.basename(file), {
      ...SESSION,
      kind: 'restore',
    });
    await journal.keep();
    writeFileSync(file, edit(readFileSync(file, 'utf8')));
    writeFileSync(temp.path('restore.notes.txt'), 'mine');

    const { left } = await restoreJournals(new DiskFolder(temp.path()));

    expect(left.map((record) => record.fileName)).toEqual([path.basename(file)]);
  });

  it.each([
    [
      'of a process in another container',
      (text: string) => text.replace(/"pidNamespace":"[^"]*"/, '"pidNamespace":"pid:[1]"'),
    ],
    ['of a process on another host', (text: string) => text.replace(/"host":"/, '"host":"x')],
    ['whose first line is not understood', (text: string) => `x${text}`],
  ])('%s are not taken for left ones', async (_title, edit) => {
    const file = temp.path(restoreJournalName(SESSION.sessionId));
    const journal = await Journal.create(new DiskFolder(path.dirname(file)), path.basename(file), {
      ...SESSION,
      kind: 'restore',
    });
    await journal.append({ step: 'disk', diskId: 'd1', name: 'a' });
    await journal.keep();
    writeFileSync(file, edit(readFileSync(file, 'utf8')));

    expect(await restoreJournals(new DiskFolder(temp.path()))).toMatchObject({
      left: [],
      unproven: [{ fileName: path.basename(file) }],
    });
  });
});
