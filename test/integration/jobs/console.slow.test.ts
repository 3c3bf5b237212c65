/** The console of `ovirt-cbt daemon` as a process: tokens, stops, restarts, missing packages. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Chain, PointName, VmRow } from '../../../src/console/contract.ts';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { MIB } from '../../../src/core/units.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectFailure } from '../../helpers/cli/cli.ts';
import { useCliLab } from '../../helpers/cli/cliLab.ts';
import { ConsoleClient } from '../../helpers/console/client.ts';
import { DaemonProcess } from '../../helpers/jobs/daemonProcess.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';

const bench = useCliLab();
const s3 = useS3();

function writeJobFile(repository = '{ path: repository }'): void {
  const { url, username } = bench.lab;
  const text = `
engines:
  lab: { url: '${url}', username: ${username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: ${repository}
stateFolder: state
jobs:
  nightly:
    engine: lab
    repository: main
    vms: { names: [a] }
    schedule: '0 0 1 1 *'
    timezone: UTC
    backup: { workers: 0 }
`;
  writeFileSync(bench.temp.path('jobs.yaml'), text);
}

function addVm(): void {
  const vm = bench.lab.addVm({ name: 'a', disks: [{ name: 'a_sys', sizeBytes: MIB }] });
  vm.disk('a_sys').write(0, noise(1, 2 * BLOCK_BYTES));
}

async function start(
  args: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<DaemonProcess> {
  const file = bench.temp.path('jobs.yaml');
  const env = { ...bench.env(), ...more };
  const daemon = new DaemonProcess(bench.start(['daemon', '--file', file, '--json', ...args], env));
  await daemon.line('is ready');
  return daemon;
}

function textOf(daemon: DaemonProcess): string {
  return daemon.lines.map(({ text }) => text).join('\n');
}

function clientOf(daemon: DaemonProcess, token: string): ConsoleClient {
  const origin = /console: (https?:\/\/\S+?)\/(?:\s|$)/.exec(textOf(daemon))?.[1] ?? '';
  return new ConsoleClient(origin, token);
}

function madeToken(daemon: DaemonProcess): string {
  return /\(token in ([^)]+)\)/.exec(textOf(daemon))?.[1] ?? '';
}

async function backUp(client: ConsoleClient): Promise<PointName> {
  const watch = await client.watch();
  await client.startRun('nightly');
  await watch.until('job', ({ job }) => job.runId === undefined);
  await watch.close();
  const [row] = (await client.get('/vms')) as readonly VmRow[];
  const vmKey = row?.vmKey ?? '';
  const chain = (await client.get(`/jobs/nightly/vms/${vmKey}/chain`)) as Chain;
  return { jobName: 'nightly', vmKey, pointId: chain.points.at(-1)?.pointId ?? '' };
}

describe('a daemon with --listen alone', () => {
  it('makes a token for its user, and keeps it', async () => {
    addVm();
    writeJobFile();
    const first = await start(['--listen', '127.0.0.1:0']);
    const file = madeToken(first);
    const token = readFileSync(file, 'utf8').trim();

    expect(file.startsWith(bench.temp.path('state'))).toBe(true);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(textOf(first)).not.toContain(token);
    await backUp(clientOf(first, token));
    expect((await clientOf(first, 'x'.repeat(43)).send('GET', '/vms')).status).toBe(401);
    await first.line('a wrong token from');
    const refused = await clientOf(first, token).send('POST', '/tasks', {
      type: 'restoreFiles',
      jobName: 'nightly',
      vmKey: 'a',
      pointId: 'x',
      diskIds: ['x'],
    });
    expect(refused.json.error.message).toContain('no folder for restored files');
    expect(await first.stop('SIGTERM')).toBe(EXIT_CODES.done);
    const second = await start(['--listen', '127.0.0.1:0']);
    expect(readFileSync(madeToken(second), 'utf8').trim()).toBe(token);
    expect(await clientOf(second, token).get('/vms')).toMatchObject([{ health: 'good' }]);
    expect(await second.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });
});

describe('a daemon of systemd', () => {
  it('takes the tokens that systemd gives to its unit', async () => {
    writeJobFile();
    const folder = bench.temp.path('credentials');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'console-token'), `${'o'.repeat(32)}\n`, { mode: 0o400 });
    writeFileSync(path.join(folder, 'console-read-only-token'), 'r'.repeat(32), { mode: 0o400 });
    const daemon = await start(['--listen', '127.0.0.1:0'], { CREDENTIALS_DIRECTORY: folder });
    const roles = await Promise.all(
      ['o', 'r'].map(async (letter) => {
        return (await clientOf(daemon, letter.repeat(32)).send('GET', '/me')).json.role as string;
      }),
    );

    expect(roles).toEqual(['operator', 'readOnly']);
    expect(textOf(daemon)).not.toContain('(token in');
    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });
});

describe('a stop of the daemon', () => {
  it('ends tasks in order: nothing is left on the engine or in the repository', async () => {
    addVm();
    writeJobFile();
    writeFileSync(bench.temp.path('token'), `${'t'.repeat(32)}\n`, { mode: 0o600 });
    const args = ['--listen', '127.0.0.1:0', '--token-file', bench.temp.path('token')];
    const daemon = await start([...args, '--restore-folder', bench.temp.path('restores')]);
    const client = clientOf(daemon, 't'.repeat(32));
    expect(textOf(daemon)).not.toContain('(token in');
    const point = await backUp(client);
    bench.lab.faults.add({ server: 'imageio', method: 'PUT' }, { hang: true });
    const watch = await client.watch();
    const target = { newName: 'b', storageDomain: 'data', cluster: 'Default' } as const;
    await client.startTask({ type: 'restoreVm', ...target, ...point });
    await watch.until('session', ({ session }) => session.phase === 'uploading');
    await watch.close();

    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
    expect(bench.lab.vms.map(({ name }) => name)).toEqual(['a']);
  });
});

describe('options of the console', () => {
  it.each([
    [['--token-file', 'x'], '--token-file without --listen'],
    [['--restore-folder', 'x'], '--restore-folder without --listen'],
    [['--listen', '0', '--tls-cert', 'x'], '--tls-cert and --tls-key belong together'],
    [['--listen', '0.0.0.0:0'], 'others can reach 0.0.0.0, so it needs TLS'],
    [['--listen', '0', '--token-file', '/none'], '/none'],
  ])('%j are refused', async (args, text) => {
    writeJobFile();
    const file = bench.temp.path('jobs.yaml');
    const result = await bench.run(['daemon', '--file', file, ...args]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(text);
  });
});

/** Makes the packages of the console unknown. */
function withoutHono(): Readonly<Record<string, string>> {
  const hooks = bench.temp.path('hooks.mjs');
  const register = bench.temp.path('register.mjs');
  writeFileSync(
    hooks,
    `export async function resolve(name, context, next) {
      if (/^(@hono|hono)/.test(name)) throw new Error('not installed: ' + name);
      return await next(name, context);
    }`,
  );
  writeFileSync(
    register,
    `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(hooks).href)});`,
  );
  return { NODE_OPTIONS: `--import ${pathToFileURL(register).href}` };
}

describe('without the optional packages', () => {
  it('the daemon has /metrics and /healthz, and says why there is no console', async () => {
    writeJobFile();
    const daemon = await start(['--listen', '127.0.0.1:0'], withoutHono());
    const url = /http:\S+\/metrics/.exec(textOf(daemon))?.[0] ?? '';

    expect(textOf(daemon)).toContain('there is no console');
    expect(textOf(daemon)).toContain('npm install hono');
    expect((await fetch(url)).status).toBe(200);
    expect((await fetch(url.replace('metrics', ''))).status).toBe(404);
    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });

  it('a daemon without --listen does not miss them', async () => {
    writeJobFile();
    const daemon = await start([], withoutHono());

    expect(textOf(daemon)).not.toContain('console');
    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });
});

describe('a repository', () => {
  it.each([
    ['that is sealed', (): string => '{ path: repository, keyFile: key }'],
    ['in a bucket', (): string => `{ url: '${s3.repository}' }`],
  ])('%s has chains, maps and runs too', async (_, repository) => {
    addVm();
    writeFileSync(bench.temp.path('key'), 'a passphrase of some length\n', { mode: 0o600 });
    writeJobFile(repository());
    const daemon = await start(['--listen', '127.0.0.1:0']);
    const client = clientOf(daemon, readFileSync(madeToken(daemon), 'utf8').trim());
    const { vmKey, pointId } = await backUp(client);

    expect(await client.get(`/jobs/nightly/vms/${vmKey}/points/${pointId}/map`)).toMatchObject([
      { alias: 'a_sys' },
    ]);
    expect(await client.get('/runs')).toHaveLength(1);
    expect(await client.get('/repositories')).toMatchObject([{ pointCount: 1 }]);
    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });
});
