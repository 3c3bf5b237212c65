/**
 * `restore --to-engine` as a program: a new VM with the content of a restore point, or a refusal.
 */
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabVm } from '../../lab/src/index.ts';
import type { RestoreVmReport } from '../../src/sessions/restore/restoreVm.ts';
import { type CliResult, exitErrorOf, expectFailure } from '../helpers/cli/cli.ts';
import { changesOf, useCliLab } from '../helpers/cli/cliLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { noise } from '../helpers/bytes/random.ts';
import { filesOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

const TARGET = ['--as-vm', 'web01-new', '--storage-domain', 'data', '--cluster', 'Default'];

/** The options with another value of one of them. */
function targetWith(option: string, value: string): string[] {
  return TARGET.map((word, k) => (TARGET[k - 1] === option ? value : word));
}

async function addVm(): Promise<LabVm> {
  const vm = bench.lab.addVm({
    name: 'web01',
    nics: ['nic1'],
    disks: [
      { name: 'sys', sizeBytes: 4 * MIB, bootable: true },
      { name: 'dump', sizeBytes: 2 * MIB, format: 'raw' },
    ],
  });
  for (const disk of vm.disks) disk.write(MIB, noise(1, MIB));
  await bench.backup(vm);
  return vm;
}

function restore(...more: readonly string[]): Promise<CliResult> {
  return bench.run(bench.vmArgs('restore', 'web01', '--to-engine', '--workers', '0', ...more));
}

function reportOf(result: CliResult): RestoreVmReport {
  return JSON.parse(result.stdout) as RestoreVmReport;
}

describe('restore --to-engine', () => {
  it('makes a VM whose disks hold what was backed up', async () => {
    const vm = await addVm();

    const result = await restore(...TARGET, '--json');

    expect(result.exitCode).toBe(0);
    const report = reportOf(result);
    expect(report).toMatchObject({ type: 'restore-vm', hasConfiguration: true });
    expect(report.messages.map(({ code }) => code)).toEqual(['NIC-701']);
    const made = bench.lab.vm('web01-new');
    expect(made.id).toBe(report.newVmId);
    expect(made.status).toBe('down');
    for (const { alias, newDiskId, isVerified } of report.disks) {
      expect(made.disk(newDiskId).digest()).toBe(vm.disk(alias).digest());
      expect(isVerified).toBe(true);
    }
    expect(made.disks).toHaveLength(2);
    expect(filesOf(bench.repository, '.ndjson')).toEqual([]);
  });

  it('prints a table of the new disks', async () => {
    await addVm();

    const { stdout, exitCode } = await restore(...TARGET);

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/restored as web01-new \([0-9a-f-]{36}\)/);
    expect(stdout).toMatch(/^sys +cow +4\.00 MiB .+ equal /m);
    expect(stdout).toMatch(/^dump +raw +2\.00 MiB .+ equal /m);
  });

  it.each([
    ['new ones, because the original VM exists', [], '56:6f:1a:01:00:00'],
    ['the saved ones with --keep-macs', ['--keep-macs'], '56:6f:1a:00:00:00'],
  ])('shows the MAC addresses: %s', async (_what, options, mac) => {
    await addVm();
    bench.lab.behaviour.allowsDuplicateMacs = true;

    const { stdout, exitCode } = await restore(...TARGET, ...options);

    expect(exitCode).toBe(0);
    expect(stdout).toMatch(new RegExp(`^nic1 +${mac} +56:6f:1a:00:00:00$`, 'm'));
    expect(bench.lab.vm('web01-new').nics).toEqual([{ name: 'nic1', mac }]);
  });

  it('restores an older point and a single disk, in another format', async () => {
    const vm = await addVm();
    const first = vm.disk('dump').snapshot();
    vm.disk('dump').write(0, noise(2, MIB));
    await bench.backup(vm);
    const listed = await bench.run(['list', '--repo', bench.repository, '--json']);
    const [{ points }] = (JSON.parse(listed.stdout) as { vms: [{ points: { pointId: string }[] }] })
      .vms;
    const point = points[0]?.pointId ?? '';

    const which = ['--point', point, '--disk', 'dump', '--disk-format', 'cow'];
    const result = await restore(...TARGET, ...which, '--json');

    const [disk, ...others] = reportOf(result).disks;
    expect(others).toEqual([]);
    expect(disk?.format).toBe('cow');
    expect(bench.lab.disk(disk?.newDiskId ?? '').digest()).toBe(first.digest());
  });
});

describe('restore --to-engine refuses', () => {
  it('a name that a VM bears already, and leaves that VM alone', async () => {
    const vm = await addVm();
    const before = vm.disk('sys').digest();
    const requestsBefore = bench.lab.requests.length;

    const result = await restore(...targetWith('--as-vm', 'web01'));

    expectFailure(result, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
    expect(changesOf(bench.lab.requests.slice(requestsBefore))).toEqual([]);
    expect(vm.disk('sys').digest()).toBe(before);
  });

  it.each([
    ['storage domain', '--storage-domain', ['data', 'block']],
    ['cluster', '--cluster', ['Default', 'Legacy']],
  ])('an unknown %s, and names those that there are', async (_what, option, known) => {
    await addVm();
    const requestsBefore = bench.lab.requests.length;

    const result = await restore(...targetWith(option, 'tape'), '--json');

    const error = exitErrorOf(result);
    expect(error).toMatchObject({ code: 'USAGE_NOT_FOUND', exitCode: EXIT_CODES.usage });
    expect(known.filter((name) => !error.hint.includes(name))).toEqual([]);
    expect(changesOf(bench.lab.requests.slice(requestsBefore))).toEqual([]);
  });

  it('to choose between clusters', async () => {
    await addVm();

    const result = await restore('--as-vm', 'web01-new', '--storage-domain', 'data', '--json');

    const error = exitErrorOf(result);
    expect(error).toMatchObject({ code: 'USAGE_INVALID_OPTION', exitCode: EXIT_CODES.usage });
    expect(error.hint).toContain('Legacy');
  });

  it.each(
    inTurn([
      ['no name for the VM', ['--storage-domain', 'data']],
      ['no storage domain', ['--as-vm', 'web01-new']],
      ['an output folder besides', [...TARGET, '--output', 'out']],
      ['a format that does not exist', [...TARGET, '--disk-format', 'vmdk']],
      ['new and old MAC addresses', [...TARGET, '--new-macs', '--keep-macs']],
      ['a slash in the name of the VM', [...TARGET, '--as-vm', 'a/b']],
      ['a space in the name of the VM', [...TARGET, '--as-vm', 'a b']],
      ['a name that no VM can have', [...TARGET, '--as-vm', 'a\u0007b']],
    ]),
  )('%s', async (_what, args) => {
    const result = await restore(...args);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(bench.lab.requests).toEqual([]);
  });

  it('a VM that the repository does not hold, before it logs in', async () => {
    await addVm();
    const requestsBefore = bench.lab.requests.length;
    const args = bench.vmArgs('restore', 'nobody', '--to-engine', ...TARGET);

    expectFailure(await bench.run(args), 'USAGE_NOT_FOUND', EXIT_CODES.usage);

    expect(bench.lab.requests).toHaveLength(requestsBefore);
  });
});

describe('Ctrl-C during a restore', () => {
  it.each(
    inTurn([
      ['the making of a disk', 'engine', 'POST', /\/api\/disks(\?|$)/, {}],
      ['an upload', 'imageio', 'PUT', /\/images\//, { hang: true }],
      ['the import of the configuration', 'engine', 'POST', /\/api\/vms(\?|$)/, {}],
      ['the attachment of a disk', 'engine', 'POST', /\/diskattachments$/, {}],
    ]),
  )('during %s removes what was made', async (_what, server, method, path, action) => {
    const vm = await addVm();
    const args = bench.vmArgs('restore', 'web01', '--to-engine', '--workers', '0', ...TARGET);
    const running = { kill: (): void => {} };
    bench.lab.faults.add(
      { server, method, path, nth: 1 },
      { ...action, run: () => running.kill() },
    );
    const { child, ended } = bench.start(args);
    running.kill = () => void child.kill('SIGINT');

    const result = await ended;

    expect(result.exitCode).toBe(EXIT_CODES.interrupted);
    expect(result.stderr).toMatch(/^stopping: removing /m);
    expect(bench.lab.vms.map(({ name }) => name)).toEqual(['web01']);
    const made = vm.disks.map(({ id, name }) => `web01-new_${name}_${id.slice(0, 8)}`);
    expect(made.filter((name) => bench.lab.hasDisk(name))).toEqual([]);
    expect(filesOf(bench.repository, '.ndjson')).toEqual([]);
  });
});
