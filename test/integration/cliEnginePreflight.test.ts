/** `preflight` shows what the next session would do, and changes nothing. */
import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { PreflightReport } from '../../src/sessions/backup/vm/preflightVm.ts';
import { type CliResult, expectFailure } from '../helpers/cli/cli.ts';
import { EngineClient } from '../helpers/lab/engineClient.ts';
import { changesOf, messageCodesOf, useCliLab } from '../helpers/cli/cliLab.ts';
import { fileTree } from '../helpers/repository/repositoryFiles.ts';
import { messageCodes } from '../helpers/codes.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

function reportOf(result: CliResult): PreflightReport {
  return JSON.parse(result.stdout) as PreflightReport;
}

function preflight(...more: readonly string[]): Promise<CliResult> {
  return bench.run(bench.vmArgs('preflight', 'web01', ...more));
}

/** One disk of each kind that a session treats differently. */
function addMixedVm(): LabVm {
  const sizeBytes = MIB;
  return bench.lab.addVm({
    name: 'web01',
    disks: [
      { name: 'sys', sizeBytes },
      { name: 'dump', sizeBytes, format: 'raw' },
      { name: 'scratch', sizeBytes, backup: 'none' },
      { name: 'layered', sizeBytes, rawBase: true },
      { name: 'grown', sizeBytes },
      { name: 'array', sizeBytes, format: 'raw', storageType: 'lun' },
    ],
  });
}

/** Rows of the table by disk name. Two or more blanks separate columns. */
function rowsOf(table: string): Map<string, string[]> {
  const rows = table.split('\n').map((line) => line.split(/ {2,}/));
  return new Map(rows.map(([name = '', ...cells]) => [name, cells]));
}

describe('preflight', () => {
  it('prints a row a disk with its next mode, the reason and what to do', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);
    vm.disk('grown').resize(2 * MIB);
    vm.addDisk({ name: 'new', sizeBytes: MIB });

    const { stdout, exitCode } = await preflight();

    expect(exitCode).toBe(0);
    const rows = rowsOf(stdout);
    expect(rows.get('sys')).toEqual([
      'cow',
      '1.00 MiB',
      'incremental',
      'yes',
      expect.stringContaining('restore point 1'),
    ]);
    expect(rows.get('dump')?.slice(0, 4)).toEqual(['raw', '1.00 MiB', 'compare', 'no']);
    expect(rows.get('dump')?.at(-1)).toMatch(/QCOW2/);
    expect(rows.get('scratch')?.slice(2, 4)).toEqual(['compare', 'no']);
    expect(rows.get('layered')?.slice(0, 4)).toEqual(['cow over raw', '1.00 MiB', 'compare', 'no']);
    expect(rows.get('grown')?.slice(2, 4)).toEqual(['compare', 'yes']);
    expect(rows.get('new')?.slice(2, 4)).toEqual(['full', 'yes']);
    expect(rows.get('array')?.slice(2, 4)).toEqual(['left out', 'no']);
    expect(stdout).toMatch(/^a session can start$/m);
  });

  it('prints the same as one JSON document', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);

    const result = await preflight('--json');

    const report = reportOf(result);
    expect(report).toMatchObject({ type: 'preflight', vmId: vm.id, vmState: 'up', canStart: true });
    expect(report.disks.map(({ alias, mode, isTrackable }) => [alias, mode, isTrackable])).toEqual([
      ['sys', 'incremental', true],
      ['dump', 'compare', false],
      ['scratch', 'compare', false],
      ['layered', 'compare', false],
      ['grown', 'incremental', true],
      ['array', 'left out', false],
    ]);
    expect(report.disks.filter(({ advice }) => advice === '').map(({ alias }) => alias)).toEqual([
      'sys',
      'grown',
    ]);
    expect(messageCodes(report)).toEqual(messageCodesOf(result));
  });

  it('says what the session then does', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);
    const foretold = reportOf(await preflight('--json'));

    const session = await bench.backup(vm);

    const rows = foretold.disks.filter(({ mode }) => mode !== 'left out');
    expect(rows.map(({ alias, mode, reason }) => ({ alias, mode, reason }))).toEqual(
      session.disks.map(({ alias, mode, reason }) => ({ alias, mode, reason })),
    );
  });

  it('changes neither the engine nor the repository', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);
    const before = fileTree(bench.repository);
    const requestsBefore = bench.lab.requests.length;

    await preflight();

    expect(changesOf(bench.lab.requests.slice(requestsBefore))).toEqual([]);
    expect(fileTree(bench.repository)).toEqual(before);
  });

  it('foretells a full for a repository that does not exist, and does not make it', async () => {
    addMixedVm();

    const result = await preflight('--json');

    expect(result.exitCode).toBe(0);
    const planned = reportOf(result).disks.filter(({ mode }) => mode !== 'left out');
    expect(new Set(planned.map(({ mode }) => mode))).toEqual(new Set(['full']));
    expect(existsSync(bench.repository)).toBe(false);
  });

  it('says that a repository does not exist yet', async () => {
    addMixedVm();
    const mistyped = `${bench.repository}-typo`;

    const { stderr } = await bench.run(['preflight', '--vm', 'web01', '--repo', mistyped]);

    expect(stderr).toContain(`info: REPO-531 There is no repository in ${mistyped} yet.`);
  });

  it('refuses a folder that no session could use', async () => {
    addMixedVm();
    const folder = bench.temp.make('photos');
    writeFileSync(bench.temp.path('photos', 'cat.jpg'), '');

    const result = await bench.run(['preflight', '--vm', 'web01', '--repo', folder]);

    expectFailure(result, 'REPOSITORY_NOT_FOUND', EXIT_CODES.repositoryNotFound);
  });

  it('names each step once, in its order', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);

    const { stdout, stderr } = await preflight();

    const rows = rowsOf(stdout);
    expect(rows.get('dump')?.at(-1)).toMatch(/convert it to QCOW2, then switch on/);
    expect(rows.get('scratch')?.at(-1)).toMatch(/^switch on incremental backup; until then/);
    const advice = 'or restore it with --disk-format cow';
    expect(`${stdout}${stderr}`.split(advice)).toHaveLength(3);
    expect(stdout).not.toContain(advice);
  });

  it('foretells a full where one is asked for', async () => {
    await bench.backup(addMixedVm());

    const { disks } = reportOf(await preflight('--json', '--mode', 'full', '--disk', 'sys'));

    expect(disks.map(({ alias, mode }) => [alias, mode])).toEqual([
      ['sys', 'full'],
      ...['dump', 'scratch', 'layered', 'grown', 'array'].map((alias) => [alias, 'left out']),
    ]);
  });

  it('foretells that all disks are compared after the checkpoint was lost', async () => {
    const vm = addMixedVm();
    await bench.backup(vm);
    vm.revertSnapshot('removed');

    const result = await preflight('--json', '--disk', 'sys', '--disk', 'dump');

    expect(messageCodesOf(result).toSorted()).toEqual(['CBT-101', 'CBT-103']);
    const [sys, dump] = reportOf(result).disks;
    expect([sys?.mode, dump?.mode]).toEqual(['compare', 'compare']);
  });
});

describe('preflight of a VM that cannot be backed up now ends with 3', () => {
  it.each(['paused', 'suspended', 'migrating'] as const)('when it is %s', async (status) => {
    addMixedVm().status = status;

    const result = await preflight('--exclude-disk', 'array');

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(messageCodesOf(result)).toEqual(['JOB-602']);
    expect(result.stdout).toMatch(/^a session cannot start now$/m);
  });

  it('when another product backs it up, whose backup is named and left alone', async () => {
    const vm = addMixedVm();
    const foreign = vm.startForeignBackup();

    const result = await preflight('--exclude-disk', 'array');

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(messageCodesOf(result)).toEqual(['SNP-203']);
    expect(result.stderr).toContain(foreign);
    expect(result.stdout).toMatch(/^a session cannot start now$/m);
    expect(changesOf(bench.lab.requests)).toEqual([]);
    vm.endForeignBackup(foreign);
  });

  it('when it is the hosted engine', async () => {
    const disks = [{ name: 'sys', sizeBytes: MIB }];
    bench.lab.addVm({ name: 'web01', origin: 'managed_hosted_engine', disks });

    const result = await preflight();

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(messageCodesOf(result)).toEqual(['JOB-604']);
  });

  it('when none of its disks can be read', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
    await bench.backup(vm);
    await using client = await EngineClient.login(bench.lab);
    const attachment = `/vms/${vm.id}/diskattachments/${vm.disk('sys').id}`;
    await client.call('PUT', attachment, { active: false });

    const result = await preflight();

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(messageCodesOf(result)).toEqual(['JOB-601']);
  });
});

describe('preflight refuses', () => {
  it.each([
    ['a VM that the engine does not know', 'nobody', [], 'USAGE_NOT_FOUND'],
    ['a disk that the VM does not have', 'web01', ['--disk', 'nothing'], 'USAGE_NOT_FOUND'],
    ['a mode that does not exist', 'web01', ['--mode', 'magic'], 'USAGE_INVALID_OPTION'],
  ])('%s', async (_what, vm, more, code) => {
    addMixedVm();

    const result = await bench.run(bench.vmArgs('preflight', vm, ...more));

    expectFailure(result, code, EXIT_CODES.usage);
  });

  it('a mode that needs a restore point when there is none', async () => {
    addMixedVm();

    const result = await preflight('--mode', 'incremental');

    expectFailure(result, 'CHAIN_PARENT_MISSING', EXIT_CODES.failed);
  });
});
