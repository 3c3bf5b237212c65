/** The console from end to end: Chromium by keyboard, a real daemon, a lab. */
import { writeFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { LabVm } from '../../../lab/src/index.ts';
import { EXIT_CODES } from '../../../src/core/errors.ts';
import { MIB } from '../../../src/core/units.ts';
import { BLOCK_BYTES, sha256OfFile } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { useCliLab } from '../../helpers/cli/cliLab.ts';
import { ConsoleClient } from '../../helpers/console/client.ts';
import {
  focusedText,
  logIn,
  tabTo,
  TOKENS,
  useConsolePages,
} from '../../helpers/console/consolePage.ts';
import { DaemonProcess } from '../../helpers/jobs/daemonProcess.ts';

const bench = useCliLab();
const open = useConsolePages();

function jobFileText(): string {
  const { url, username } = bench.lab;
  return `
engines:
  lab: { url: '${url}', username: ${username}, passwordFile: password, caFile: ca.pem }
repositories:
  main: { path: repository }
stateFolder: state
jobs:
  nightly:
    engine: lab
    repository: main
    vms: { all: true }
    schedule: '0 0 1 1 *'
    timezone: UTC
    backup: { workers: 0, blockSize: ${BLOCK_BYTES} }
    limits: { parallelVms: 1 }
`;
}

function addVm(name: string): LabVm {
  const vm = bench.lab.addVm({ name, disks: [{ name: `${name}_sys`, sizeBytes: MIB }] });
  vm.disk(`${name}_sys`).write(0, noise(name.length, 2 * BLOCK_BYTES));
  return vm;
}

async function startDaemon(): Promise<{ daemon: DaemonProcess; url: string }> {
  const file = bench.temp.path('jobs.yaml');
  const token = bench.temp.path('token');
  writeFileSync(file, jobFileText());
  writeFileSync(token, `${TOKENS.operator}\n`, { mode: 0o600 });
  const options = ['--listen', '127.0.0.1:0', '--token-file', token];
  const args = ['--file', file, '--json', '--restore-folder', bench.temp.path('restores')];
  const daemon = new DaemonProcess(bench.start(['daemon', ...args, ...options]));
  await daemon.line('is ready');
  const text = daemon.lines.map((line) => line.text).join('\n');
  return { daemon, url: /console: (\S+)/.exec(text)?.[1] ?? '' };
}

/** A run of all VMs, so that the console knows them. */
async function backUpAll(url: string): Promise<void> {
  const client = new ConsoleClient(url.replace(/\/$/, ''), TOKENS.operator);
  const watch = await client.watch();
  await client.startRun('nightly');
  await watch.until('job', ({ job }) => job.runId === undefined);
  await watch.close();
}

async function findVm(page: Page, name: string): Promise<void> {
  await page.getByRole('table', { name: 'VMs' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type(name);
  await page.getByText('1 of 3 VMs').waitFor();
  await page.keyboard.press('ArrowDown');
  expect(await focusedText(page)).toBe(name);
}

/** Goes to a view by the links of the navigation. */
async function visit(page: Page, view: string): Promise<void> {
  await tabTo(page, new RegExp(`^${view}`));
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: view, exact: true }).waitFor();
}

it('a VM is found, backed up, looked at and restored, and a job is stopped, by keyboard', async () => {
  const [vm, , last] = [addVm('web01'), addVm('web02'), addVm('zoo')];
  const { daemon, url } = await startDaemon();
  await backUpAll(url);
  const { page, complaints } = await open({ url });
  await logIn(page);

  // A disk that is slow to answer, so that the session lasts.
  const diskId = vm.disks[0]?.id;
  vm.disk('web01_sys').write(2 * BLOCK_BYTES, noise(7, BLOCK_BYTES));
  bench.lab.faults.add({ server: 'imageio', method: 'GET', diskId, nth: 1 }, { delayMs: 10_000 });
  await findVm(page, 'web01');
  await page.keyboard.press('Tab');
  expect(await focusedText(page)).toBe('Back up now: web01');
  await page.keyboard.press('Enter');
  await visit(page, 'Sessions');
  const session = page.getByRole('article', { name: 'Session of web01' });
  await session.getByText('reading').waitFor();
  await session.getByText('web01_sys').waitFor();
  await session.waitFor({ state: 'detached' });

  await visit(page, 'VMs');
  await findVm(page, 'web01');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'web01' }).waitFor();
  await tabTo(page, /^Point 2, increment/);
  await page.keyboard.press('Enter');
  await page.getByRole('img', { name: 'Block map of web01_sys' }).waitFor();
  await tabTo(page, 'Restore disks to files');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: /^Restore disks of point 2/ }).waitFor();
  await tabTo(page, 'Restore');
  await page.keyboard.press('Enter');
  const result = page.locator('.results code').first();
  await result.waitFor();
  expect(sha256OfFile(await result.innerText())).toBe(vm.disk('web01_sys').digest());

  const hung = last.disks[0]?.id;
  bench.lab.faults.add({ server: 'imageio', method: 'GET', diskId: hung }, { hang: true });
  await visit(page, 'Jobs');
  await tabTo(page, 'Run now: nightly');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Run nightly now?' }).waitFor();
  await tabTo(page, 'Run now');
  await page.keyboard.press('Enter');
  await visit(page, 'Sessions');
  await page.getByRole('article', { name: 'Session of zoo' }).getByText('reading').waitFor();
  await visit(page, 'Jobs');
  await tabTo(page, 'Stop: nightly');
  await page.keyboard.press('Enter');
  await tabTo(page, 'Stop the run');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Run now: nightly' }).waitFor();
  await visit(page, 'Runs');
  await page.getByRole('table').getByText('failed').first().waitFor();

  expect(complaints).toEqual([]);
  bench.lab.faults.clear();
  expect(await daemon.stop('SIGTERM')).toBe(EXIT_CODES.done);
});
