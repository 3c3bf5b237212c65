/** The page of the console in Chromium: by keyboard, on a telephone, in the dark, cut off. */
import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { VmRow } from '../../src/console/contract.ts';
import {
  type ConsoleView,
  focusedText,
  goTo,
  logIn,
  PageDaemon,
  tabTo,
  useConsolePages,
  vmHash,
} from '../helpers/console/consolePage.ts';
import { FakeSources } from '../helpers/console/fakeSources.ts';

const AXE = readFileSync('node_modules/axe-core/axe.min.js', 'utf8');
/** Serious faults of the page, one line each. The policy allows code of the test, not of pages. */
const FAULTS = `axe.run({ resultTypes: ['violations'] }).then(({ violations }) => violations
  .filter(({ impact }) => impact === 'serious' || impact === 'critical')
  .flatMap(({ id, nodes }) => nodes.map(({ html }) => id + ': ' + html.slice(0, 200))))`;
const POLL = { timeout: 30_000 } as const;
const OVERFLOW = 'document.documentElement.scrollWidth - document.documentElement.clientWidth';

const open = useConsolePages();

/** A VM that has points and runs in no session. */
function quietVm(vms: readonly VmRow[]): VmRow {
  const vm = vms.find(({ health, jobName }) => health === 'good' && jobName === 'databases');
  if (!vm) throw new Error('no VM of this kind');
  return vm;
}

async function damagedVm(daemon: PageDaemon): Promise<VmRow> {
  const vm = (await daemon.sources.vms()).find(({ health }) => health === 'damaged');
  if (!vm) throw new Error('no damaged VM');
  return vm;
}

async function newestPoint(daemon: PageDaemon, vm: VmRow): Promise<string> {
  const { points } = await daemon.sources.chain(vm.jobName, vm.vmKey);
  return points.at(-1)?.pointId ?? '';
}

const VIEWS: readonly ConsoleView[] = [390, 1440].flatMap((width) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
);

async function faultsOf(page: Page): Promise<string[]> {
  const overflow = await page.evaluate<number>(OVERFLOW);
  const faults = await page.evaluate<string[]>(FAULTS);
  return overflow > 0 ? [...faults, `too wide by ${overflow} px`] : faults;
}

describe('every view', () => {
  let daemon: PageDaemon;
  beforeAll(async () => {
    daemon = await PageDaemon.start();
    for (let step = 0; step < 5; step++) daemon.sources.advance();
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
  });

  /** Each view with something that is there when it is drawn. */
  async function hashes(): Promise<readonly (readonly [string, string])[]> {
    const vm = await damagedVm(daemon);
    const [task] = daemon.sources.tasks();
    return [
      ['#/vms', '.vms tbody tr'],
      ['#/vms?state=failed&q=night', '.vms tbody tr'],
      [vmHash(vm), '.timeline'],
      [vmHash(vm, await newestPoint(daemon, vm)), '.disk-map'],
      ['#/sessions', '.session progress'],
      ['#/jobs', 'table'],
      ['#/jobs/nightly', 'table'],
      ['#/runs', 'table'],
      ['#/repositories', 'svg.growth'],
      ['#/workers', 'table'],
      ['#/tasks', '.note.bad'],
      [`#/tasks/${task?.taskId}`, 'h2'],
      ['#/messages', '.log'],
    ];
  }

  it.each(VIEWS)('is whole and accessible at $width px, $colorScheme', async (view) => {
    const { page, complaints } = await open(daemon, view);
    await page.getByLabel('Token').waitFor();
    await page.evaluate(`${AXE};0`);
    const faults = { login: await faultsOf(page) } as Record<string, string[]>;
    await logIn(page);
    for (const [hash, mark] of await hashes()) {
      await goTo(page, hash);
      await page.locator(mark).first().waitFor({ state: 'attached' });
      faults[hash] = await faultsOf(page);
    }
    await goTo(
      page,
      vmHash(await damagedVm(daemon), await newestPoint(daemon, await damagedVm(daemon))),
    );
    for (const name of ['Restore disks to files', 'Restore as a new VM', 'Export by NBD']) {
      await page.getByRole('button', { name }).click();
      faults[name] = await faultsOf(page);
      await page.keyboard.press('Escape');
    }

    expect(Object.entries(faults).filter(([, found]) => found.length > 0)).toEqual([]);
    expect(Object.keys(faults)).toHaveLength(1 + 13 + 3);
    expect(complaints).toEqual([]);
  });

  it('shows names as text', async () => {
    const { page, complaints } = await open(daemon);
    await logIn(page);
    await page.getByRole('rowheader', { name: '<script>alert(1)</script>' }).waitFor();
    await page.getByRole('rowheader', { name: '<img src=x onerror=alert(1)>' }).waitFor();
    await goTo(page, '#/sessions');
    await page.getByRole('link', { name: '<script>alert(1)</script>' }).first().waitFor();
    const made = await page.locator('#app script, #app img').count();

    expect(made).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('draws few of 2000 rows, and tells how many there are', async () => {
    const { page } = await open(daemon);
    await logIn(page);
    const table = page.getByRole('table', { name: 'VMs' });
    await table.waitFor();
    const drawn = await page.locator('.vms tbody tr').count();
    await page.keyboard.press('/');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('End');
    const last = page.locator('tr[aria-rowindex="2001"] a').first();
    await expect
      .poll(async () => await last.evaluate((link) => link.matches(':focus')), POLL)
      .toBe(true);

    expect(await table.getAttribute('aria-rowcount')).toBe('2001');
    expect(drawn).toBeLessThan(100);
    expect(await page.locator('.vms tbody tr').count()).toBeLessThan(100);
    const box = await last.boundingBox();
    expect(box?.y).toBeGreaterThan(0);
    expect(box?.y).toBeLessThan(900);
  });

  it('sorts by a column and tells it', async () => {
    const { page } = await open(daemon);
    await logIn(page);
    const head = page.getByRole('columnheader', { name: 'State' });
    await head.getByRole('button').focus();
    await page.keyboard.press('Enter');
    const first = page.locator('tr[aria-rowindex="2"]');
    await first.getByText('damaged').waitFor();
    const ascending = await head.getAttribute('aria-sort');
    await page.keyboard.press('Enter');
    await first.getByText('good').waitFor();

    expect(ascending).toBe('ascending');
    expect(await head.getAttribute('aria-sort')).toBe('descending');
    expect(page.url()).toContain('sort=-state');
  });

  it('of a daemon that knows no VM says where VMs come from', async () => {
    const sources = new FakeSources();
    const jobs = (await sources.jobs()).map((job) => ({ ...job, runId: undefined, vmCount: 0 }));
    vi.spyOn(sources, 'vms').mockResolvedValue([]);
    vi.spyOn(sources, 'jobs').mockResolvedValue(jobs);
    await using young = await PageDaemon.start(sources);
    const { page } = await open(young);
    await logIn(page);
    await page.getByRole('link', { name: 'run a job now' }).click();
    await page.getByRole('button', { name: 'Run now: nightly' }).click();
    const box = page.getByRole('dialog');
    const text = box.getByText('All VMs of the job will be backed up');
    await text.waitFor();

    const align = await page.evaluate<string>(
      "getComputedStyle(document.querySelector('dialog p')).textAlign",
    );
    expect(align).toBe('start');
  });

  it('tells of an ended session what it was', async () => {
    const { page } = await open(daemon);
    await logIn(page);
    await goTo(page, '#/sessions');
    await page.locator('.session').first().waitFor();
    for (let step = 0; step < 12; step++) daemon.sources.advance();
    const table = page.getByRole('table', { name: 'Ended sessions' });
    await table.getByRole('cell', { name: 'backup' }).first().waitFor();

    expect(await table.getByRole('columnheader').allTextContents()).toContain('Work');
  });

  it('offers no action to a user who may only read', async () => {
    const { page, complaints } = await open(daemon);
    await logIn(page, 'readOnly');
    const buttons = new Set<string>();
    for (const [hash, mark] of await hashes()) {
      await goTo(page, hash);
      await page.locator(mark).first().waitFor({ state: 'attached' });
      for (const text of await page.locator('main button').allInnerTexts()) buttons.add(text);
    }
    const all = [...buttons].join();

    expect(all).not.toMatch(/back up|run now|stop|restore|verify|export/i);
    expect(all).toContain('Last point');
    expect(complaints).toEqual([]);
  });

  it('opens the report of a run in a new tab', async () => {
    const { page } = await open(daemon);
    await logIn(page);
    await goTo(page, '#/runs');
    const report = page.getByRole('link', { name: /^Report of nightly/ }).first();
    const [tab] = await Promise.all([page.context().waitForEvent('page'), report.press('Enter')]);
    await tab.getByRole('heading', { name: 'nightly' }).waitFor();

    expect(tab.url()).toContain('/api/v1/runs/');
    expect(page.url()).toContain('#/runs');
  });
});

describe('the keyboard alone', () => {
  it('finds a VM, backs it up, and watches it', async () => {
    await using daemon = await PageDaemon.start();
    const { page, complaints } = await open(daemon);
    await logIn(page);
    const vm = quietVm(await daemon.sources.vms());
    await page.getByRole('table', { name: 'VMs' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type(vm.vmName);
    await page.getByText('1 of 2000 VMs').waitFor();
    await page.keyboard.press('ArrowDown');
    expect(await focusedText(page)).toBe(vm.vmName);
    await page.keyboard.press('Tab');
    expect(await focusedText(page)).toBe(`Back up now: ${vm.vmName}`);
    await page.keyboard.press('Enter');
    await page.getByText(`The backup of ${vm.vmName} begins`).waitFor();
    // The link to the session takes the place of the button.
    await expect.poll(async () => await focusedText(page), POLL).toBe(`running: ${vm.vmName}`);
    await tabTo(page, /^Sessions/);
    await page.keyboard.press('Enter');
    const session = page.getByRole('article', { name: `Session of ${vm.vmName}` });
    await session.getByText('preparing').waitFor();
    await page
      .getByRole('status')
      .getByText(`Session of ${vm.vmName} started`)
      .waitFor({ state: 'attached' });
    for (let step = 0; step < 6; step++) daemon.sources.advance();
    await session.getByText('reading').waitFor();
    const bar = session.getByRole('progressbar', { name: `Progress of ${vm.vmName}` });
    const percent = Number(await bar.getAttribute('value'));
    await session.getByText('MiB/s').waitFor();
    for (let step = 0; step < 8; step++) daemon.sources.advance();
    await session.waitFor({ state: 'detached' });
    await page.getByRole('rowheader', { name: vm.vmName }).waitFor();

    expect(percent).toBeGreaterThan(0);
    expect(percent).toBeLessThan(100);
    expect(complaints).toEqual([]);
  });

  it('opens a block map, restores a disk, and sees the task again after a reload', async () => {
    await using daemon = await PageDaemon.start();
    const { page, complaints } = await open(daemon);
    await logIn(page);
    const vm = quietVm(await daemon.sources.vms());
    await page.keyboard.press('/');
    await page.keyboard.type(vm.vmName);
    await page.getByText('1 of 2000 VMs').waitFor();
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: vm.vmName }).waitFor();
    await tabTo(page, /^Point 30, increment/);
    await page.keyboard.press('ArrowLeft');
    expect(await focusedText(page)).toMatch(/^Point 29, increment/);
    await page.keyboard.press('Enter');
    const map = page.getByRole('img', { name: `Block map of ${vm.vmName}_system` });
    await map.waitFor();
    await tabTo(page, 'Restore disks to files');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: /^Restore disks of point 29/ });
    await dialog.waitFor();
    await page.keyboard.press('Escape');
    expect(await focusedText(page)).toBe('Restore disks to files');
    await page.keyboard.press('Enter');
    await dialog.getByRole('checkbox', { name: `${vm.vmName}_data` }).press('Space');
    await tabTo(page, 'Restore');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: `Restore to files: ${vm.vmName}` }).waitFor();
    daemon.sources.advance();
    await page.reload();
    await page.getByRole('heading', { name: `Restore to files: ${vm.vmName}` }).waitFor();
    await page.getByRole('article', { name: `Session of ${vm.vmName}` }).waitFor();
    const task = daemon.sources
      .tasks()
      .find(({ request }) => request.type === 'restoreFiles' && request.vmKey === vm.vmKey);
    for (let step = 0; step < 14; step++) daemon.sources.advance();
    await page.getByText('/srv/restore/disk.raw').waitFor();

    expect(task?.request).toMatchObject({ diskIds: [expect.any(String)] });
    expect(await map.count()).toBe(0);
    expect(complaints).toEqual([]);
  });

  it('stops a job that runs', async () => {
    await using daemon = await PageDaemon.start();
    const { page, complaints } = await open(daemon);
    await logIn(page);
    await tabTo(page, 'Jobs');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Jobs' }).waitFor();
    await tabTo(page, 'Stop: nightly');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Stop the run of nightly?' });
    await dialog.getByText('4 sessions will be cancelled').waitFor();
    expect(await focusedText(page)).toBe('Cancel');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Run now: nightly' }).waitFor();
    await expect.poll(async () => await focusedText(page), POLL).toBe('Run now: nightly');

    expect((await daemon.sources.jobs()).filter(({ runId }) => runId)).toEqual([]);
    expect(complaints).toEqual([]);
  });

  it('skips the navigation, and comes back to the row that it left', async () => {
    await using daemon = await PageDaemon.start();
    const { page } = await open(daemon);
    await logIn(page);
    await page.getByRole('table', { name: 'VMs' }).waitFor();
    await page.keyboard.press('/');
    await page.keyboard.press('ArrowDown');
    for (let presses = 0; presses < 5; presses++) await page.keyboard.press('PageDown');
    const name = await focusedText(page);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name }).waitFor();
    await page.goBack();
    await expect.poll(async () => await focusedText(page), POLL).toBe(name);
    await page.getByRole('link', { name: 'Skip to the content' }).focus();
    await page.keyboard.press('Enter');
    const place = await page.evaluate<string>('document.activeElement.id');

    expect(place).toBe('main');
  });
});

describe('a connection', () => {
  it('that is lost is told, and is up to date when it is back', async () => {
    await using daemon = await PageDaemon.start();
    const { page } = await open(daemon);
    await logIn(page);
    await goTo(page, '#/sessions');
    await page.getByText('5 sessions running').waitFor();
    await daemon.cut();
    await page.getByText('The connection is lost').waitFor();
    await daemon.sources.stopRun((await daemon.sources.jobs())[0]?.runId ?? '');
    await daemon.connect();
    await page.getByText('1 session running').waitFor();
    await page.getByText('The connection is back').waitFor();

    expect(await page.getByText('The connection is lost').count()).toBe(0);
  });

  it('of an expired login leads to the login, and then to the same view', async () => {
    await using daemon = await PageDaemon.start();
    const { page } = await open(daemon);
    const vm = await damagedVm(daemon);
    await logIn(page);
    await goTo(page, vmHash(vm));
    await page.getByRole('heading', { name: vm.vmName }).waitFor();
    // A chain that is read later would end the login by itself.
    await page.locator('.timeline').waitFor();
    daemon.expireLogins();
    await page.getByRole('button', { name: `Back up now: ${vm.vmName}` }).click();
    await page.getByText('Your login has ended').waitFor();
    await logIn(page);
    await page.getByRole('heading', { name: vm.vmName }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: vm.vmName }).waitFor();

    expect(await page.title()).toBe(`${vm.vmName} · ovirt-cbt`);
  });

  it('with a wrong token is refused with a reason, and a logout ends it', async () => {
    await using daemon = await PageDaemon.start();
    const { page } = await open(daemon);
    await page.getByLabel('Token').fill('wrong');
    await page.keyboard.press('Enter');
    await page.getByRole('alert').getByText('API_TOKEN_REFUSED').waitFor();
    await page.getByLabel('Token').fill('');
    await logIn(page);
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in to the console' }).waitFor();
    await page.reload();
    await page.getByRole('heading', { name: 'Log in to the console' }).waitFor();

    expect(await page.context().cookies()).toEqual([]);
  });
});

it('failures of actions are told, and stay until someone closes them', async () => {
  await using daemon = await PageDaemon.start();
  const { page } = await open(daemon);
  await logIn(page);
  // The job runs, so another run is refused.
  await page.getByRole('table', { name: 'VMs' }).waitFor();
  await page.getByLabel(/^Search VMs/).fill('nightly-01');
  const button = page.getByRole('button', { name: /^Back up now: nightly/ }).first();
  await button.click();
  const note = page.getByRole('log', { name: 'Notes' });
  await note.getByText('job nightly runs already').waitFor();
  await note.getByRole('button', { name: 'Close this note' }).click();
  await note.getByText('job nightly runs already').waitFor({ state: 'detached' });
});
