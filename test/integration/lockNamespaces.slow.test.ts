/**
 * Sessions of one VM in different PID namespaces, as in containers with the same host name. Neither
 * can see the processes of the other.
 */
import { execFileSync, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { readdirSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { LabVm } from '../../lab/src/index.ts';
import { LOCK_TIMES } from '../../src/store/lockLease.ts';
import { noise } from '../helpers/bytes/random.ts';
import { type CliResult, expectFailure, type RunningCli, until } from '../helpers/cli/cli.ts';
import { useCliLab } from '../helpers/cli/cliLab.ts';
import { filesOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';

const MIB = 1024 * 1024;
const ISOLATED = ['--pid', '--fork', '--mount-proc', '--kill-child'];

function canIsolate(): boolean {
  try {
    execFileSync('unshare', [...ISOLATED, 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    console.warn('skipped: this user cannot make PID namespaces, so none are tried');
    return false;
  }
}

const bench = useCliLab();

/** Starts a command as the first process of a PID namespace of its own. */
function startIsolated(args: readonly string[]): RunningCli {
  const command = [process.execPath, 'dist/cli/launch.cjs', ...args];
  const child = spawn('unshare', [...ISOLATED, ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...bench.env() },
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => resolve({ exitCode, signal, ...output }));
  });
  return { child, ended };
}

function addVm(): LabVm {
  const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: 4 * MIB }] });
  vm.disk('sys').write(MIB, noise(1, MIB));
  return vm;
}

/** A session in a namespace of its own that waits in a transfer until `go` is called. */
async function startWaiting(): Promise<{ readonly first: RunningCli; readonly go: () => void }> {
  const door = new EventEmitter();
  const gate = once(door, 'open').then(() => {});
  const match = { server: 'imageio', method: 'GET', path: /\/images\/[^/]+$/, nth: 1 } as const;
  const fault = bench.lab.faults.add(match, { run: () => gate });
  const first = startIsolated(bench.backupArgs(['web01']));
  expect(await until(first, () => bench.lab.faults.fired(fault) > 0)).toBe(true);
  return { first, go: () => void door.emit('open') };
}

function lockFile(): string {
  return path.join(vmFolderOf(bench.repository), 'lock');
}

describe.runIf(canIsolate())('a session in another PID namespace', () => {
  test.each([
    ['a third one', (args: readonly string[]) => startIsolated(args).ended],
    ['the host', (args: readonly string[]) => bench.run(args)],
  ])('keeps its lock, its files and its transfer against a session in %s', async (_name, run) => {
    const vm = addVm();
    const { first, go } = await startWaiting();
    const before = [filesOf(bench.repository, '.partial'), bench.lab.leftovers()];

    const second = await run(bench.backupArgs(['web01']));

    expect(second.exitCode).toBe(11);
    expect(second.stderr).toMatch(/another process on this host \(pid \d+\).*its lease ends in/);
    expect([filesOf(bench.repository, '.partial'), bench.lab.leftovers()]).toEqual(before);
    go();
    expect(await first.ended).toMatchObject({ exitCode: 0 });
    await bench.expectRestored(vm, { sys: vm.disk('sys').snapshot() });
  });

  test('that was killed blocks until its lease has ended', async () => {
    const vm = addVm();
    const { first, go } = await startWaiting();
    first.child.kill('SIGKILL');
    await first.ended;
    go();

    const refused = await bench.run(bench.vmArgs('cleanup', 'web01'));
    expectFailure(refused, 'REPOSITORY_LOCKED', 11);
    expect(refused.stderr).toMatch(/its lease ends in \d+ s/);
    const beforeLease = new Date(Date.now() - LOCK_TIMES.leaseMs - 1000);
    utimesSync(lockFile(), beforeLease, beforeLease);

    const next = await bench.run(bench.backupArgs(['web01']));
    expect(next.exitCode).toBe(0);
    expect(readdirSync(vmFolderOf(bench.repository)).filter((name) => /lock/.test(name))).toEqual(
      [],
    );
    await bench.expectRestored(vm, { sys: vm.disk('sys').snapshot() });
  });
});
