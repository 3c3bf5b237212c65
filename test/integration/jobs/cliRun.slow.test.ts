/** `run` as a timer or an administrator calls it. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import type { RunPreview } from '../../../src/jobs/run/previewJob.ts';
import type { RunReport } from '../../../src/jobs/runReport.ts';
import { type CliResult, expectFailure } from '../../helpers/cli/cli.ts';
import { changesOf, useCliLab } from '../../helpers/cli/cliLab.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

beforeEach(() => {
  for (const name of ['web01', 'web02', 'db01']) {
    const vm = bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
    vm.disk(`${name}_sys`).write(0, Buffer.from(`content of ${name}`));
  }
  writeFileSync(
    jobFile(),
    `
engines:
  lab:
    url: ${bench.lab.url}
    username: ${bench.lab.username}
    passwordFile: password
    caFile: ca.pem
repositories:
  main: { path: main }
  offsite: { path: offsite }
jobs:
  nightly:
    engine: lab
    vms: { names: ['web*', db01] }
    repository: main
    backup: { workers: 0 }
    keep: { last: 1 }
    copyTo: offsite
    retry: { times: 0 }
    hooks: { after: [['true']] }
  broken:
    engine: lab
    vms: { names: [web01, missing] }
    repository: main
    backup: { workers: 0 }
    retry: { times: 0 }
stateFolder: state
`,
  );
});

function jobFile(): string {
  return bench.temp.path('ovirt-cbt.yaml');
}

async function run(...args: readonly string[]): Promise<CliResult> {
  return await bench.run(['run', ...args, '--file', jobFile()]);
}

/** Names and content of all files below a folder. */
function pictureOf(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((file) => `${file} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
    .toSorted();
}

describe('run', () => {
  it('makes no repository where that of earlier runs is gone, unless it is told to', async () => {
    await run('nightly');
    renameSync(bench.temp.path('main'), bench.temp.path('away'));

    const gone = await run('nightly');
    const anew = await run('nightly', '--new-repository');

    expect(gone.exitCode).toBe(EXIT_CODES.repositoryNotFound);
    expect(gone.stderr).toContain('"ovirt-cbt run nightly --new-repository"');
    expect(anew.exitCode).toBe(0);
  });

  it('ends where the state of its job cannot be kept', async () => {
    writeFileSync(bench.temp.path('state'), 'no folder');

    expectFailure(await run('nightly'), 'OUTPUT_IO', EXIT_CODES.failed);
  });

  it('backs up the VMs of the job, and writes the page of the run', async () => {
    const page = bench.temp.path('run.html');

    const { exitCode, stdout } = await run('nightly', '--report', page);

    expect(exitCode).toBe(0);
    expect(stdout).toContain('job nightly: success, 3 VMs: 3 success');
    expect(stdout).toMatch(/^ *web01 +success +full/m);
    expect(stdout).toContain('prune: 3 points kept');
    expect(stdout).toMatch(/copy: 3 points .* copied to/);
    expect(stdout).toContain('hook after: true: exit code 0');
    expect(readFileSync(page, 'utf8')).toContain('<title>');
    expect(statSync(page).mode & 0o777).toBe(0o600);
  });

  it('gives its report as JSON, and exit code 3 when a VM failed', async () => {
    const { exitCode, stdout } = await run('broken', '--json');

    const report = JSON.parse(stdout) as RunReport;
    expect(exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(report.vms.map(({ vmName, outcome }) => [vmName, outcome])).toEqual([
      ['missing', 'failure'],
      ['web01', 'success'],
    ]);
  });

  it('counts an accepted warning of a RAW disk as a note, also with strict', async () => {
    bench.lab.addVm({ name: 'raw01', disks: [{ name: 'sys', sizeBytes: MIB, format: 'raw' }] });
    const text = readFileSync(jobFile(), 'utf8').replace('[web01, missing]', '[raw01]');
    const write = (job: string): void =>
      writeFileSync(jobFile(), text.replace('  broken:\n', `  broken:\n    strict: true\n${job}`));

    write('');
    await run('broken');
    const told = await run('broken', '--json');
    write('    accept: [CBT-101]\n');
    const accepted = await run('broken', '--json');

    const [before, after] = [told, accepted].map(({ stdout }) => JSON.parse(stdout) as RunReport);
    expect([told.exitCode, accepted.exitCode]).toEqual([EXIT_CODES.doneWithProblems, 0]);
    expect([before?.outcome, after?.outcome]).toEqual(['warning', 'success']);
    expect(after?.vms[0]?.report?.messages).toMatchObject([{ code: 'CBT-101', level: 'info' }]);
  });

  it('of one VM that the job does not have is refused with the nearest name', async () => {
    const result = await run('nightly', '--only', 'wbe01');

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    expect(result.stderr).toContain('did you mean "web01"?');
    expect((await run('nightly', '--dry-run')).exitCode).toBe(0);
    expect(existsSync(bench.temp.path('main'))).toBe(false);
  });

  it('of a job that the file does not have is refused', async () => {
    expectFailure(await run('nigthly'), 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });

  it('refuses a page in a folder that does not exist before it begins', async () => {
    const page = bench.temp.path('missing', 'run.html');

    expectFailure(await run('nightly', '--report', page), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(existsSync(bench.temp.path('main'))).toBe(false);
  });

  it('with a wrong password gives the exit code of a refused login', async () => {
    writeFileSync(bench.temp.path('password'), 'wrong\n', { mode: 0o600 });

    const { exitCode, stdout, stderr } = await run('nightly');

    expect(exitCode).toBe(EXIT_CODES.authRefused);
    expect(stdout).toContain('plan: failed:');
    expect(stderr).toContain('JOB-625');
  });
});

describe('run --dry-run', () => {
  it('in a new place says what would be done, and makes nothing', async () => {
    const { exitCode, stdout } = await run('nightly', '--dry-run');

    expect(exitCode).toBe(0);
    expect(stdout).toContain('job nightly would back up 3 VMs to');
    expect(stdout).toContain('first restore point');
    expect(stdout).toContain('hooks');
    for (const name of ['main', 'offsite', 'state']) {
      expect(existsSync(bench.temp.path(name)), name).toBe(false);
    }
  });

  it('changes nothing on the engine, in the repositories and in the state', async () => {
    await run('nightly');
    await run('nightly', '--only', 'web01');
    const folders = ['main', 'offsite', 'state'].map((name) => bench.temp.path(name));
    const before = folders.flatMap(pictureOf);
    const changes = changesOf(bench.lab.requests).length;

    const { exitCode, stdout } = await run('nightly', '--dry-run', '--json');

    const preview = JSON.parse(stdout) as RunPreview;
    expect(exitCode).toBe(0);
    expect(folders.flatMap(pictureOf)).toEqual(before);
    expect(changesOf(bench.lab.requests)).toHaveLength(changes);
    expect(preview.vms.map(({ vmName, disks }) => [vmName, disks[0]?.mode])).toEqual([
      ['db01', 'incremental'],
      ['web01', 'incremental'],
      ['web02', 'incremental'],
    ]);
    expect(preview.prune).toMatchObject({ dryRun: true, vms: [{}, {}, {}] });
    expect(preview.copy?.vms.map(({ missing }) => missing.length)).toEqual([0, 0, 0]);
  });

  it('tells VMs that would fail, and points that would be deleted and copied', async () => {
    await run('broken');
    await run('broken');

    const broken = await run('broken', '--dry-run');
    const nightly = await run('nightly', '--dry-run', '--only', 'web01');

    expect(broken.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(broken.stdout).toContain('missing: would fail:');
    expect(nightly.stdout).toMatch(/merged into no\. 2/);
    expect(nightly.stdout).toMatch(/web01: 2 points to copy \(.*\), there already 0/);
  });
});
