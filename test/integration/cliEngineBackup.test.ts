/** `backup --vm` as a program: its VMs and disks, its output, and its exit codes. */
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabDiskSpec, LabVm } from '../../lab/src/index.ts';
import { exitErrorOf, expectFailure } from '../helpers/cli/cli.ts';
import { changesOf, jobOf, messageCodesOf, useCliLab } from '../helpers/cli/cliLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { pointsOf, vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

/** A VM with data on its disks. */
function addVm(name: string, disks: readonly Partial<LabDiskSpec>[] = [{}]): LabVm {
  const specs = disks.map((disk, k) => ({ name: `${name}_${k}`, sizeBytes: 4 * MIB, ...disk }));
  const vm = bench.lab.addVm({ name, disks: specs });
  for (const [k, disk] of vm.disks.entries()) disk.write(MIB, noise(k + 1, MIB));
  return vm;
}

function backedUp(): string[] {
  return vmFoldersOf(bench.repository).map(
    (folder) => /([^/]+)\.[0-9a-f-]{36}$/.exec(folder)?.[1] ?? '',
  );
}

describe('backup --vm', () => {
  it('stores one VM, first whole, then its changes', async () => {
    const vm = addVm('web01');

    const full = await bench.run(bench.backupArgs(['web01']));
    vm.disk('web01_0').write(0, Buffer.from('changed'));
    const increment = await bench.run(bench.backupArgs(['web01'], '--json'));

    expect(full).toMatchObject({ exitCode: 0 });
    expect(full.stdout).toMatch(/^web01: restore point 1 \(full\)/);
    expect(jobOf(increment).sessions).toMatchObject([
      { pointNumber: 2, pointType: 'increment', disks: [{ mode: 'incremental' }] },
    ]);
    await bench.expectRestored(vm, { web01_0: vm.disk('web01_0').snapshot() });
  });

  it('stores several VMs', async () => {
    addVm('web01');
    const other = addVm('db01');

    const result = await bench.run(bench.backupArgs(['web01', other.id], '--json'));

    expect(result.exitCode).toBe(0);
    expect(
      jobOf(result)
        .sessions.map(({ vmName }) => vmName)
        .toSorted(),
    ).toEqual(['db01', 'web01']);
    expect(backedUp().toSorted()).toEqual(['db01', 'web01']);
  });

  it('does the others and ends with 3 when one VM fails', async () => {
    addVm('web01');
    addVm('db01').status = 'paused';

    const result = await bench.run(bench.backupArgs(['db01', 'web01', 'nobody'], '--json'));

    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    const { sessions, failures } = jobOf(result);
    expect(sessions.map(({ vmName }) => vmName)).toEqual(['web01']);
    expect(failures.map(({ vmName, code }) => `${vmName} ${code}`).toSorted()).toEqual([
      'db01 ENGINE_VM_STATE',
      'nobody USAGE_NOT_FOUND',
    ]);
  });

  it('has failed when every VM failed', async () => {
    const result = await bench.run(bench.backupArgs(['nobody', 'no one']));

    expect(result.exitCode).toBe(EXIT_CODES.failed);
  });

  it.each(
    inTurn([
      ['a VM that the engine does not know', ['nobody'], [], 'USAGE_NOT_FOUND'],
      ['a name in the wrong case', ['WEB01'], [], 'USAGE_NOT_FOUND'],
      ['a name that two VMs bear', ['twin'], [], 'USAGE_INVALID_OPTION'],
      ['no VM at all', [], [], 'USAGE_INVALID_OPTION'],
      ['a disk that the VM does not have', ['web01'], ['--disk', 'x'], 'USAGE_NOT_FOUND'],
      ['an excluded disk of no VM', ['web01'], ['--exclude-disk', 'x'], 'USAGE_NOT_FOUND'],
      ['disks of several VMs', ['web01', 'db01'], ['--disk', 'web01_0'], 'USAGE_INVALID_OPTION'],
      ['nine connections', ['web01'], ['--connections', '9'], 'USAGE_INVALID_OPTION'],
      ['VMs and images', ['web01'], ['--image', 'a', '--name', 'n'], 'USAGE_INVALID_OPTION'],
    ]),
  )('refuses %s', async (_what, vms, more, code) => {
    for (const name of ['web01', 'db01', 'twin', 'twin']) addVm(name);

    expectFailure(await bench.run(bench.backupArgs(vms, ...more)), code, EXIT_CODES.usage);

    expect(changesOf(bench.lab.requests)).toEqual([]);
  });

  it('refuses a VM in a wrong state with a message that names the state', async () => {
    addVm('web01').status = 'suspended';

    const result = await bench.run(bench.backupArgs(['web01']));

    expectFailure(result, 'ENGINE_VM_STATE', EXIT_CODES.failed);
    expect(messageCodesOf(result)).toEqual(['JOB-602']);
  });
});

describe('--disk and --exclude-disk', () => {
  it.each([
    ['--disk', 'db01_1', ['db01_1']],
    ['--exclude-disk', 'db01_1', ['db01_0', 'db01_2']],
  ])('%s %s stores %j', async (option, disk, stored) => {
    addVm('db01', [{}, {}, {}]);

    const result = await bench.run(bench.backupArgs(['db01'], option, disk, '--json'));

    expect(result.exitCode).toBe(0);
    const [session] = jobOf(result).sessions;
    expect(session?.disks.map(({ alias }) => alias)).toEqual(stored);
    expect(session?.engine?.leftOut.every(({ cause }) => cause === 'excluded')).toBe(true);
    expect(messageCodesOf(result)).toEqual([]);
  });
});

describe('--mode', () => {
  it('full starts a new chain on top of an old one', async () => {
    await bench.backup(addVm('web01'));

    const result = await bench.run(bench.backupArgs(['web01'], '--mode', 'full', '--json'));

    expect(jobOf(result).sessions).toMatchObject([
      { pointType: 'full', disks: [{ mode: 'full', reason: 'full requested' }] },
    ]);
    expect(pointsOf(bench.repository)).toHaveLength(2);
  });

  it('incremental makes an increment where there is something to build on', async () => {
    await bench.backup(addVm('web01'));

    const result = await bench.run(bench.backupArgs(['web01'], '--mode', 'incremental', '--json'));

    expect(jobOf(result).sessions).toMatchObject([
      { pointType: 'increment', disks: [{ mode: 'incremental' }] },
    ]);
  });

  it('incremental fails without a restore point, and asks the engine for nothing', async () => {
    addVm('web01');

    const result = await bench.run(bench.backupArgs(['web01'], '--mode', 'incremental'));

    expectFailure(result, 'CHAIN_PARENT_MISSING', EXIT_CODES.failed);
    expect(changesOf(bench.lab.requests)).toEqual([]);
  });
});

describe('warnings', () => {
  const rawDisk = { format: 'raw' } as const;

  it.each([
    ['do not change the exit code', [], EXIT_CODES.done],
    ['end with 3 under --strict', ['--strict'], EXIT_CODES.doneWithProblems],
  ])('%s', async (_name, more, exitCode) => {
    await bench.backup(addVm('db01', [rawDisk]));

    const result = await bench.run(bench.backupArgs(['db01'], ...more));

    expect(result.exitCode).toBe(exitCode);
    expect(messageCodesOf(result)).toEqual(['CBT-101']);
    expect(pointsOf(bench.repository)).toHaveLength(2);
  });

  it('name a direct LUN and a shareable disk, which are left out', async () => {
    addVm('files01', [
      {},
      { name: 'array', format: 'raw', storageType: 'lun' },
      { name: 'quorum', format: 'raw', shareable: true },
    ]);

    const result = await bench.run(bench.backupArgs(['files01']));

    expect(result.exitCode).toBe(0);
    expect(messageCodesOf(result)).toEqual(['JOB-601', 'JOB-601']);
    expect(result.stderr).toMatch(/JOB-601 .*\barray\b/);
    expect(result.stderr).toMatch(/JOB-601 .*\bquorum\b/);
    expect(result.stdout).toMatch(/^left out +array .*quorum/m);
  });
});

describe('--json', () => {
  it('prints one document on stdout and one object a line on stderr', async () => {
    addVm('files01', [{}, { format: 'raw', storageType: 'lun' }]);

    const result = await bench.run(bench.backupArgs(['files01'], '--json'));

    expect(jobOf(result)).toMatchObject({ type: 'job', failures: [], sessions: [{}] });
    const lines = result.stderr.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { type: 'session_message', code: 'REPO-530', level: 'info' },
      { type: 'session_message', code: 'JOB-601', level: 'warn' },
    ]);
  });

  it('ends a failure with one object on stderr, and prints no result', async () => {
    const result = await bench.run(bench.backupArgs(['nobody'], '--json'));

    expect(result.stdout).toBe('');
    expect(exitErrorOf(result)).toMatchObject({
      type: 'exit_error',
      exitCode: EXIT_CODES.usage,
      code: 'USAGE_NOT_FOUND',
    });
  });
});

describe('backup --image', () => {
  it('refuses the name of a VM of an engine, whose chain stays as it is', async () => {
    addVm('web01');
    await bench.run(bench.backupArgs(['web01']));
    const image = writeImage(`${bench.repository}.raw`, blocks('ab'));
    const args = ['--image', image, '--name', 'web01', '--repo', bench.repository];

    const result = await bench.run(['backup', ...args]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(pointsOf(bench.repository)).toHaveLength(1);
  });
});
