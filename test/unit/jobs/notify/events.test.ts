import { describe, expect, it } from 'vitest';
import { runEvent } from '../../../../src/jobs/notify/events.ts';
import type { NotifyEvent } from '../../../../src/jobs/jobFile.ts';
import type { RunOutcome } from '../../../../src/jobs/runReport.ts';
import { stateAfter } from '../../../helpers/jobs/runs.ts';

const ALL: readonly NotifyEvent[] = ['failure', 'warning', 'success', 'recovered', 'missed'];
const BAD = stateAfter('failure');
const GOOD = stateAfter('success');

describe('the event of a run', () => {
  it.each([
    ['failure', GOOD, 'failure'],
    ['failure', BAD, 'failure'],
    ['warning', GOOD, 'warning'],
    ['warning', BAD, 'warning'],
    ['success', GOOD, 'success'],
    ['success', BAD, 'recovered'],
    ['success', stateAfter('warning'), 'success'],
    ['success', undefined, 'success'],
  ] as const)('that ends with %s is told to those who want all', (outcome, previous, event) => {
    expect(runEvent(ALL, { outcome }, previous)).toBe(event);
  });

  it('is recovered to those who want no warnings', () => {
    expect(runEvent(['failure', 'recovered'], { outcome: 'warning' }, BAD)).toBe('recovered');
  });

  it('of some VMs is a failure or a warning, and nothing else', () => {
    const eventOf = (outcome: RunOutcome) => runEvent(ALL, { outcome, isPartial: true }, BAD);

    expect(eventOf('failure')).toBe('failure');
    expect(eventOf('warning')).toBe('warning');
    expect(eventOf('success')).toBeUndefined();
    expect(runEvent(['recovered'], { outcome: 'warning', isPartial: true }, BAD)).toBeUndefined();
  });

  it('is a success to those who do not want to know of a recovery', () => {
    expect(runEvent(['success'], { outcome: 'success' }, BAD)).toBe('success');
  });

  it.each([
    [['failure', 'recovered'], 'success', GOOD],
    [['success'], 'failure', GOOD],
    [['failure', 'warning', 'missed'], 'success', BAD],
    [['missed'], 'failure', undefined],
    [[], 'failure', undefined],
  ] as const)('is none for %j when a run ends with %s', (wanted, outcome, previous) => {
    expect(runEvent(wanted, { outcome }, previous)).toBeUndefined();
  });
});
