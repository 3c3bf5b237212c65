/** Reports of sessions in a store in memory: what is kept, and what reading makes of it. */
import { beforeEach, describe, expect, test } from 'vitest';
import { RepositoryError, UsageError } from '../../../src/core/errors.ts';
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { Repository } from '../../../src/repository/repository.ts';
import { VmFolder } from '../../../src/repository/vmFolder.ts';
import {
  keepReportOf,
  type KeptSession,
  MAX_REPORT_BYTES,
  removeStaleReports,
  startSession,
} from '../../../src/sessions/history/keepReport.ts';
import { listSessionReports } from '../../../src/sessions/history/listReports.ts';
import { readSessionReport } from '../../../src/sessions/history/listReports.ts';
import type { SessionType } from '../../../src/sessions/history/sessionRecord.ts';
import { SessionLog } from '../../../src/sessions/shared/sessionLog.ts';
import { expectCode, messageCodes } from '../../helpers/codes.ts';
import { restorePoint } from '../../helpers/repository/madeUp.ts';
import { type MemoryFolder, MemoryStore } from '../../helpers/repository/memoryStore.ts';

const VM_ID = '00000000-0000-4000-8000-000000000001';

let place: MemoryFolder;
let folder: VmFolder;
let repository: Repository;
beforeEach(() => {
  place = new MemoryStore().folder(`vm.${VM_ID}`);
  folder = new VmFolder(place, 'vm', VM_ID);
  const vms = { vmFolders: async () => [folder], requireVm: async () => folder };
  repository = vms as unknown as Repository;
});

function session(type: SessionType, startedAt = new Date()): KeptSession {
  return { ...startSession(type), startedAt, session: new SessionLog({}, {}) };
}

/** A session that does nothing. */
async function leave(type: SessionType, startedAt?: Date, more: object = {}): Promise<string> {
  const kept = session(type, startedAt);
  await keepReportOf(folder, kept, async () => ({ vmName: 'vm', ...more }));
  return kept.sessionId;
}

async function fail(type: SessionType, error: Error): Promise<void> {
  const work = keepReportOf(folder, session(type), async () => {
    throw error;
  });
  await expect(work).rejects.toBe(error);
}

describe('a session', () => {
  test('leaves its report', async () => {
    const sessionId = await leave('verify', new Date('2026-11-30T01:00:00Z'), { outcome: 'ok' });

    const [record] = await listSessionReports(repository);

    expect(record).toMatchObject({
      type: 'verify',
      outcome: 'ok',
      sessionId,
      vmName: 'vm',
      vmId: VM_ID,
      startedAt: '2026-11-30T01:00:00.000Z',
      report: { vmName: 'vm', outcome: 'ok' },
    });
  });

  test('that fails leaves its error', async () => {
    await fail('backup', new RepositoryError('REPOSITORY_FULL', 'no room', { hint: 'make some' }));

    const [record] = await listSessionReports(repository, { onlyFailed: true });

    const error = { code: 'REPOSITORY_FULL', message: 'no room', hint: 'make some' };
    expect(record).toMatchObject({ type: 'backup', outcome: 'failed', messages: [], ...error });
  });

  test('that did only part of its work counts as failed, and keeps its report', async () => {
    const failure = { code: 'CHAIN_PARENT_MISSING', message: 'm', hint: 'h' } as const;
    const report = { vmName: 'vm', n: 1 };
    await keepReportOf(
      folder,
      session('copy'),
      async () => report,
      () => failure,
    );

    expect(await listSessionReports(repository, { onlyFailed: true })).toMatchObject([
      { type: 'copy', outcome: 'failed', ...failure, report: { n: 1 } },
    ]);
  });

  test.each(['REPOSITORY_UNREACHABLE', 'REPOSITORY_REFUSED'] as const)(
    'that failed with %s does not write once more',
    async (code) => {
      await fail('backup', new RepositoryError(code, 'away'));

      expect(place.files.size).toBe(0);
    },
  );

  test('with a wrong option leaves a report only when it is a backup', async () => {
    await fail('restore', new UsageError('USAGE_NOT_FOUND', 'no such point'));
    await fail('backup', new UsageError('USAGE_NOT_FOUND', 'no such disk'));

    expect(await listSessionReports(repository)).toMatchObject([{ type: 'backup' }]);
  });

  test.each([
    ['REPO-560', new RepositoryError('REPOSITORY_FULL', 'full')],
    ['REPO-561', new RepositoryError('REPOSITORY_REFUSED', 'no right')],
    ['REPO-561', new RepositoryError('REPOSITORY_IO', 'no', { details: { errno: 'EROFS' } })],
  ])('that cannot leave a report goes on with %s', async (code, error) => {
    place.writeShared = () => Promise.reject(error);
    const kept = session('verify');

    const report = await keepReportOf(folder, kept, async () => ({ vmName: 'vm' }));

    expect(report).toEqual({ vmName: 'vm' });
    expect(messageCodes(kept.session)).toEqual([code]);
  });

  test('keeps no report above 8 MiB, and says so', async () => {
    const kept = session('verify');

    await keepReportOf(folder, kept, async () => ({
      vmName: 'vm',
      text: 'x'.repeat(MAX_REPORT_BYTES),
    }));

    expect(messageCodes(kept.session)).toEqual(['REPO-560']);
    expect(place.files.size).toBe(0);
  });
});

function at(minute: number): Date {
  return new Date(Date.UTC(2026, 10, 30, 1, minute));
}

describe('a list of reports', () => {
  test('has the newest ones, newest first', async () => {
    for (const minute of [3, 1, 2, 0]) await leave('verify', at(minute));

    const records = await listSessionReports(repository, { limit: 3 });

    expect(records.map(({ startedAt }) => new Date(startedAt).getUTCMinutes())).toEqual([3, 2, 1]);
  });

  test('has one type', async () => {
    await leave('verify', at(0));
    await leave('prune', at(1));

    expect(await listSessionReports(repository, { type: 'prune' })).toMatchObject([
      { type: 'prune' },
    ]);
  });

  test.each([
    ['no JSON', '{"type":'],
    ['another form', '{"type":"verify","outcome":"ok"}'],
    ['a backup without its disks', undefined],
    ['too many bytes', ' '.repeat(MAX_REPORT_BYTES + 1)],
  ])('tells and leaves out a file with %s', async (_what, text) => {
    await leave('verify', at(0));
    const name = 'session-20261130T020000000Z-backup-00000000.json';
    if (text !== undefined) place.put(name, Buffer.from(text));
    else await leave('backup', at(1), { pointId: 'p' });
    const told: SessionMessage[] = [];

    const records = await listSessionReports(repository, {
      limit: 1,
      onMessage: (message) => told.push(message),
    });

    expect(records).toMatchObject([{ type: 'verify' }]);
    expect(messageCodes({ messages: told })).toEqual(['REPO-562']);
  });

  test('does not hide a place that does not answer', async () => {
    await leave('verify', at(0));
    place.readFile = () => Promise.reject(new RepositoryError('REPOSITORY_UNREACHABLE', 'away'));

    await expectCode(listSessionReports(repository), 'REPOSITORY_UNREACHABLE');
  });
});

describe('one report', () => {
  test('is found by its id, the beginning of that, or as the latest', async () => {
    const older = await leave('verify', new Date(0));
    const newer = await leave('verify');

    const found = [older, newer.slice(0, 8), 'latest'].map((id) =>
      readSessionReport(repository, 'vm', id),
    );

    expect((await Promise.all(found)).map(({ sessionId }) => sessionId)).toEqual([
      older,
      newer,
      newer,
    ]);
    await expectCode(readSessionReport(repository, 'vm', '00000000'), 'USAGE_NOT_FOUND');
  });
});

describe('old reports', () => {
  test('are deleted', async () => {
    await leave('verify', new Date(0));
    await leave('verify');
    const { log } = new SessionLog({}, {});
    const point = restorePoint({ createdAt: new Date(1_000_000).toISOString() });

    await removeStaleReports(folder, [], log);
    expect(place.files.size).toBe(2);
    await removeStaleReports(folder, [point], log);

    expect(place.files.size).toBe(1);
  });

  test('that cannot be deleted do not fail a prune', async () => {
    place.fileNames = () => Promise.reject(new RepositoryError('REPOSITORY_IO', 'no'));
    const { log } = new SessionLog({}, {});

    await expect(removeStaleReports(folder, [restorePoint({})], log)).resolves.toBeUndefined();
  });
});
