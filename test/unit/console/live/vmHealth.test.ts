/** When a VM is good, late or bad. */
import { describe, expect, it } from 'vitest';
import { healthOf, lateBefore } from '../../../../src/console/live/vmHealth.ts';
import type { VmState } from '../../../../src/jobs/jobState.ts';
import type { Scheduled } from '../../../../src/jobs/schedule/schedule.ts';

const NIGHTLY: Scheduled = { schedule: '0 1 * * *', timezone: 'UTC', windowUntil: undefined };
const LONG_AGO = Date.parse('2020-01-01T00:00:00Z');

function lateTime(job: Scheduled, now: string, since = LONG_AGO): string | undefined {
  const ms = lateBefore(job, since, Date.parse(now));
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

describe('a point is late', () => {
  it.each([
    [
      'without a window when a whole period has passed',
      NIGHTLY,
      '2026-05-03T00:59:00Z',
      '2026-05-01',
    ],
    ['and the next time has come', NIGHTLY, '2026-05-03T01:00:00Z', '2026-05-02'],
    [
      'not while the window is open',
      { ...NIGHTLY, windowUntil: '06:00' },
      '2026-05-03T05:59:00Z',
      '2026-05-02',
    ],
    [
      'when the window has ended',
      { ...NIGHTLY, windowUntil: '06:00' },
      '2026-05-03T06:00:00Z',
      '2026-05-03',
    ],
  ])('%s', (_, job, now, day) => {
    expect(lateTime(job, now)).toBe(`${day}T01:00:00.000Z`);
  });

  it('also by a rare and by a frequent schedule', () => {
    expect(lateTime({ ...NIGHTLY, schedule: '0 1 1 1 *' }, '2026-05-03T05:59:00Z')).toBe(
      '2025-01-01T01:00:00.000Z',
    );
    expect(lateTime({ ...NIGHTLY, schedule: '* * * * *' }, '2026-05-03T05:59:30Z')).toBe(
      '2026-05-03T05:58:00.000Z',
    );
  });

  it('not without a schedule, and not by times before it was watched', () => {
    expect(lateTime({ ...NIGHTLY, schedule: undefined }, '2026-05-03T00:59:00Z')).toBeUndefined();
    const since = Date.parse('2026-05-02T12:00:00Z');
    expect(lateTime(NIGHTLY, '2026-05-03T05:00:00Z', since)).toBeUndefined();
  });
});

describe('the health of a VM', () => {
  const late = Date.parse('2026-05-02T01:00:00Z');
  const good: VmState = {
    vmName: 'web',
    vmId: '1',
    lastOutcome: 'success',
    lastSuccessAt: '2026-05-02T01:20:00.000Z',
  };

  it.each([
    ['good', good],
    ['warning', { ...good, lastOutcome: 'warning' as const }],
    ['warning', { ...good, lastOutcome: 'notStarted' as const }],
    ['late', { ...good, lastSuccessAt: '2026-05-01T01:20:00.000Z' }],
    [
      'late',
      { ...good, lastOutcome: 'warning' as const, lastSuccessAt: '2026-05-01T01:20:00.000Z' },
    ],
    ['failed', { ...good, lastOutcome: 'failure' as const }],
    ['failed', { ...good, lastOutcome: 'failure' as const, lastSuccessAt: undefined }],
    ['never', { ...good, lastOutcome: 'notStarted' as const, lastSuccessAt: undefined }],
    ['damaged', { ...good, lastOutcome: 'failure' as const, isDamaged: true }],
  ])('is %s', (health, vm) => {
    expect(healthOf(vm, late)).toBe(health);
  });

  it('is never late without a schedule', () => {
    expect(healthOf({ ...good, lastSuccessAt: '2001-01-01T00:00:00.000Z' }, undefined)).toBe(
      'good',
    );
  });
});
