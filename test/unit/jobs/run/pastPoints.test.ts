/** What a job knows of restore points when its repository is gone. */
import { expect, it } from 'vitest';
import type { JobState } from '../../../../src/jobs/jobState.ts';
import { requireNoPast } from '../../../../src/jobs/run/pastPoints.ts';
import { newState } from '../../../../src/jobs/state/applyRun.ts';

const AT = '2026-03-02T01:00:00.000Z';
const JOB = {
  name: 'nightly',
  repository: {
    name: 'main',
    place: '/backup',
    key: undefined,
    cache: undefined,
    immutable: undefined,
    noLock: false,
  },
};
const VM = { vmName: 'web01', vmId: '1', lastOutcome: 'failure' } as const;

function check(more: Partial<JobState>): void {
  requireNoPast(JOB, { ...newState('nightly'), ...more });
}

it.each([
  ['a VM with a point', { vms: [{ ...VM, lastSuccessAt: AT }] }],
  ['a good run', { lastSuccessAt: AT }],
  ['a run that is to continue', { openRun: { runId: 'r', startedAt: AT, doneVms: ['1'] } }],
])('a job with %s gets no new repository', (_, more) => {
  expect(() => check(more)).toThrow('/backup: the repository of earlier runs is gone');
});

it.each([
  ['nothing', {}],
  ['a VM that only failed', { vms: [VM] }],
  ['a run that has done nothing', { openRun: { runId: 'r', startedAt: AT, doneVms: [] } }],
])('a job with %s gets one', (_, more) => {
  expect(() => check(more)).not.toThrow();
});
