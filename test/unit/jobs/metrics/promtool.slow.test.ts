/** Prometheus itself reads metrics, alerts and the expressions of the dashboard. */
import { writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { JobState } from '../../../../src/jobs/jobState.ts';
import { formatMetrics } from '../../../../src/jobs/metrics/formatMetrics.ts';
import {
  expressionsOf,
  promtool,
  promtoolProblem,
  readDashboard,
} from '../../../helpers/jobs/prometheus.ts';
import { FULL_STATE, stateAfter, VM_STATE } from '../../../helpers/jobs/runs.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const NOW = new Date('2026-03-02T02:00:00.000Z');
const PROBLEM = promtoolProblem();

const folder = useTempFolder();

beforeEach(({ skip }) => skip(PROBLEM !== undefined, PROBLEM));

describe('metrics', () => {
  it.each<[string, readonly JobState[]]>([
    ['of two jobs', [FULL_STATE, stateAfter('failure', { jobName: 'other' })]],
    ['of no job', []],
    [
      'with odd names',
      [stateAfter('success', { vms: [{ ...VM_STATE, vmName: 'a"b\\c\nd\r\t{}=,# 🐘 \uD800' }] })],
    ],
  ])('%s pass promtool', (_name, states) => {
    expect(promtool(['check', 'metrics'], formatMetrics(states, NOW))).toEqual({
      status: 0,
      output: '',
    });
  });

  it('that name a series twice do not pass', () => {
    const line = 'ovirt_cbt_x{a="b"} 1\n';

    expect(promtool(['check', 'metrics'], line + line).status).not.toBe(0);
  });
});

describe('alerts', () => {
  it('are rules of Prometheus', () => {
    const { status, output } = promtool(['check', 'rules', 'docs/monitoring/alerts.yml']);

    expect(output).toContain('SUCCESS: 10 rules found');
    expect(status).toBe(0);
  });

  it('fire when they should, and only then', () => {
    const { status, output } = promtool(['test', 'rules', 'test/unit/jobs/metrics/alertRules.yml']);

    expect(output).toContain('SUCCESS');
    expect(status).toBe(0);
  });
});

describe('the dashboard', () => {
  it('has expressions that Prometheus can evaluate', () => {
    const rules = expressionsOf(readDashboard()).map((expr, k) => ({ record: `panel:${k}`, expr }));
    const file = folder.path('rules.yml');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));

    expect(promtool(['check', 'rules', file])).toMatchObject({
      status: 0,
      output: expect.stringContaining(`SUCCESS: ${rules.length} rules found`),
    });
  });
});
