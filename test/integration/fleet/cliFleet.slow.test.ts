/** The commands of a fleet, as their users start them. No secret leaves its file. */
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { expectFailure } from '../../helpers/cli/cli.ts';
import { useCliLab } from '../../helpers/cli/cliLab.ts';
import { childrenOf, eventually } from '../../helpers/fleet/fleetBench.ts';
import { useRedis } from '../../helpers/fleet/redisServer.ts';

const PASSWORD = 'canary-of-the-queue';
const bench = useCliLab();
const redis = useRedis({ password: PASSWORD });

beforeEach(() => {
  const { lab, temp } = bench;
  writeFileSync(temp.path('queue'), `${PASSWORD}\n`, { mode: 0o600 });
  const { url, username } = lab;
  const content = {
    engines: { lab: { url, username, passwordFile: 'password', caFile: 'ca.pem' } },
    repositories: { main: { path: 'main' } },
    jobs: { nightly: { engine: 'lab', repository: 'main', vms: { all: true } } },
    stateFolder: 'state',
  };
  writeFileSync(temp.path('jobs.yaml'), JSON.stringify(content));
});

function fleetArgs(...command: readonly string[]): string[] {
  const { temp } = bench;
  const queue = ['--queue', redis.server.url, '--queue-password-file', temp.path('queue')];
  return [...command, '--file', temp.path('jobs.yaml'), ...queue];
}

describe('a run and a worker', () => {
  it('back up VMs together, and show no secret', async () => {
    const vm = bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
    vm.disk('sys').write(0, Buffer.alloc(65_536, 'text '));
    const seen: string[] = [];
    const monitor = await redis.server.client.monitor();
    monitor.on('monitor', (_time, args: readonly string[]) => seen.push(args.join(' ')));
    const worker = bench.start(fleetArgs('worker', '--log-level', 'debug'));
    const run = bench.start(fleetArgs('run', 'nightly', '--json'));
    const pid = worker.child.pid ?? 0;
    await eventually(() => childrenOf(pid).length > 0);
    const commandLines = [pid, run.child.pid ?? 0, ...childrenOf(pid)].map((one) =>
      readFileSync(`/proc/${one}/cmdline`, 'utf8'),
    );
    const result = await run.ended;
    worker.child.kill('SIGTERM');
    const ended = await worker.ended;
    monitor.disconnect();

    expect(result.exitCode, result.stderr).toBe(0);
    expect(JSON.parse(result.stdout)).toMatchObject({ vms: [{ outcome: 'success' }] });
    expect([ended.exitCode, ended.stdout]).toEqual([0, '']);
    expect(ended.stderr).toContain('session of web01 made restore point 1');
    const everything = [...seen, ...commandLines, ended.stderr, result.stderr, result.stdout];
    expect(seen.some((text) => text.includes('"jobName":"nightly"'))).toBe(true);
    for (const secret of [PASSWORD, bench.lab.password]) {
      expect(everything.filter((text) => text.includes(secret))).toEqual([]);
    }
  });
});

describe('a run', () => {
  it('without a server ends with exit code 14, and its report tells why', async () => {
    bench.lab.addVm({ name: 'web01', disks: [{ name: 'sys', sizeBytes: MIB }] });
    await redis.server.stop();
    const result = await bench.run(fleetArgs('run', 'nightly', '--json'));

    expect(result.exitCode).toBe(14);
    expect(JSON.parse(result.stdout)).toMatchObject({
      outcome: 'failure',
      failedSteps: [{ step: 'plan', code: 'QUEUE_UNREACHABLE' }],
    });
  });

  it.each([
    [['run', 'nightly', '--queue', 'redis://:canary@localhost'], 'password in the URL'],
    [['run', 'nightly', '--queue', 'http://localhost'], 'scheme'],
    [['run', 'nightly', '--queue-ca', 'ca.pem'], 'without --queue'],
    [['worker'], '--queue is missing'],
    [['worker', '--queue', 'redis://localhost', '--parallel-vms', '17'], '1 to 16'],
    [['worker', '--queue', 'redis://localhost', '--label', 'a b'], 'label'],
  ])('refuses %s', async (args, text) => {
    const result = await bench.run([...args, '--file', bench.temp.path('jobs.yaml')]);

    expectFailure(result, 'USAGE_INVALID_OPTION', 2);
    expect(result.stderr).toContain(text);
    expect(result.stderr).not.toContain('canary');
  });
});

describe('a daemon', () => {
  it('without a server ends with exit code 14', async () => {
    await redis.server.stop();
    const result = await bench.run(fleetArgs('daemon'));

    expectFailure(result, 'QUEUE_UNREACHABLE', 14);
  });
});
