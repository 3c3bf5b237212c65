/** Metrics as text. That Prometheus reads it, promtool.slow.test.ts shows. */
import { describe, expect, it } from 'vitest';
import type { JobState } from '../../../../src/jobs/jobState.ts';
import { formatMetrics } from '../../../../src/jobs/metrics/formatMetrics.ts';
import { samplesOf } from '../../../helpers/jobs/prometheus.ts';
import { FULL_STATE as FULL, stateAfter, VM_STATE as VM } from '../../../helpers/jobs/runs.ts';

const NOW = new Date('2026-03-02T02:00:00.000Z');
const STARTED = Date.parse('2026-03-02T01:00:00.000Z') / 1000;
const SECONDS = Date.parse('2026-03-01T01:20:00.000Z') / 1000;

function valueOf(states: readonly JobState[], series: string): number | undefined {
  return samplesOf(formatMetrics(states, NOW)).get(series);
}

describe('metrics', () => {
  it.each([
    ['last_run_timestamp_seconds{backup_job="nightly"}', SECONDS],
    ['last_run_success{backup_job="nightly"}', 1],
    ['last_run_duration_seconds{backup_job="nightly"}', 1200],
    ['last_run_outcome{backup_job="nightly",outcome="warning"}', 1],
    ['last_run_outcome{backup_job="nightly",outcome="success"}', 0],
    ['last_run_outcome{backup_job="nightly",outcome="failure"}', 0],
    ['job_last_success_timestamp_seconds{backup_job="nightly"}', SECONDS],
    ['run_in_progress{backup_job="nightly"}', 1],
    ['run_started_timestamp_seconds{backup_job="nightly"}', STARTED],
    ['missed_slots_total{backup_job="nightly"}', 3],
    ['notification_failures_total{backup_job="nightly"}', 2],
    ['last_success_timestamp_seconds{backup_job="nightly",vm="web01",vm_id="id-1"}', SECONDS],
    ['vm_last_duration_seconds{backup_job="nightly",vm="web01",vm_id="id-1"}', 61.5],
    ['vm_last_read_bytes{backup_job="nightly",vm="web01",vm_id="id-1"}', 1 << 30],
    ['vm_last_stored_bytes{backup_job="nightly",vm="web01",vm_id="id-1"}', 1 << 29],
    ['vm_last_point_full{backup_job="nightly",vm="web01",vm_id="id-1"}', 0],
    ['vm_damaged{backup_job="nightly",vm="web01",vm_id="id-1"}', 0],
    [
      'vm_locked_until_timestamp_seconds{backup_job="nightly",vm="web01",vm_id="id-1"}',
      SECONDS + 30 * 86_400,
    ],
    ['vm_last_outcome{backup_job="nightly",vm="web01",vm_id="id-1",outcome="success"}', 1],
    ['vm_last_outcome{backup_job="nightly",vm="new",vm_id="",outcome="notStarted"}', 1],
    ['metrics_timestamp_seconds', NOW.getTime() / 1000],
  ])('have %s', (series, value) => {
    expect(valueOf([FULL], `ovirt_cbt_${series}`)).toBe(value);
  });

  it('leave out what is not known', () => {
    const names = [...samplesOf(formatMetrics([FULL], NOW)).keys()].filter((series) =>
      series.includes('vm="new"'),
    );

    expect(new Set(names.map((series) => series.split('{')[0]))).toEqual(
      new Set(['ovirt_cbt_vm_last_outcome']),
    );
  });

  it.each([
    ['failure', 0],
    ['warning', 1],
    ['success', 1],
  ] as const)('have the last run with outcome %s as %d', (outcome, value) => {
    expect(valueOf([stateAfter(outcome)], 'ovirt_cbt_last_run_success{backup_job="nightly"}')).toBe(
      value,
    );
  });

  it('have no run in progress between two runs', () => {
    const text = formatMetrics([stateAfter('success')], NOW);

    expect(samplesOf(text).get('ovirt_cbt_run_in_progress{backup_job="nightly"}')).toBe(0);
    expect(text).not.toContain('run_started_timestamp');
  });

  it('have the counters of a job that has not run yet', () => {
    const states = [stateAfter('success', { lastRun: undefined })];

    expect(valueOf(states, 'ovirt_cbt_missed_slots_total{backup_job="nightly"}')).toBe(0);
    expect(formatMetrics(states, NOW)).not.toContain('last_run');
  });

  it('escape what names hold', () => {
    const vm = { ...VM, vmName: 'a"b\\c\nd é \uD800' };
    const text = formatMetrics([stateAfter('success', { vms: [vm] })], NOW);

    expect(text).toContain('vm="a\\"b\\\\c\\nd é \uFFFD"');
  });

  it('have each series once, also when a state names a VM twice', () => {
    const text = formatMetrics([stateAfter('success', { vms: [VM, VM] })], NOW);
    const series = text.split('\n').filter((line) => !line.startsWith('#'));

    expect(series).toHaveLength(new Set(series).size);
  });

  it('leave out a time that is none', () => {
    const vm = { ...VM, lastSuccessAt: 'yesterday' };

    expect(formatMetrics([stateAfter('success', { vms: [vm] })], NOW)).not.toContain('NaN');
  });

  it('have jobs in the order of their names', () => {
    const other = stateAfter('success', { jobName: 'archive' });

    expect(formatMetrics([FULL, other], NOW)).toBe(formatMetrics([other, FULL], NOW));
  });
});
