/** Outcome and exit code of a run. */
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../../src/core/errors.ts';
import { sessionMessage } from '../../../../src/core/messages.ts';
import { concluded, exitCodeOfRun, outcomeOf } from '../../../../src/jobs/run/outcome.ts';
import type { FailedStep, RunReport, VmResult } from '../../../../src/jobs/runReport.ts';
import { failedVm, goodVm, pruneOf, runOf, verifyOf } from '../../../helpers/jobs/runs.ts';

const NOT_STARTED: VmResult = { vmName: 'x', vmId: '1', outcome: 'notStarted', attempts: 0 };
const WARN = sessionMessage('JOB-610', { pattern: 'x' });
const ERROR = sessionMessage('XFER-306', {});

function stepOf(step: FailedStep['step'], code: string): FailedStep {
  return { step, code, message: 'it failed', hint: 'correct it' };
}

function judged(parts: Partial<RunReport>): RunReport {
  const report = { ...runOf('success', { vms: [goodVm('a')] }), ...parts };
  return { ...report, outcome: outcomeOf(report) };
}

function warned(message: typeof WARN): VmResult {
  const vm = goodVm('a');
  const report = vm.report && { ...vm.report, messages: [message] };
  return { ...vm, outcome: 'warning', report };
}

const CASES: readonly [what: string, Partial<RunReport>, RunReport['outcome'], number][] = [
  ['all VMs done', {}, 'success', 0],
  ['a warning of a session', { vms: [warned(WARN)] }, 'warning', 0],
  ['an error of a session that made its point', { vms: [warned(ERROR)] }, 'warning', 3],
  ['a warning of the run', { messages: [WARN] }, 'warning', 0],
  ['a warning of a prune', { prune: pruneOf(WARN) }, 'warning', 0],
  ['an error of a verify', { verify: verifyOf({ messages: [ERROR] }) }, 'warning', 3],
  ['damage', { verify: verifyOf({ outcome: 'damaged' }) }, 'failure', 3],
  ['one VM failed', { vms: [goodVm('a'), failedVm('b')] }, 'failure', 3],
  ['one VM was not started', { vms: [goodVm('a'), NOT_STARTED] }, 'failure', 3],
  ['all VMs failed', { vms: [failedVm('a'), NOT_STARTED] }, 'failure', 1],
  ['prune failed', { failedSteps: [stepOf('prune', 'REPOSITORY_IO')] }, 'failure', 3],
  [
    'the login was refused',
    { vms: [], failedSteps: [stepOf('plan', 'ENGINE_AUTH_REFUSED')] },
    'failure',
    EXIT_CODES.authRefused,
  ],
  [
    'the engine was away',
    { vms: [], failedSteps: [stepOf('plan', 'ENGINE_UNREACHABLE')] },
    'failure',
    EXIT_CODES.unreachable,
  ],
  [
    'the selection fits nothing',
    { vms: [], failedSteps: [stepOf('plan', 'USAGE_NOT_FOUND')] },
    'failure',
    EXIT_CODES.failed,
  ],
  [
    'a hook before the run failed',
    { vms: [], failedSteps: [stepOf('hook', 'HOOK_FAILED')] },
    'failure',
    EXIT_CODES.failed,
  ],
  [
    'verify found damage',
    {
      verify: {
        outcome: 'damaged',
        damageCount: 1,
        damagedVms: ['a'],
        readBytes: 1,
        durationSeconds: 1,
        failures: [],
      },
    },
    'failure',
    3,
  ],
];

describe('a run', () => {
  it.each(CASES)('with this end: %s', (_what, parts, outcome, exitCode) => {
    const report = judged(parts);

    expect([report.outcome, exitCodeOfRun(report, false)]).toEqual([outcome, exitCode]);
  });

  it('with warnings fails when the job is strict', () => {
    expect(exitCodeOfRun(judged({ vms: [warned(WARN)] }), true)).toBe(3);
    expect(exitCodeOfRun(judged({}), true)).toBe(0);
  });
});

describe('messages that a job accepts', () => {
  it('are notes, and make neither the VM nor the run a warning', () => {
    const report = runOf('warning', { vms: [warned(WARN)], messages: [WARN] });

    const judged = concluded(report, [WARN.code]);

    expect([judged.outcome, judged.vms[0]?.outcome]).toEqual(['success', 'success']);
    expect(judged.messages).toEqual([{ ...WARN, level: 'info' }]);
    expect(judged.vms[0]?.report?.messages).toEqual([{ ...WARN, level: 'info' }]);
    expect(exitCodeOfRun(judged, true)).toBe(EXIT_CODES.done);
  });

  it('hide no other message and no error', () => {
    const judged = concluded(runOf('warning', { vms: [warned(ERROR)] }), [ERROR.code, WARN.code]);

    expect([judged.outcome, judged.vms[0]?.outcome]).toEqual(['warning', 'warning']);
    expect(exitCodeOfRun(judged, false)).toBe(EXIT_CODES.doneWithProblems);
  });
});
