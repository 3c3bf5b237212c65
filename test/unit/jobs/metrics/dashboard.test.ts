/** The files for Prometheus and Grafana in docs/monitoring name metrics that exist. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { formatMetrics } from '../../../../src/jobs/metrics/formatMetrics.ts';
import { type Dashboard, expressionsOf, readDashboard } from '../../../helpers/jobs/prometheus.ts';
import { FULL_STATE } from '../../../helpers/jobs/runs.ts';

const TEXT = formatMetrics([FULL_STATE], new Date('2026-03-02T02:00:00.000Z'));
const KNOWN = new Set([...TEXT.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
const COLUMNS = 24;

function metricsIn(text: string): string[] {
  return text.match(/\bovirt_cbt_\w+/g) ?? [];
}

describe('the dashboard', () => {
  const dashboard: Dashboard = readDashboard();

  it('asks only for metrics that exist', () => {
    const asked = expressionsOf(dashboard).flatMap(metricsIn);

    expect(asked.length).toBeGreaterThan(15);
    expect(asked.filter((name) => !KNOWN.has(name))).toEqual([]);
  });

  it('has panels with numbers and places of their own', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, k) => `${x + (k % w)},${y + Math.floor(k / w)}`),
    );

    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    expect(new Set(cells).size).toBe(cells.length);
    expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= COLUMNS)).toBe(true);
  });

  it('takes its data from the source that the user chooses', () => {
    const sources = dashboard.panels.map(({ datasource }) => datasource.uid);

    expect(new Set(sources)).toEqual(new Set(['${datasource}']));
  });
});

describe.each(['docs/monitoring/alerts.yml', 'docs/monitoring.md'])('%s', (file) => {
  it('names only metrics that exist', () => {
    const named = metricsIn(readFileSync(file, 'utf8'));

    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => !KNOWN.has(name))).toEqual([]);
  });
});

describe('docs/monitoring.md', () => {
  const text = readFileSync('docs/monitoring.md', 'utf8');

  it.each([...KNOWN])('describes %s', (name) => {
    expect(text).toContain(`| \`${name}\` |`);
  });

  it('describes every alert', () => {
    const alerts = readFileSync('docs/monitoring/alerts.yml', 'utf8').matchAll(/- alert: (\w+)/g);

    expect([...alerts].filter(([, name]) => !text.includes(`| \`${name}\` |`))).toEqual([]);
  });
});
