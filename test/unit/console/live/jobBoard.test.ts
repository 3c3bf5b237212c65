/** Rows of jobs and VMs, from states that are read no more often than they change. */
import { describe, expect, it } from 'vitest';
import type { ConsoleEvent } from '../../../../src/console/contract.ts';
import { ConsoleEvents } from '../../../../src/console/live/events.ts';
import { JobBoard } from '../../../../src/console/live/jobBoard.ts';
import { silentLogger } from '../../../../src/core/log.ts';
import type { JobPlace } from '../../../../src/jobs/daemon/parts.ts';
import type { JobConfig } from '../../../../src/jobs/jobFile.ts';
import type { JobState, VmState } from '../../../../src/jobs/jobState.ts';
import type { VmResult } from '../../../../src/jobs/runReport.ts';
import { newState } from '../../../../src/jobs/state/applyRun.ts';
import type { SessionReport } from '../../../../src/sessions/shared/report.ts';

const JOB = {
  name: 'nightly',
  engine: { name: 'prod' },
  repository: { name: 'main', place: '/backup' },
  schedule: '0 1 * * *',
  timezone: 'UTC',
} as JobConfig;
const NOON = Date.parse('2026-05-02T12:00:00Z');

function vmState(k: number): VmState {
  return {
    vmName: `vm${k}`,
    vmId: `id${k}`,
    lastOutcome: 'success',
    lastSuccessAt: '2026-05-02T01:10:00.000Z',
  };
}

function done(vmId: string, vmName: string): VmResult {
  const report = {
    startedAt: '2026-05-02T11:00:00.000Z',
    durationSeconds: 60,
    pointType: 'increment',
    disks: [{ readBytes: 10, storedBytes: 5 }],
  } as unknown as SessionReport;
  return { vmId, vmName, outcome: 'success', attempts: 1, report };
}

function world(vms: readonly VmState[]) {
  const since = '2026-01-01T00:00:00.000Z';
  const watched = { schedule: '0 1 * * * UTC', since };
  const now = { ms: NOON };
  const kept = { state: { ...newState('nightly'), watched, vms } as JobState, reads: 0 };
  const states = {
    readAll: async () => {
      kept.reads++;
      return await Promise.resolve([kept.state]);
    },
  };
  const place = { file: { jobs: new Map([['nightly', JOB]]) }, states } as unknown as JobPlace;
  const told: ConsoleEvent[] = [];
  const events = new ConsoleEvents(silentLogger);
  events.subscribe((event) => told.push(event));
  const jobs = [{ name: 'nightly', isRunning: true, runId: 'run-1', next: 'tomorrow' }];
  const board = new JobBoard({
    daemon: () => ({ place, health: { isAlive: true, jobs } }),
    events,
    nowMs: () => now.ms,
    sessionOf: (_, key) => (key === 'id1' ? 'session-1' : undefined),
  });
  return { board, kept, now, told };
}

describe('the rows of 2000 VMs', () => {
  it('are made from one read of the states in ten seconds', async () => {
    const { board, kept, now } = world(Array.from({ length: 2000 }, (_, k) => vmState(k)));
    const [rows] = await Promise.all([board.vms(), board.vms(), board.jobs()]);

    expect(rows).toHaveLength(2000);
    expect(rows[1]).toEqual({
      jobName: 'nightly',
      vmKey: 'id1',
      vmName: 'vm1',
      health: 'good',
      lastOutcome: 'success',
      lastSuccessAt: '2026-05-02T01:10:00.000Z',
      sessionId: 'session-1',
    });
    await board.requireVm('nightly', 'id1999');
    expect(kept.reads).toBe(1);
    now.ms += 11_000;
    await board.vms();
    expect(kept.reads).toBe(2);
  });
});

describe('a run that goes on', () => {
  it('changes the row of each VM when its session has ended', async () => {
    const { board, told } = world([vmState(1), { ...vmState(2), vmId: '' }]);
    await board.vms();
    board.onResult('nightly', done('id1', 'vm1'));
    board.onResult('nightly', done('id2', 'vm2'));
    board.onResult('nightly', { ...done('id3', 'new'), outcome: 'failure', report: undefined });

    expect(told).toMatchObject([
      { vm: { vmKey: 'id1', lastReadBytes: 10, lastStoredBytes: 5 } },
      { vm: { vmKey: 'id2', lastSuccessAt: '2026-05-02T11:01:00.000Z' } },
      { vm: { vmKey: 'id3', health: 'failed' } },
    ]);
    const keys = (await board.vms()).map(({ vmKey }) => vmKey);
    expect(keys).toEqual(['id1', 'id2', 'id3']);
    expect((await board.job('nightly')).vmCount).toBe(3);
  });

  it('at its end tells the VMs whose rows have changed, and its job', async () => {
    const { board, kept, told } = world([vmState(1), vmState(2)]);
    await board.vms();
    board.onResult('nightly', done('id3', 'new'));
    const damaged = { ...vmState(2), isDamaged: true };
    kept.state = { ...kept.state, vms: [vmState(1), damaged] };
    told.length = 0;
    await board.onRun({ type: 'ended', jobName: 'nightly', runId: 'run-1' });

    expect(told).toMatchObject([
      { type: 'vm', vm: { vmKey: 'id2', health: 'damaged' } },
      { type: 'job', job: { name: 'nightly', runId: 'run-1', next: 'tomorrow' } },
    ]);
    expect((await board.vms()).map(({ vmKey }) => vmKey)).toEqual(['id1', 'id2']);
  });
});

describe('a job or a VM that there is not', () => {
  it('is told', async () => {
    const { board } = world([vmState(1)]);

    await expect(board.requireVm('nightly', 'vm1')).rejects.toMatchObject({
      code: 'USAGE_NOT_FOUND',
    });
    await expect(board.requireVm('weekly', 'id1')).rejects.toMatchObject({
      code: 'USAGE_NOT_FOUND',
    });
  });
});
