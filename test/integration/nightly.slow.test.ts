/** Executes every command of docs/nightly.md, in its order, against the lab. */
import { execFile } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { addSampleVms, type Lab, startLab } from '../../lab/src/index.ts';
import { startMailServer } from '../helpers/jobs/mailServer.ts';
import { tempFolderOfTest } from '../helpers/tempFolder.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const CLI = path.join(ROOT, 'dist/cli/launch.cjs');
const SYSTEMCTL = path.join(ROOT, 'test/helpers/jobs/fakeSystemctl.sh');
/** Slow enough that tickets do not expire between two requests on a busy machine. */
const LAB_TIME_SCALE = 0.01;
const INSTALL = 'npm install --global ovirt-cbt-0.1.0.tgz\n';
const TELL_FAILURE = `trap 'echo "failed: $BASH_COMMAND" >&2' ERR`;
const DAEMON = 'http://127.0.0.1:8484';
const POLL_MS = 50;
/** The commands wait for the engine at their usual pace, so they need about a minute. */
const MOST_MS = 10 * 60_000;

const page = readFileSync(path.join(ROOT, 'docs/nightly.md'), 'utf8');
const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map((match) => match[1] ?? '');

/** The commands for this machine: folders below `folder`, the lab, the mail server of the test. */
function localScript(folder: string, lab: Lab, mailPort: number): string {
  const units = path.join(folder, 'etc/systemd/system');
  return blocks
    .join('\n')
    .replace(INSTALL, '')
    .replaceAll('https://engine.example/ovirt-engine', lab.url)
    .replaceAll('admin@internal', lab.username)
    .replaceAll(/(?<![\w.])\/(?:etc|var)\//g, `${folder}$&`)
    .replaceAll('timers --install', `timers --install --directory ${units}`)
    .replaceAll('port: 25,', `port: ${mailPort},`);
}

/** Programs of the page that this machine has not, or must not use. */
function addPrograms(folder: string): string {
  const bin = path.join(folder, 'bin');
  mkdirSync(bin);
  writeFileSync(path.join(bin, 'ovirt-cbt'), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`);
  writeFileSync(path.join(bin, 'systemctl'), `#!/bin/sh\nexec ${SYSTEMCTL} "$@"\n`);
  for (const name of readdirSync(bin)) chmodSync(path.join(bin, name), 0o755);
  return bin;
}

interface Ended {
  readonly exitCode: number;
  readonly output: string;
}

async function runScript(script: string, folder: string, password: string): Promise<Ended> {
  const bin = addPrograms(folder);
  const units = path.join(folder, 'etc/systemd/system');
  const env = {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: folder,
    UNITS: units,
    RUNTIME: path.join(folder, 'run'),
    STATUS_URL: `${DAEMON}/healthz`,
  };
  for (const name of ['etc/bash_completion.d', 'var/tmp', 'var/lib', 'run']) {
    mkdirSync(path.join(folder, name), { recursive: true });
  }
  return await new Promise((resolve) => {
    const args = ['--norc', '-euo', 'pipefail', '-c', `${TELL_FAILURE}\n${script}`];
    const child = execFile('bash', args, { cwd: folder, env }, (_error, stdout, stderr) => {
      resolve({ exitCode: child.exitCode ?? -1, output: `${stdout}${stderr}` });
    });
    child.stdin?.end(`${password}\n`);
    onTestFinished(() => void child.kill());
  });
}

it('has an install command that the smoke test of the package executes', () => {
  expect(blocks[0]).toContain(INSTALL);
  expect(readFileSync(path.join(ROOT, 'test/packSmoke.sh'), 'utf8')).toMatch(
    /npm install --silent --global --prefix \S+ \.\.\/ovirt-cbt-\S+\.tgz/,
  );
});

it(
  'leads from nothing to nightly backups',
  async () => {
    const folder = tempFolderOfTest();
    onTestFinished(() => killDaemon(folder));
    await using lab = await startLab({ timeScale: LAB_TIME_SCALE });
    addSampleVms(lab);
    await using mailServer = await startMailServer();

    const script = localScript(folder, lab, mailServer.port);
    const { exitCode, output } = await runScript(script, folder, lab.password);
    if (exitCode !== 0) throw new Error(output);
    expect(output).not.toContain(lab.password);
    expect(mailServer.mails.length).toBeGreaterThan(0);
    const metrics = readFileSync(
      path.join(folder, 'var/lib/prometheus/node-exporter/ovirt-cbt.prom'),
      'utf8',
    );
    expect(metrics).toMatch(/^ovirt_cbt_last_success_timestamp_seconds\{.*vm="web01".*\} \d+/m);
    expect(readFileSync(path.join(folder, 'etc/ovirt-cbt/nightly.html'), 'utf8')).toContain(
      'web01',
    );
    expect(readdirSync(path.join(folder, 'etc/systemd/system')).toSorted()).toEqual([
      'ovirt-cbt-nightly.service',
      'ovirt-cbt-nightly.timer',
      'ovirt-cbt.service',
    ]);

    // The daemon runs, tells its metrics, and ends in order.
    const answer = await fetch(`${DAEMON}/metrics`);
    expect(await answer.text()).toMatch(/^ovirt_cbt_last_run_success\{.*"nightly".*\} 1$/m);
    const pid = daemonOf(folder) ?? 0;
    process.kill(pid, 'SIGTERM');
    while (existsSync(`/proc/${pid}`)) await wait(POLL_MS);
    expect(lab.leftovers()).toEqual([]);
  },
  MOST_MS,
);

/** Process id of the daemon, once the page has started it. */
function daemonOf(folder: string): number | undefined {
  const file = path.join(folder, 'run/ovirt-cbt.service.pid');
  return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
}

function killDaemon(folder: string): void {
  const pid = daemonOf(folder);
  if (pid !== undefined && existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
}
