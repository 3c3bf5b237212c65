/** Reports of runs: the newest of each job are kept, and damaged ones are told. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { SessionMessage } from '../../../src/core/messages.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import {
  listRunReports,
  MAX_RUN_REPORTS,
  readRunReport,
  saveRunReport,
} from '../../../src/jobs/runReports.ts';
import { expectCode, messageCodes } from '../../helpers/codes.ts';
import { MemoryStore } from '../../helpers/repository/memoryStore.ts';

let store: MemoryStore;
beforeEach(() => {
  store = new MemoryStore();
});

let runCount = 0;
function run(minute: number, more: Partial<RunReport> = {}): RunReport {
  return {
    type: 'run',
    runId: `${String(runCount++).padStart(8, '0')}-0000-4000-8000-000000000000`,
    jobName: 'nightly',
    repository: 'memory',
    trigger: 'command',
    startedAt: new Date(Date.UTC(2026, 10, 30, 1, minute)).toISOString(),
    durationSeconds: 1,
    outcome: 'success',
    vms: [],
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [],
    messages: [],
    ...more,
  };
}

describe('run reports', () => {
  test('are none in a repository without runs', async () => {
    expect(await listRunReports({ store })).toEqual([]);
  });

  test('come back as they were, newest first', async () => {
    const failure = { vmName: 'web01', code: 'ENGINE_BUSY', message: 'm', hint: 'h' } as const;
    const vm = { vmName: 'web01', vmId: 'x', outcome: 'failure', attempts: 2, failure } as const;
    const [older, newer] = [run(1, { outcome: 'failure', vms: [vm] }), run(2)];
    await saveRunReport({ store }, newer);
    await saveRunReport({ store }, older);

    expect(await listRunReports({ store })).toEqual([newer, older]);
    expect(await listRunReports({ store }, { onlyFailed: true, limit: 1 })).toEqual([older]);
    expect(await readRunReport({ store }, 'nightly')).toEqual(newer);
    expect(await readRunReport({ store }, 'nightly', older.runId.slice(0, 8))).toEqual(older);
    await expectCode(readRunReport({ store }, 'weekly'), 'USAGE_NOT_FOUND');
  });

  test('of other jobs stay apart, also with a name that begins the same', async () => {
    const long = run(1, { jobName: 'nightly-20261130T010000000Z' });
    await saveRunReport({ store }, long);
    await saveRunReport({ store }, run(2));

    expect(await listRunReports({ store }, { job: long.jobName })).toEqual([long]);
    expect(await listRunReports({ store }, { job: 'nightly' })).toHaveLength(1);
  });

  test('are the newest 400 of each job', async () => {
    const other = run(0, { jobName: 'weekly' });
    await saveRunReport({ store }, other);
    const runs = Array.from({ length: MAX_RUN_REPORTS + 2 }, (_, minute) => run(minute));
    for (const report of runs) await saveRunReport({ store }, report);

    const kept = await listRunReports({ store }, { job: 'nightly', limit: 1000 });

    expect(kept.map(({ runId }) => runId)).toEqual(
      runs
        .slice(2)
        .map(({ runId }) => runId)
        .toReversed(),
    );
    expect(await listRunReports({ store }, { job: 'weekly' })).toEqual([other]);
  });

  test('that are damaged are told and left out', async () => {
    await saveRunReport({ store }, run(1));
    const damaged = JSON.stringify({ ...run(2), vms: [{ vmName: 'web01' }] });
    store.folder('runs').put('nightly-20261130T010200000Z-0000000a.json', Buffer.from(damaged));
    const told: SessionMessage[] = [];
    const onMessage = (message: SessionMessage): void => void told.push(message);

    expect(await listRunReports({ store }, { onMessage })).toHaveLength(1);
    expect(messageCodes({ messages: told })).toEqual(['REPO-562']);
  });
});
