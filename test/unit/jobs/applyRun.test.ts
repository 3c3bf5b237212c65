/** State of a job after a run. */
import { describe, expect, it } from 'vitest';
import type { JobState, VmState } from '../../../src/jobs/jobState.ts';
import type { RunReport, VmResult } from '../../../src/jobs/runReport.ts';
import {
  addDoneVm,
  addMissedSlots,
  applyRun,
  newState,
  openRunOf,
} from '../../../src/jobs/state/applyRun.ts';
import { formatState, parseState } from '../../../src/jobs/state/stateFile.ts';
import type { SessionReport } from '../../../src/sessions/shared/report.ts';

const ENDED = new Date('2026-05-02T01:30:00Z');

function session(vmName: string, readBytes: number): SessionReport {
  const disk = { readBytes, storedBytes: readBytes / 2 };
  return {
    vmName,
    startedAt: '2026-05-02T01:00:00.000Z',
    durationSeconds: 90,
    pointType: 'increment',
    disks: [disk, disk],
  } as unknown as SessionReport;
}

function done(vmName: string, vmId: string): VmResult {
  return { vmName, vmId, outcome: 'success', attempts: 1, report: session(vmName, 1000) };
}

function failed(vmName: string, vmId: string): VmResult {
  return { vmName, vmId, outcome: 'failure', attempts: 2 };
}

function report(vms: readonly VmResult[], fields: Partial<RunReport> = {}): RunReport {
  return {
    type: 'run',
    runId: 'run-1',
    jobName: 'nightly',
    repository: '/backup',
    trigger: 'schedule',
    startedAt: '2026-05-02T01:00:00.000Z',
    durationSeconds: 1800,
    outcome: 'success',
    vms,
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [],
    messages: [],
    ...fields,
  };
}

function vm(vmName: string, vmId: string, fields: Partial<VmState> = {}): VmState {
  return { vmName, vmId, lastOutcome: 'success', ...fields };
}

function stateWith(vms: readonly VmState[]): JobState {
  return { ...newState('nightly'), vms };
}

describe('the state after a run', () => {
  it('has the numbers of each VM, sorted by name', () => {
    const state = applyRun(newState('nightly'), report([done('web', 'w'), done('db', 'd')]), ENDED);

    expect(state.vms).toEqual([
      {
        vmName: 'db',
        vmId: 'd',
        lastOutcome: 'success',
        lastSuccessAt: '2026-05-02T01:01:30.000Z',
        lastDurationSeconds: 90,
        lastReadBytes: 2000,
        lastStoredBytes: 1000,
        lastPointType: 'increment',
      },
      expect.objectContaining({ vmName: 'web' }),
    ]);
    expect(state.lastSuccessAt).toBe(ENDED.toISOString());
    expect(state.lastRun).toEqual({
      runId: 'run-1',
      startedAt: '2026-05-02T01:00:00.000Z',
      endedAt: ENDED.toISOString(),
      outcome: 'success',
    });
  });

  it('keeps the last success of a VM and of a job that failed', () => {
    const lastSuccessAt = '2026-05-01T01:00:00.000Z';
    const before = { ...stateWith([vm('web', 'w', { lastSuccessAt })]), lastSuccessAt };
    const state = applyRun(before, report([failed('web', 'w')], { outcome: 'failure' }), ENDED);

    expect(state.vms).toEqual([vm('web', 'w', { lastSuccessAt, lastOutcome: 'failure' })]);
    expect(state.lastSuccessAt).toBe(lastSuccessAt);
    expect(state.lastRun?.outcome).toBe('failure');
  });

  it('has the lock of the newest point only', () => {
    const lockedUntil = '2026-06-01T01:00:00.000Z';
    const first = done('web', 'w');
    const locked = { ...first, report: { ...session('web', 1), lockedUntil } };
    const before = applyRun(newState('nightly'), report([locked]), ENDED);

    expect(before.vms[0]?.lockedUntil).toBe(lockedUntil);
    expect(applyRun(before, report([first]), ENDED).vms[0]?.lockedUntil).toBeUndefined();
  });

  it('forgets VMs that vanished, and no others', () => {
    const before = stateWith([vm('db', 'd'), vm('old', 'o'), vm('web', 'w')]);
    const state = applyRun(before, report([done('web', 'w')], { vanishedVms: ['old'] }), ENDED);

    expect(state.vms.map(({ vmName }) => vmName)).toEqual(['db', 'web']);
  });

  it('knows a VM by its id after it was renamed, and by its name where it has no id', () => {
    const before = stateWith([vm('db', 'd', { isDamaged: true }), vm('web', 'w')]);
    const state = applyRun(before, report([done('db2', 'd'), failed('web', '')]), ENDED);

    expect(state.vms).toMatchObject([
      { vmName: 'db2', vmId: 'd', isDamaged: true },
      { vmName: 'web', vmId: 'w', lastOutcome: 'failure' },
    ]);
  });

  it('has the damage that verify found, until verify finds none', () => {
    const verify = {
      outcome: 'damaged',
      damageCount: 1,
      damagedVms: ['web'],
      readBytes: 1,
      durationSeconds: 1,
      failures: [],
    } as const;
    const vms = [done('db', 'd'), done('web', 'w')];
    const damaged = applyRun(newState('nightly'), report(vms, { verify }), ENDED);
    const later = applyRun(damaged, report(vms), ENDED);
    const healed = applyRun(later, report(vms, { verify: { ...verify, damagedVms: [] } }), ENDED);

    expect(damaged.vms.map((one) => one.isDamaged)).toEqual([false, true]);
    expect(later.vms.map((one) => one.isDamaged)).toEqual([false, true]);
    expect(healed.vms.map((one) => one.isDamaged)).toEqual([false, false]);
  });

  it('keeps lock and damage of VMs that the run or its verify did not touch', () => {
    const lockedUntil = '2026-06-01T01:00:00.000Z';
    const known = { lastSuccessAt: '2026-05-01T01:00:00.000Z', lockedUntil, isDamaged: true };
    const before = stateWith([vm('bad', 'b', known), vm('idle', 'i', known), vm('web', 'w')]);
    const notStarted = { vmName: 'bad', vmId: 'b', outcome: 'notStarted', attempts: 0 } as const;
    const fields = { outcome: 'failure' } as const;

    const failedState = applyRun(before, report([failed('bad', 'b')], fields), ENDED);
    const laterState = applyRun(failedState, report([notStarted], fields), ENDED);

    expect(failedState.vms[0]).toMatchObject({ lastOutcome: 'failure', ...known });
    expect(laterState.vms[0]).toMatchObject({ lastOutcome: 'notStarted', ...known });
    expect(laterState.vms.slice(1)).toEqual(before.vms.slice(1));
  });

  it('has the result of verify also for a VM whose session failed', () => {
    const verify = {
      outcome: 'ok',
      damageCount: 0,
      damagedVms: [],
      readBytes: 1,
      durationSeconds: 1,
      failures: [],
    } as const;
    const failure = { folder: 'x', code: 'REPOSITORY_IO', message: '', hint: '' } as const;
    const lastSuccessAt = '2026-05-01T01:00:00.000Z';
    const before = stateWith([vm('bad', 'b', { lastSuccessAt, isDamaged: true })]);
    const after = (checked: RunReport['verify']): boolean | undefined =>
      applyRun(before, report([failed('bad', 'b')], { verify: checked }), ENDED).vms[0]?.isDamaged;

    expect(after(verify)).toBe(false);
    expect(after({ ...verify, failures: [failure] })).toBe(true);
    expect(after(undefined)).toBe(true);
  });

  it('has no open run any more, unless another one is open', () => {
    const open = { runId: 'run-1', startedAt: ENDED.toISOString(), doneVms: [] };
    const before = openRunOf(newState('nightly'), open);

    expect(applyRun(before, report([]), ENDED).openRun).toBeUndefined();
    expect(applyRun(before, report([], { runId: 'other' }), ENDED).openRun).toEqual(open);
  });
});

describe('an open run', () => {
  const slot = '2026-05-02T01:00:00.000Z';
  const open = { runId: 'run-1', startedAt: slot, slot, doneVms: [] };

  it('takes its slot, and never goes back to an older one', () => {
    const state = openRunOf(newState('nightly'), open);

    expect(state.lastSlot).toBe(slot);
    expect(openRunOf(state, { ...open, slot: '2026-05-01T01:00:00.000Z' }).lastSlot).toBe(slot);
  });

  it('collects its VMs once each, and none of other runs', () => {
    const state = openRunOf(newState('nightly'), open);
    const one = addDoneVm(addDoneVm(state, 'run-1', 'a'), 'run-1', 'a');

    expect(one.openRun?.doneVms).toEqual(['a']);
    expect(addDoneVm(one, 'run-0', 'b')).toBe(one);
    expect(addDoneVm(newState('nightly'), 'run-1', 'b').openRun).toBeUndefined();
  });
});

describe('a report with odd values', () => {
  const session = done('db01', 'id-1').report;

  it.each([
    [{ durationSeconds: -5 }],
    [{ durationSeconds: 1e300 }],
    [{ startedAt: '+275760-09-13T00:00:00.000Z' }],
    [{ lockedUntil: 'tomorrow' }],
    [{ disks: [{ readBytes: -1, storedBytes: NaN }] }],
  ])('%j leaves a state that can be read again', (values) => {
    const odd = { ...session, ...values } as unknown as SessionReport;
    const state = applyRun(
      newState('nightly'),
      report([{ ...done('db01', 'id-1'), report: odd }]),
      ENDED,
    );

    expect(parseState(formatState(state), 'nightly').vms).toHaveLength(1);
  });

  it('of a VM with a very long name, too', () => {
    const vm = failed('x'.repeat(5000), 'id-1');
    const state = applyRun(newState('nightly'), report([vm]), ENDED);

    expect(parseState(formatState(state), 'nightly').vms[0]?.vmId).toBe('id-1');
  });
});

describe('missed slots', () => {
  it('are counted, and the newest is the last slot', () => {
    const slots = [new Date('2026-05-03T01:00:00Z'), new Date('2026-05-02T01:00:00Z')];
    const state = addMissedSlots(addMissedSlots(newState('nightly'), slots), []);

    expect(state.missedSlots).toBe(2);
    expect(state.lastSlot).toBe('2026-05-03T01:00:00.000Z');
  });
});
