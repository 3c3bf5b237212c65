/** Ctrl-C at any moment of a VM's backup frees the VM and leaves the chain as it was. */
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { LabAction, LabMatch, LabVm } from '../../lab/src/index.ts';
import { type RunningCli, until } from '../helpers/cli/cli.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import { inTurn } from '../helpers/longForm.ts';
import { noise } from '../helpers/bytes/random.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const bench = useCliLab();

/** A VM with one restore point, and changes since. */
async function addVm(): Promise<LabVm> {
  const disks = ['sys', 'data'].map((name) => ({ name, sizeBytes: 4 * MIB }));
  const vm = bench.lab.addVm({ name: 'web01', disks });
  for (const disk of vm.disks) disk.write(MIB, noise(1, MIB));
  await bench.backup(vm);
  for (const disk of vm.disks) disk.write(2 * MIB, noise(2, MIB));
  return vm;
}

/** Starts a backup that gets a Ctrl-C when a request arrives. */
function stopAt(match: LabMatch, action: LabAction = {}): RunningCli {
  let running: RunningCli | undefined;
  const run = (): void => void running?.child.kill('SIGINT');
  bench.lab.faults.add({ nth: 1, ...match }, { ...action, run });
  running = bench.start(bench.backupArgs(['web01']));
  return running;
}

const engine = (method: string, path: RegExp): LabMatch => ({ server: 'engine', method, path });
const imageio = (method: string, path: RegExp): LabMatch => ({ server: 'imageio', method, path });

/** Requests during which Ctrl-C comes. A request that changes nothing gets no answer. */
const MOMENTS: readonly (readonly [string, LabMatch, LabAction])[] = [
  ['the login', engine('POST', /oauth\/token/), { hang: true }],
  ['the list of disks', engine('GET', /diskattachments/), { hang: true }],
  ['the start of the backup', engine('POST', /\/backups$/), {}],
  ['the wait for the frozen view', engine('GET', /\/backups\/[^/]+$/), { hang: true }],
  ['the start of a transfer', engine('POST', /\/imagetransfers$/), {}],
  ['the wait for a transfer', engine('GET', /\/imagetransfers\/[^/]+$/), { hang: true }],
  ['the changes of a disk', imageio('GET', /extents/), { hang: true }],
  ['the read of a disk', imageio('GET', /\/images\/[^/]+$/), { hang: true }],
  ['the end of a transfer', engine('POST', /\/imagetransfers\/[^/]+\/finalize/), {}],
  ['the end of the backup', engine('POST', /\/backups\/[^/]+\/finalize/), {}],
];

describe('Ctrl-C', () => {
  it.each(inTurn(MOMENTS))(
    'during %s leaves VM and chain as they were',
    async (_what, match, action) => {
      const vm = await addVm();
      const [before] = vm.checkpointIds();
      const files = filesOf(bench.repository);

      const running = stopAt(match, action);
      const result = await running.ended;

      expect(result.exitCode).toBe(EXIT_CODES.interrupted);
      expect(result.stdout).toBe('');
      expect(result.stderr).toMatch(/^stopping: waiting /m);
      expect(result.stderr).toMatch(/^error: .+ \(CANCELLED\) hint: .+$/m);
      expect(bench.lab.leftovers()).toEqual([]);
      expect(vm.checkpointIds()).toEqual([before]);
      expect(filesOf(bench.repository)).toEqual(files);
    },
  );

  it('says that it waits for the engine, and the next session goes on from the old base', async () => {
    const vm = await addVm();

    const running = stopAt(imageio('GET', /\/images\/[^/]+$/), { hang: true });
    const { stderr } = await running.ended;
    bench.lab.faults.clear();

    expect(stderr).toMatch(/^stopping: waiting for the engine to end the backup of web01$/m);
    const next = await bench.backup(vm);
    expect(next.disks.map(({ mode }) => mode)).toEqual(['incremental', 'incremental']);
    expect(next.engine?.fromCheckpointId).toBe(pointsOf(bench.repository)[0]?.checkpointId);
    await bench.expectRestored(vm, {
      sys: vm.disk('sys').snapshot(),
      data: vm.disk('data').snapshot(),
    });
  });

  it('ends a backup that the engine never makes ready', async () => {
    const vm = await addVm();
    bench.lab.behaviour.backupHangs = true;

    const running = stopAt({ ...engine('GET', /\/backups\/[^/]+$/), phase: 'starting' });
    const result = await running.ended;

    expect(result.exitCode).toBe(EXIT_CODES.interrupted);
    expect(vm.checkpointIds()).toHaveLength(1);
  });

  it('ends with the exit code of its signal', async () => {
    await addVm();
    const fault = bench.lab.faults.add(imageio('GET', /\/images\/[^/]+$/), { hang: true });
    const running = bench.start(bench.backupArgs(['web01']));
    expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);

    running.child.kill('SIGTERM');

    expect((await running.ended).exitCode).toBe(143);
  });
});

describe('a terminal that goes away', () => {
  it.each([
    ['SIGHUP', ['SIGHUP'], EXIT_CODES.hungUp],
    ['SIGHUP twice and SIGTERM, as a logout sends them', ['SIGHUP', 'SIGHUP', 'SIGTERM'], 129],
    ['SIGTERM and SIGHUP, as a service manager sends them', ['SIGTERM', 'SIGHUP'], 143],
  ] as const)('sends %s: VM and chain stay as they were', async (_what, signals, exitCode) => {
    const vm = await addVm();
    const [before] = vm.checkpointIds();
    const files = filesOf(bench.repository);
    const fault = bench.lab.faults.add(imageio('GET', /\/images\/[^/]+$/), { hang: true });
    const running = bench.start(bench.backupArgs(['web01']));
    expect(await until(running, () => bench.lab.faults.fired(fault) > 0)).toBe(true);

    const [first, ...others] = signals;
    running.child.kill(first);
    // Signals that come at the same time would arrive in the order of their numbers.
    let stderr = '';
    running.child.stderr?.on('data', (text: string) => (stderr += text));
    expect(await until(running, () => stderr.includes('stopping: '))).toBe(true);
    for (const signal of others) running.child.kill(signal);
    const result = await running.ended;

    expect(result.exitCode).toBe(exitCode);
    expect(result.stderr).toMatch(/^error: .+ \(CANCELLED\) hint: .+$/m);
    expect(bench.lab.leftovers()).toEqual([]);
    expect(vm.checkpointIds()).toEqual([before]);
    expect(filesOf(bench.repository)).toEqual(files);
  });
});

const TARGET = ['--as-vm', 'new', '--storage-domain', 'data', '--cluster', 'Default'];

describe('a second Ctrl-C', () => {
  it('ends at once, and cleanup does what was not waited for', async () => {
    bench.allowLeftovers();
    await addVm();
    const held = bench.lab.faults.add(engine('POST', /\/backups\/[^/]+\/finalize/), { hang: true });
    const running = stopAt(imageio('GET', /\/images\/[^/]+$/), { hang: true });
    expect(await until(running, () => bench.lab.faults.fired(held) > 0)).toBe(true);

    running.child.kill('SIGINT');
    const result = await running.ended;

    expect(result.exitCode).toBe(EXIT_CODES.interrupted);
    expect(result.stderr).toContain(
      `stopped at once: a backup of web01 may still be open on the engine; the next session or "ovirt-cbt cleanup --vm web01 --repo ${bench.repository}" ends it\n`,
    );
    expect(bench.lab.leftovers()).not.toEqual([]);
    bench.lab.faults.clear();
    const cleaned = await bench.run(bench.vmArgs('cleanup', 'web01'));
    expect(cleaned.exitCode).toBe(0);
    expect(bench.lab.leftovers()).toEqual([]);
  });

  it.each([
    [
      'stream',
      ['--disk', 'sys', '--output', 'DIR/sys.raw', '--journal', 'DIR/journal'],
      engine('POST', /\/backups\/[^/]+\/finalize/),
      /^stopped at once: a backup of web01 may still be open .*; the next stream .* or "ovirt-cbt cleanup --vm web01 --repo .*journal" ends it$/m,
    ],
    [
      'restore',
      ['--repo', 'REPO', '--to-engine', ...TARGET],
      engine('POST', /\/imagetransfers\/[^/]+\/cancel/),
      /^stopped at once: the new VM new or its disks may be left on the engine; "ovirt-cbt cleanup --vm web01 --repo .*" removes them$/m,
    ],
    [
      'restore',
      ['--repo', 'REPO', '--to-engine', ...TARGET, '--json'],
      engine('POST', /\/imagetransfers\/[^/]+\/cancel/),
      /^\{"type":"stopped_at_once",.*"text":"stopped at once: the new VM/m,
    ],
  ] as const)('of %s %j tells what may be left', async (command, args, end, text) => {
    bench.allowLeftovers();
    await addVm();
    const held = bench.lab.faults.add(end, { hang: true });
    const read = bench.lab.faults.add(
      { server: 'imageio', path: /\/images\/[^/]+$/ },
      { hang: true },
    );
    const filled = args.map((arg) =>
      arg.replace('REPO', bench.repository).replace('DIR', bench.temp.path('.')),
    );
    const running = bench.start([command, '--vm', 'web01', ...filled]);
    expect(await until(running, () => bench.lab.faults.fired(read) > 0)).toBe(true);

    running.child.kill('SIGINT');
    expect(await until(running, () => bench.lab.faults.fired(held) > 0)).toBe(true);
    running.child.kill('SIGINT');
    const result = await running.ended;

    expect(result.exitCode).toBe(EXIT_CODES.interrupted);
    expect(result.stderr).toMatch(text);
  });
});
