/** The daemon as a process against a lab: runs, signals, kills, its pages. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/index.ts';
import { MIB } from '../../../src/core/units.ts';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { readJobFile } from '../../../src/jobs/config/readJobFile.ts';
import type { JobState } from '../../../src/jobs/jobState.ts';
import { watchedState } from '../../../src/jobs/daemon/due.ts';
import { StateFolder } from '../../../src/jobs/state/stateFolder.ts';
import { listRepository } from '../../../src/sessions/inspect/listRepository.ts';
import { BLOCK_BYTES } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { expectFailure } from '../../helpers/cli/cli.ts';
import { DaemonProcess } from '../../helpers/jobs/daemonProcess.ts';
import { startReceiver, without } from '../../helpers/jobs/notifySocket.ts';
import { useCliLab } from '../../helpers/cli/cliLab.ts';

const MINUTE_MS = 60_000;

const bench = useCliLab();

/** Time of day in UTC, so many minutes from now. */
function clockTime(minutes: number): string {
  return new Date(Date.now() + minutes * MINUTE_MS).toISOString().slice(11, 16);
}

function jobFileText(schedule = '* * * * *'): string {
  const { url, username } = bench.lab;
  const hook = `[sh, -c, 'cat >> ${bench.temp.path('told.json')}']`;
  return `
engines:
  lab: { url: '${url}', username: ${username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: { path: repository }
stateFolder: state
metrics: { textfile: metrics.prom }
notify:
  ops: { on: [missed, failure], command: { command: ${hook} } }
jobs:
  nightly:
    engine: lab
    repository: main
    vms: { names: [a, b] }
    schedule: '${schedule}'
    timezone: UTC
    window: { until: '${clockTime(180)}' }
    backup: { workers: 0 }
    limits: { parallelVms: 1 }
    notify: [ops]
`;
}

function writeJobFile(text = jobFileText()): void {
  writeFileSync(bench.temp.path('jobs.yaml'), text);
}

function addVms(): readonly LabVm[] {
  return ['a', 'b'].map((name, n) => {
    const vm = bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
    vm.disk(`${name}_sys`).write(0, noise(n, 2 * BLOCK_BYTES));
    return vm;
  });
}

async function state(): Promise<JobState> {
  const file = await readJobFile(bench.temp.path('jobs.yaml'));
  return await (await StateFolder.open(file)).read('nightly');
}

/** As if a daemon had watched the job for some time. */
async function watchSince(agoMs: number): Promise<void> {
  const file = await readJobFile(bench.temp.path('jobs.yaml'));
  const job = file.jobs.get('nightly');
  if (!job) throw new Error('no job');
  const states = await StateFolder.open(file);
  await states.update('nightly', (before) => watchedState(before, job, Date.now() - agoMs));
}

function start(...args: readonly string[]): DaemonProcess {
  const file = bench.temp.path('jobs.yaml');
  return new DaemonProcess(bench.start(['daemon', '--file', file, '--json', ...args]));
}

async function pointCounts(): Promise<readonly string[]> {
  const { vms } = await listRepository({ repository: bench.temp.path('repository') });
  return vms.map(({ vmName, points }) => `${vmName} ${points.length}`);
}

describe('the daemon', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'continues a run that %s stopped, with the VMs that are not done',
    async (signal) => {
      const [, b] = addVms();
      writeJobFile();
      await watchSince(70_000);
      const diskId = b?.disks[0]?.id;
      const hang = bench.lab.faults.add(
        { server: 'imageio', method: 'GET', diskId },
        { hang: true },
      );
      const first = start();
      await first.line('run ');
      while (bench.lab.faults.fired(hang) === 0) await wait(20);
      const { runId } = (await state()).openRun ?? {};

      expect(await first.stop(signal)).toBe(signal === 'SIGTERM' ? EXIT_CODES.done : null);
      expect([first.has('JOB-625'), first.has('press Ctrl-C')]).toEqual([false, false]);
      const { openRun: left } = await state();
      expect(left).toMatchObject({ runId, doneVms: [expect.any(String)] });
      bench.lab.faults.clear();
      // With one time a day, no newer run is due.
      const slot = new Date(left?.slot ?? '');
      writeJobFile(jobFileText(`${slot.getUTCMinutes()} ${slot.getUTCHours()} * * *`));
      const second = start();
      await second.line('nightly: ');
      await second.line(' after ');

      expect(second.has('JOB-633')).toBe(true);
      const { openRun, lastRun, vms } = await state();
      expect([openRun, lastRun?.runId, lastRun?.outcome]).toEqual([undefined, runId, 'success']);
      expect(vms.map(({ vmName, lastOutcome }) => `${vmName} ${lastOutcome}`)).toEqual([
        'a success',
        'b success',
      ]);
      expect(await pointCounts()).toEqual(['a 1', 'b 1']);
      expect(await second.stop('SIGTERM')).toBe(EXIT_CODES.done);
    },
  );

  it('tells missed times: message, receiver and metrics', async () => {
    addVms();
    const hour = Number(clockTime(-120).slice(0, 2));
    writeJobFile(jobFileText(`0 ${hour} * * *`).replace(/^.*window.*$/m, ''));
    await watchSince(3 * 24 * 60 * MINUTE_MS);
    const daemon = start();
    await daemon.line('JOB-631');
    const metrics = bench.temp.path('metrics.prom');
    while (!existsSync(metrics)) await wait(20);

    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
    const told = JSON.parse(readFileSync(bench.temp.path('told.json'), 'utf8')) as object;
    expect(told).toMatchObject({ event: 'missed' });
    expect(readFileSync(metrics, 'utf8')).toMatch(
      /^ovirt_cbt_missed_slots_total\{backup_job="nightly"\} [23]$/m,
    );
  });

  it('loads its file again after SIGHUP, unless the file has errors', async () => {
    const yearly = jobFileText('0 0 1 1 *');
    writeJobFile(yearly);
    const daemon = start('--listen', '127.0.0.1:0');
    await daemon.line('is ready');
    const port = /:(\d+)\/metrics/.exec(daemon.lines.map(({ text }) => text).join(' '))?.[1];
    const page = async (name: string): Promise<string> =>
      await (await fetch(`http://127.0.0.1:${port}/${name}`)).text();
    writeJobFile(yearly.replace('timezone', 'timezome'));
    daemon.running.child.kill('SIGHUP');
    await daemon.line('JOB-635');

    expect(daemon.has('timezome')).toBe(true);
    expect(await page('healthz')).toMatch(/"status":"ok".*"next":"\d{4}-01-01T00:00/);
    writeJobFile(yearly.replace('0 0 1 1 *', '0 0 2 1 *'));
    daemon.running.child.kill('SIGHUP');
    await daemon.line('JOB-636');
    expect(await page('healthz')).toMatch(/"next":"\d{4}-01-02T00:00/);
    expect(await page('metrics')).toContain('ovirt_cbt_missed_slots_total{backup_job="nightly"} 0');

    const other = await bench.run(['daemon', '--file', bench.temp.path('jobs.yaml')]);
    expectFailure(other, 'DAEMON_RUNNING', EXIT_CODES.repositoryLocked);
    expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
  });

  it.skipIf(without !== '')(
    `tells systemd that it is ready and that it stops${without}`,
    async () => {
      writeJobFile(jobFileText('0 0 1 1 *'));
      const { socket, texts } = await startReceiver(bench.temp.path('notify.sock'));
      const has = (part: string): boolean => texts.some((text) => text.includes(part));
      const env = { ...bench.env(), NOTIFY_SOCKET: socket, WATCHDOG_USEC: '600000' };
      const args = ['daemon', '--file', bench.temp.path('jobs.yaml'), '--json'];
      const daemon = new DaemonProcess(bench.start(args, env));
      await daemon.line('is ready');
      while (!has('READY=1') || !has('WATCHDOG=1')) await wait(20);

      expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
      while (!has('STOPPING=1')) await wait(20);
      expect(daemon.has('systemd')).toBe(false);
    },
  );

  it('refuses to listen where others could ask', async () => {
    writeJobFile();
    const args = ['daemon', '--file', bench.temp.path('jobs.yaml'), '--listen', '0.0.0.0:8484'];

    expectFailure(await bench.run(args), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});

describe('the journal', () => {
  it('gets priorities and no times', () => {
    const journal = bench.temp.path('journal');
    const script =
      'exec 2>"$1"; export JOURNAL_STREAM=$(stat -c %d:%i "$1"); exec "$2" dist/cli/launch.cjs daemon --file /none';
    const { status } = spawnSync('sh', ['-c', script, 'sh', journal, process.execPath]);

    expect(status).toBe(EXIT_CODES.usage);
    expect(readFileSync(journal, 'utf8')).toMatch(/^<3>error: /);
  });
});
