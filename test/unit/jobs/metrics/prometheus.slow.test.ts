/** A real Prometheus reads the metrics over HTTP and evaluates the alerts. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { formatMetrics } from '../../../../src/jobs/metrics/formatMetrics.ts';
import { FULL_STATE, stateAfter, VM_STATE } from '../../../helpers/jobs/runs.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const IS_MISSING = spawnSync('prometheus', ['--version']).error !== undefined;
const ODD_NAME = 'a"b\\c d 🐘';

const folder = useTempFolder();
let target: Server | undefined;
let prometheus: ChildProcess | undefined;

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function serve(text: string): Promise<number> {
  target = createServer((_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
    response.end(text);
  }).listen(0, '127.0.0.1');
  await once(target, 'listening');
  return (target.address() as AddressInfo).port;
}

/** @returns the URL of its API. */
async function startPrometheus(targetPort: number): Promise<string> {
  const config = folder.path('prometheus.yml');
  const scrape = {
    job_name: 'backup',
    static_configs: [{ targets: [`127.0.0.1:${targetPort}`] }],
  };
  writeFileSync(
    config,
    JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [path.resolve('docs/monitoring/alerts.yml')],
      scrape_configs: [scrape],
    }),
  );
  const port = await freePort();
  prometheus = spawn(
    'prometheus',
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${folder.path('data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
  return `http://127.0.0.1:${port}/api/v1`;
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** Asks until there is an answer: the server starts, and reads its target once a second. */
async function query(api: string, expression: string): Promise<readonly Series[]> {
  const url = `${api}/query?query=${encodeURIComponent(expression)}`;
  for (;;) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) {
      const { data } = (await response.json()) as { data: { result: Series[] } };
      if (data.result.length > 0) return data.result;
    }
    await sleep(100);
  }
}

beforeEach(({ skip }) => skip(IS_MISSING, 'prometheus is missing (Debian package prometheus)'));

afterEach(async () => {
  if (prometheus) {
    prometheus.kill();
    await once(prometheus, 'exit');
  }
  target?.closeAllConnections();
  target?.close();
});

it('keeps the labels, and fires the alerts', async () => {
  const odd = { ...VM_STATE, vmName: ODD_NAME, isDamaged: true };
  const states = [FULL_STATE, stateAfter('failure', { jobName: 'other', vms: [odd] })];
  const api = await startPrometheus(await serve(formatMetrics(states, new Date())));

  const [damaged, ...others] = await query(api, 'ovirt_cbt_vm_damaged == 1');
  const failed = await query(api, 'ALERTS{alertname="OvirtCbtRunFailed",alertstate="firing"}');
  const old = await query(api, 'ALERTS{alertname="OvirtCbtBackupTooOld",alertstate="firing"}');

  expect(others).toEqual([]);
  expect(damaged?.metric).toMatchObject({
    job: 'backup',
    backup_job: 'other',
    vm: ODD_NAME,
    vm_id: 'id-1',
  });
  expect(Object.keys(damaged?.metric ?? {}).filter((name) => /exported/.test(name))).toEqual([]);
  expect(failed.map(({ metric }) => metric['backup_job'])).toEqual(['other']);
  expect(new Set(old.map(({ metric }) => metric['vm']))).toEqual(new Set([ODD_NAME, 'web01']));
});
