/** VMs of a command by patterns, by the engine's search, by a list, or all. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { EngineApi } from '../../src/ovirt/engine/engineApi.ts';
import { listVms } from '../../src/ovirt/engine/vmList.ts';
import { backupVms } from '../../src/sessions/backup/backupVms.ts';
import type { PreflightJobReport } from '../../src/sessions/backup/vm/preflightVms.ts';
import { type CliResult, expectFailure, startCli, until } from '../helpers/cli/cli.ts';
import { changesOf, jobOf, messageCodesOf, useCliLab } from '../helpers/cli/cliLab.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();
beforeEach(() => {
  for (const name of ['web02', 'db01', 'web01']) {
    bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
  }
});

function backup(...args: readonly string[]): Promise<CliResult> {
  return bench.run(bench.backupArgs([], '--json', ...args));
}

function storedVms(result: CliResult): string[] {
  return jobOf(result)
    .sessions.map(({ vmName }) => vmName)
    .toSorted();
}

/** True when a process waits for its stdin: one of its epoll files watches descriptor 0. */
function readsStdin(pid: number | undefined): boolean {
  const folder = `/proc/${pid}/fdinfo`;
  return readdirSync(folder).some((fd) => {
    try {
      return /^tfd:\s+0 /m.test(readFileSync(`${folder}/${fd}`, 'utf8'));
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

describe('backup selects VMs', () => {
  it('by patterns and names', async () => {
    const result = await backup('--vm', 'web*', '--vm', 'web01', '--vm', 'd?01');

    expect(result.exitCode).toBe(0);
    expect(storedVms(result)).toEqual(['db01', 'web01', 'web02']);
  });

  it('all except some', async () => {
    const result = await backup('--all', '--exclude-vm', 'web02', '--exclude-vm', 'd*');

    expect(storedVms(result)).toEqual(['web01']);
    expect(messageCodesOf(result)).toEqual([]);
  });

  it("by the engine's own search", async () => {
    expect(storedVms(await backup('--search', 'name=web* and status=up'))).toEqual([
      'web01',
      'web02',
    ]);
  });

  it('by a list in a file, as Windows writes it too', async () => {
    const file = bench.temp.path('vms.txt');
    writeFileSync(file, '\uFEFF# nightly\r\ndb01  # the database\r\n\r\n  web0[!]\r\nweb?1\r\n');

    const result = await backup('--vm-file', file);

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(storedVms(result)).toEqual(['db01', 'web01']);
    expect(jobOf(result).failures).toMatchObject([{ vmName: 'web0[!]', code: 'USAGE_NOT_FOUND' }]);
  });

  it('by a list on stdin', async () => {
    const running = startCli(bench.backupArgs([], '--json', '--vm-file', '-'), bench.env(), 'pipe');
    running.child.stdin?.end('web02\n');

    expect(storedVms(await running.ended)).toEqual(['web02']);
  });

  it('by a list on stdin, and stops at the first SIGTERM while it waits for it', async () => {
    const running = startCli(bench.backupArgs([], '--vm-file', '-'), bench.env(), 'pipe');
    expect(await until(running, () => readsStdin(running.child.pid))).toBe(true);

    running.child.kill('SIGTERM');

    expect((await running.ended).exitCode).toBe(EXIT_CODES.terminated);
  });

  it('but not by endless text on stdin', async () => {
    const running = startCli(bench.backupArgs([], '--vm-file', '-'), bench.env(), 'pipe');
    running.child.stdin?.on('error', () => {}).end(Buffer.alloc(17 * 1024 * 1024, 'web01\n'));

    const { exitCode, stderr } = await running.ended;

    expect(exitCode).toBe(EXIT_CODES.usage);
    expect(stderr).toContain('list of VMs on stdin is too large');
  });

  it('but stops at the first SIGTERM while it waits for the password on stdin', async () => {
    const args = bench.backupArgs([], '--vm', 'web01', '--password-file', '-');
    const running = startCli(args, bench.env(), 'pipe');
    expect(await until(running, () => readsStdin(running.child.pid))).toBe(true);

    running.child.kill('SIGTERM');

    expect((await running.ended).exitCode).toBe(EXIT_CODES.terminated);
  });

  it('and warns of an exclusion that fits nothing', async () => {
    const result = await backup('--all', '--exclude-vm', 'wbe02');

    expect(result.exitCode).toBe(0);
    expect(messageCodesOf(result)).toEqual(['JOB-610']);
    expect(storedVms(result)).toHaveLength(3);
  });

  it.each([
    ['a pattern that fits nothing', ['--vm', 'web*', '--vm', 'x*'], 'USAGE_NOT_FOUND', 'x*'],
    ['a search that fits nothing', ['--search', 'name=x'], 'USAGE_NOT_FOUND', 'name=x'],
    ['a search that the engine refuses', ['--search', 'a=b'], 'USAGE_INVALID_OPTION', 'a=b'],
    ['a page of a search', ['--search', 'page 2'], 'USAGE_INVALID_OPTION', 'page'],
    ['an empty selection', ['--vm-file', '/dev/null'], 'USAGE_INVALID_OPTION', '--vm-file'],
    ['exclusions alone', ['--exclude-vm', 'web01'], 'USAGE_INVALID_OPTION', '--all'],
    ['disks of several VMs', ['--all', '--disk', 'x'], 'USAGE_INVALID_OPTION', 'single VM'],
  ])('but refuses %s before anything is changed', async (_what, args, code, text) => {
    const result = await bench.run(bench.backupArgs([], ...args));

    expectFailure(result, code, EXIT_CODES.usage);
    expect(result.stderr).toContain(text);
    expect(changesOf(bench.lab.requests)).toEqual([]);
    expect(existsSync(bench.repository)).toBe(false);
  });
});

describe('preflight', () => {
  it('reports each selected VM', async () => {
    const args = bench.vmArgs('preflight', 'web*', '--vm', 'gone', '--json');

    const result = await bench.run(args);

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    const { type, reports, failures } = JSON.parse(result.stdout) as PreflightJobReport;
    expect(type).toBe('preflight_job');
    expect(reports.map(({ vmName }) => vmName)).toEqual(['web01', 'web02']);
    expect(failures).toMatchObject([{ vmName: 'gone', code: 'USAGE_NOT_FOUND' }]);
  });

  it('of all VMs prints a table for each', async () => {
    const args = ['preflight', '--repo', bench.repository, '--all'];

    const { exitCode, stdout } = await bench.run(args);

    expect(exitCode).toBe(0);
    expect(stdout.match(/^a session can start$/gm)).toHaveLength(3);
  });
});

describe('the library', () => {
  it('adds a selection to the VMs that are named', async () => {
    const { sessions } = await backupVms({
      engine: bench.settings(),
      repository: bench.repository,
      vms: ['db01'],
      select: { names: ['web*'], exclude: ['web01'] },
      workers: 0,
    });

    expect(sessions.map(({ vmName }) => vmName).toSorted()).toEqual(['db01', 'web02']);
  });

  it('lists more VMs than one answer holds', async () => {
    for (let k = 0; k < 1100; k++) bench.lab.addVm({ name: `many${k}`, disks: [] });
    await using engine = await EngineApi.connect(bench.settings());

    const all = await listVms(engine);
    const found = await listVms(engine, 'name=many*');

    expect(new Set(all.map(({ id }) => id)).size).toBe(1103);
    expect(found).toHaveLength(1100);
  });
});

describe('a VM name that is nearly right', () => {
  it('is suggested for a VM of the engine', async () => {
    const result = await bench.run(bench.backupArgs(['wbe01']));

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    expect(result.stderr).toContain('did you mean "web01"?');
  });

  it('is suggested for a VM of a repository', async () => {
    await bench.backup(bench.lab.vm('web01'));

    const result = await bench.run(['list', '--repo', bench.repository, '--vm', 'Web1']);

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    expect(result.stderr).toContain('did you mean "web01"?');
  });
});
