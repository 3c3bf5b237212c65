/** `cleanup` removes what stopped sessions left, and nothing of others. */
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabMatch, LabVm } from '../../lab/src/index.ts';
import { type CleanupReport, cleanupVm } from '../../src/sessions/cleanup/cleanupVm.ts';
import { type CliResult, expectFailure, until } from '../helpers/cli/cli.ts';
import { changesOf, messageCodesOf, useCliLab } from '../helpers/cli/cliLab.ts';
import { EngineClient, type Json } from '../helpers/lab/engineClient.ts';
import { fileTree, filesOf } from '../helpers/repository/repositoryFiles.ts';
import { noise } from '../helpers/bytes/random.ts';
import { messageCodes } from '../helpers/codes.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

async function addVm(): Promise<LabVm> {
  const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
  vm.disk('sys').write(MIB, noise(1, MIB));
  await bench.backup(vm);
  vm.disk('sys').write(2 * MIB, noise(2, MIB));
  return vm;
}

/** Runs a command that is killed when it asks for something. */
async function killAt(match: LabMatch, args: readonly string[]): Promise<void> {
  const fault = bench.lab.faults.add(match, { hang: true });
  const running = bench.start(args);
  expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);

  running.child.kill('SIGKILL');
  await running.ended;
  bench.lab.faults.clear();
}

function cleanup(...more: readonly string[]): Promise<CliResult> {
  return bench.run(bench.vmArgs('cleanup', 'web01', ...more));
}

function reportOf(result: CliResult): CleanupReport {
  return JSON.parse(result.stdout) as CleanupReport;
}

const restoreArgs = (): string[] =>
  bench
    .vmArgs('restore', 'web01', '--to-engine', '--as-vm', 'web01-new', '--workers', '0')
    .concat(['--storage-domain', 'data', '--cluster', 'Default']);

describe('cleanup after a backup that was killed', () => {
  it('ends its transfer and its backup and removes its files', async () => {
    await addVm();
    const files = filesOf(bench.repository);
    await killAt(
      { server: 'imageio', method: 'GET', path: /\/images\/[^/]+$/ },
      bench.backupArgs(['web01']),
    );
    expect(bench.lab.leftovers()).not.toEqual([]);

    const result = await cleanup('--json');

    expect(result.exitCode).toBe(0);
    expect(reportOf(result)).toMatchObject({
      type: 'cleanup',
      cleaned: [
        expect.stringMatching(/^transfer .+ of web01$/),
        expect.stringMatching(/^backup .+ of web01$/),
      ],
      left: [],
      foreignBackupIds: [],
    });
    expect(bench.lab.leftovers()).toEqual([]);
    expect(filesOf(bench.repository)).toEqual(files);
  });

  it('removes the checkpoint that nothing was committed for, and keeps the base', async () => {
    const vm = await addVm();
    const [base] = vm.checkpointIds();
    await killAt(
      { server: 'imageio', method: 'GET', path: /\/images\/[^/]+$/ },
      bench.backupArgs(['web01']),
    );

    await cleanup();

    expect(vm.checkpointIds()).toEqual([base]);
    const next = await bench.backup(vm);
    expect(next.engine?.fromCheckpointId).toBe(base);
    await bench.expectRestored(vm, { sys: vm.disk('sys').snapshot() });
  });

  it('finds a backup whose id never arrived', async () => {
    await addVm();
    const path = /\/backups$/;
    const fault = bench.lab.faults.add(
      { server: 'engine', method: 'POST', path },
      { cutAfterBytes: 0 },
    );
    bench.lab.faults.add({ server: 'engine', method: 'GET', path, nth: 2 }, { hang: true });
    const running = bench.start(bench.backupArgs(['web01']));
    expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);
    running.child.kill('SIGKILL');
    await running.ended;
    bench.lab.faults.clear();

    const result = await cleanup('--json');

    expect(reportOf(result).cleaned).toEqual([expect.stringMatching(/^backup /)]);
    expect(bench.lab.leftovers()).toEqual([]);
  });

  it('is refused while the session runs', async () => {
    await addVm();
    const path = /\/images\/[^/]+$/;
    const match = { server: 'imageio', method: 'GET', path } as const;
    const fault = bench.lab.faults.add(match, { hang: true });
    const running = bench.start(bench.backupArgs(['web01']));
    expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);
    const before = bench.lab.leftovers();

    const result = await cleanup();

    expectFailure(result, 'REPOSITORY_LOCKED', EXIT_CODES.repositoryLocked);
    expect(bench.lab.leftovers()).toEqual(before);
    running.child.kill('SIGINT');
    await running.ended;
  });
});

describe('cleanup of a VM', () => {
  it('that is as it should be says so and changes nothing', async () => {
    await addVm();
    const before = fileTree(bench.repository);
    const requestsBefore = bench.lab.requests.length;

    const result = await cleanup();

    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(result.stdout).toMatch(/^web01: nothing to clean up$/m);
    expect(changesOf(bench.lab.requests.slice(requestsBefore))).toEqual([]);
    expect(fileTree(bench.repository)).toEqual(before);
  });

  it('names the backup of another product and does not touch it', async () => {
    const vm = await addVm();
    const foreign = vm.startForeignBackup();
    const requestsBefore = bench.lab.requests.length;

    const result = await cleanup('--json');

    expect(reportOf(result)).toMatchObject({ cleaned: [], foreignBackupIds: [foreign] });
    expect(messageCodesOf(result)).toEqual(['SNP-203']);
    expect(changesOf(bench.lab.requests.slice(requestsBefore))).toEqual([]);
    vm.endForeignBackup(foreign);
  });

  it('keeps the checkpoint of another product', async () => {
    const vm = await addVm();
    const foreign = vm.startForeignBackup();
    vm.endForeignBackup(foreign);
    await expect.poll(() => vm.checkpointIds().length).toBe(2);
    const checkpoints = vm.checkpointIds();

    await cleanup();

    expect(vm.checkpointIds()).toEqual(checkpoints);
  });

  it('removes the snapshot that a failed merge left', async () => {
    bench.lab.behaviour.mergeFails = true;
    const vm = await addVm();
    bench.lab.behaviour.mergeFails = false;
    expect(messageCodes(bench)).toEqual(['SNP-201']);
    const { repository } = bench;

    // Runs in this process, because it waits for a snapshot to vanish.
    const report = await cleanupVm({
      engine: bench.settings({ connectMs: 30_000 }),
      repository,
      vm: vm.name,
    });

    expect(report).toMatchObject({ cleaned: [expect.stringMatching(/^snapshot /)], left: [] });
    expect(bench.lab.leftovers()).toEqual([]);
    expect(filesOf(repository)).not.toContain('journal.ndjson');
  });

  it.each(['nobody', 'WEB01'])(
    'named %s, which is not in the repository, is refused',
    async (name) => {
      await addVm();

      const result = await bench.run(bench.vmArgs('cleanup', name));

      expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    },
  );

  it('is refused for a repository that does not exist', async () => {
    const result = await cleanup();

    expectFailure(result, 'REPOSITORY_NOT_FOUND', EXIT_CODES.repositoryNotFound);
    expect(bench.lab.requests).toEqual([]);
  });
});

describe('cleanup after a restore that was killed', () => {
  it.each([
    ['while a disk was filled', 'PUT', 'imageio', /\/images\//],
    ['before its disk was attached', 'POST', 'engine', /\/diskattachments$/],
  ] as const)('%s removes what it made', async (_when, method, server, path) => {
    const vm = await addVm();
    const files = filesOf(bench.repository);
    await killAt({ server, method, path }, restoreArgs());

    const result = await cleanup('--json');

    expect(result.exitCode).toBe(0);
    expect(reportOf(result).cleaned).toContainEqual(expect.stringMatching(/^disk /));
    expect(bench.lab.leftovers()).toEqual([]);
    expect(bench.lab.vms.map(({ name }) => name)).toEqual([vm.name]);
    const [disk = ''] = reportOf(result).cleaned.filter((what) => what.startsWith('disk '));
    expect(bench.lab.hasDisk(disk.slice('disk '.length))).toBe(false);
    expect(filesOf(bench.repository)).toEqual(files);
  });

  it('leaves a disk alone that bears the name of one that is gone already', async () => {
    const vm = await addVm();
    await killAt({ server: 'imageio', method: 'PUT', path: /\/images\// }, restoreArgs());
    await cancelUpload();
    const second = await bench.restore(vm, { asVm: 'web01-new' });
    const content = bench.lab.disk(newDiskName()).digest();

    const result = await cleanup('--json');

    expect(result.exitCode).toBe(0);
    expect(bench.lab.vm('web01-new').id).toBe(second.newVmId);
    expect(bench.lab.vm('web01-new').disk(newDiskName()).digest()).toBe(content);
  });

  it('finds a disk whose id never arrived', async () => {
    await addVm();
    const path = /\/api\/disks(\?|$)/;
    const fault = bench.lab.faults.add(
      { server: 'engine', method: 'POST', path },
      { cutAfterBytes: 0 },
    );
    bench.lab.faults.add({ server: 'engine', method: 'GET', path, nth: 2 }, { hang: true });
    const running = bench.start(restoreArgs());
    expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);
    running.child.kill('SIGKILL');
    await running.ended;
    bench.lab.faults.clear();
    expect(bench.lab.hasDisk(newDiskName())).toBe(true);

    const result = await cleanup();

    expect(result.exitCode).toBe(0);
    expect(bench.lab.hasDisk(newDiskName())).toBe(false);
  });
});

/** An administrator ends the only upload, which deletes its disk. */
async function cancelUpload(): Promise<void> {
  await using client = await EngineClient.login(bench.lab);
  const { image_transfer: transfers } = await client.get('/imagetransfers');
  const [open] = (transfers as Json[]).filter(({ phase }) => phase === 'transferring');
  await client.post(`/imagetransfers/${open?.['id']}/cancel`);
  await expect.poll(() => bench.lab.hasDisk(newDiskName())).toBe(false);
}

/** The name under which a restore asks for its disk. */
function newDiskName(): string {
  const [disk] = bench.lab.vm('web01').disks;
  return `web01-new_sys_${disk?.id.slice(0, 8)}`;
}
