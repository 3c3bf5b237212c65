/** Reads the text form of Prometheus, as far as tests need it. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Values by series, without comments. */
export function samplesOf(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(' ');
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

export interface Dashboard {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly datasource: { readonly uid: string };
    readonly gridPos: {
      readonly x: number;
      readonly y: number;
      readonly w: number;
      readonly h: number;
    };
    readonly targets: readonly { readonly expr: string }[];
  }[];
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync('docs/monitoring/grafana-dashboard.json', 'utf8')) as Dashboard;
}

/** Expressions of all panels, with the variables of Grafana filled in. */
export function expressionsOf({ panels }: Dashboard): string[] {
  return panels.flatMap(({ targets }) =>
    targets.map(({ expr }) => expr.replaceAll(/\$(job|vm)\b/g, '.*').replaceAll('$__range', '7d')),
  );
}

/** Why promtool cannot be used here; undefined where it can. */
export function promtoolProblem(): string | undefined {
  const { error } = spawnSync('promtool', ['--version']);
  return error && 'promtool is missing (Debian package prometheus)';
}

export interface ToolResult {
  readonly status: number | null;
  readonly output: string;
}

export function promtool(args: readonly string[], input = ''): ToolResult {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}
