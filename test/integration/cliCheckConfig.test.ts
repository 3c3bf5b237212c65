/** `check-config` and `timers` as administrators use them, against a lab. */
import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ConfigReport } from '../../src/cli/output/jobs/configOutput.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { type CliResult, expectFailure } from '../helpers/cli/cli.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';

const bench = useCliLab();

interface Parts {
  readonly vms?: string;
  readonly job?: string;
  readonly more?: string;
}

/** Writes a job file for the lab. @returns its path. */
function jobFile({ vms = 'all: true', job = '', more = '' }: Parts = {}): string {
  const file = bench.temp.path('jobs.yaml');
  const { lab } = bench;
  writeFileSync(
    file,
    `engines:
  lab: { url: '${lab.url}', username: ${lab.username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: { path: backup }
jobs:
  nightly:
    engine: lab
    repository: main
    vms: { ${vms} }
    schedule: '30 1 * * *'
    timezone: Europe/Berlin
    ${job}
${more}`,
  );
  return file;
}

async function check(file: string, ...more: readonly string[]): Promise<CliResult> {
  return await bench.run(['check-config', file, ...more]);
}

function reportOf({ stdout }: CliResult): ConfigReport {
  return JSON.parse(stdout) as ConfigReport;
}

function addVms(): void {
  for (const [name, tags] of [
    ['web01', ['gold']],
    ['web02', []],
    ['db01', ['gold', 'silver']],
  ] as const) {
    bench.lab.addVm({ name, tags, disks: [{ name: 'sys', sizeBytes: 1 << 20 }] });
  }
}

describe('check-config', () => {
  it('shows each job with its next three times', async () => {
    const result = await check(jobFile());

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout).toMatch(/nightly +lab +main +30 1 \* \* \* +Europe\/Berlin/);
    expect(result.stdout.match(/\w{3} \d{4}-\d\d-\d\d 01:30 \+0[12]:00/g)).toHaveLength(3);
    expect(result.stdout).toContain('no problems found');
    expect(bench.lab.requests).toEqual([]);
  });

  it('with --connect logs in, finds the VMs of each job, and makes no repository', async () => {
    addVms();
    const file = jobFile({ vms: 'tags: [silver, gold], exclude: [web*]' });

    const result = await check(file, '--connect', '--json');

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(reportOf(result).connections).toEqual([
      { kind: 'engine', name: 'lab', facts: expect.stringMatching(/^login accepted, /) },
      { kind: 'job', name: 'nightly', facts: '1 VM: db01' },
      { kind: 'repository', name: 'main', facts: 'new: the first backup makes it' },
    ]);
    expect(readdirSync(bench.temp.path())).not.toContain('backup');
  });

  it('with --connect names VMs that the engine does not have', async () => {
    addVms();

    const result = await check(jobFile({ vms: 'names: [web01, wep01]' }), '--connect');

    expect(result.exitCode).toBe(EXIT_CODES.usage);
    expect(result.stdout).toContain('the engine has no VM wep01 (USAGE_NOT_FOUND)');
    expect(result.stdout).toContain('did you mean "web01"?');
    expect(result.stdout).toContain('a run would fail or miss something');
  });

  it('notes a receiver that no job names, which is no problem', async () => {
    const more = 'notify:\n  ops: { command: [/bin/true] }\n  chat: { command: [/bin/true] }';

    const result = await check(jobFile({ job: 'notify: [ops]', more }));

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout).toContain('note: no job names the receiver chat');
  });

  it('notes keys that count only with workers', async () => {
    const job = 'limits: { parallelVms: 100 }\n    workerLabel: site=a';

    const result = await check(jobFile({ job }));
    const { jobsForWorkers } = JSON.parse((await check(jobFile({ job }), '--json')).stdout) as {
      jobsForWorkers: string[];
    };

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout).toContain(
      'note: job nightly: without --queue "parallelVms: 100" counts as 16, and "workerLabel" has no effect',
    );
    expect(jobsForWorkers).toEqual(['nightly']);
  });

  it('with --connect has the exit code of a refused login', async () => {
    const file = jobFile();
    writeFileSync(bench.temp.path('password'), 'wrong\n');

    const result = await check(file, '--connect');

    expect(result.exitCode).toBe(EXIT_CODES.authRefused);
    expect(result.stdout).toMatch(/engine lab +failed/);
    expect(result.stdout).toMatch(/repository main +ok/);
  });

  it('tells files that a run could not use, each with its place', async () => {
    const file = jobFile({
      job: 'hooks: { before: [[./missing.sh]] }',
      more: 'metrics: { textfile: nowhere/ovirt-cbt.prom }',
    });
    chmodSync(bench.temp.path('password'), 0o644);
    writeFileSync(bench.temp.path('ca.pem'), 'no certificate');
    chmodSync(file, 0o666);

    const result = await check(file, '--json');

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(reportOf(result).problems).toMatchObject([
      { key: '', line: 1, what: expect.stringContaining('can change the job file') },
      { key: 'engines.lab.passwordFile', line: 2, what: expect.stringContaining('other users') },
      { key: 'engines.lab.caFile', line: 2, what: expect.stringContaining('no PEM certificate') },
      { key: 'jobs.nightly.hooks.before[0]', line: 12, column: 23 },
      { key: 'metrics.textfile', line: 13, column: 22 },
    ]);
  });

  it('prints all problems of a wrong file, one a line, and as data with --json', async () => {
    const file = jobFile({ vms: '', job: 'strikt: true' });

    const text = await check(file);
    const json = await check(file, '--json');

    expect(text.exitCode).toBe(EXIT_CODES.usage);
    expect(text.stderr.split('\n').slice(0, 3)).toEqual([
      'error: the job file has 2 problems (USAGE_JOB_FILE) hint: correct each; docs/jobs.md has all keys',
      `  ${file}:9:5: jobs.nightly.vms: selects no VM; write "names", "tags", "search" or "all: true"`,
      expect.stringContaining(`  ${file}:12:5: jobs.nightly.strikt: unknown key; did you mean`),
    ]);
    expect(reportOf(json).problems).toHaveLength(2);
    expect(json.exitCode).toBe(EXIT_CODES.usage);
  });
});

describe('timers', () => {
  it('prints units, or writes them and says what comes next', async () => {
    const file = jobFile();
    const folder = bench.temp.path('systemd');

    const printed = await bench.run(['timers', '--print', '--file', file]);
    const installed = await bench.run(['timers', '--install', '--directory', folder], {
      OVIRT_CBT_FILE: file,
    });

    expect(printed.stdout).toContain('OnCalendar=*-*-* 01:30:00 Europe/Berlin\n');
    expect(printed.stdout).toContain(`ExecStart=${process.execPath} `);
    expect(readdirSync(folder)).toEqual(['ovirt-cbt-nightly.service', 'ovirt-cbt-nightly.timer']);
    expect(installed.stdout).toContain('systemctl enable --now ovirt-cbt-nightly.timer');
    expect(installed.stderr).toContain('backup does not exist: make it before the first run');
  });

  it('without --print and --install is an error', async () => {
    const result = await bench.run(['timers', '--file', jobFile()]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});
