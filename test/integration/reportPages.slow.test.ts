/** Pages of reports in Chromium: no script, no request, nothing cut off, enough contrast. */
import { writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runMailHtml } from '../../src/report/runMailHtml.ts';
import { runPage } from '../../src/report/runPage.ts';
import { sessionPage } from '../../src/report/sessionPage.ts';
import {
  NO_BROWSER_REASON,
  type OpenPage,
  useBrowser,
  type View,
} from '../helpers/report/browser.ts';
import {
  LAST_POINTS,
  MADE_AT,
  madeUpBadRun,
  madeUpDisk,
  madeUpPoints,
  madeUpSession,
  WARNED_MESSAGES,
} from '../helpers/report/madeUpReports.ts';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

if (NO_BROWSER_REASON !== '')
  console.warn(`pages in a browser are not tested: ${NO_BROWSER_REASON}`);

const temp = useSharedTempFolder();
const open = useBrowser();

const NASTY = `<script>document.title='owned'</script><img src=x onerror="document.title='owned'"> "q" 'a' & \u202Eevil \u05E9\u05DC\u05D5\u05DD \u{1F600} ${'x'.repeat(300)}`;

const points = madeUpPoints();
const PAGES: Readonly<Record<string, () => string>> = {
  session: () => sessionPage({ session: madeUpSession(), points, madeAt: MADE_AT }),
  nasty: () =>
    sessionPage({
      session: madeUpSession({
        vmName: NASTY,
        repository: NASTY,
        disks: [madeUpDisk(0, { alias: NASTY, reason: NASTY }), madeUpDisk(1)],
        messages: WARNED_MESSAGES.map((message) => ({ ...message, text: NASTY })),
      }),
      points,
      madeAt: MADE_AT,
    }),
  failed: () =>
    sessionPage({
      session: {
        type: 'backup',
        outcome: 'failed',
        sessionId: '',
        vmName: NASTY,
        vmId: '',
        startedAt: '2026-11-30T01:02:03.000Z',
        durationSeconds: 3,
        code: 'ENGINE_BUSY',
        message: NASTY,
        hint: NASTY,
        messages: WARNED_MESSAGES,
      },
      points,
      madeAt: MADE_AT,
    }),
  run: () => {
    const run = madeUpBadRun();
    const vms = run.vms.map((vm, index) => (index === 0 ? { ...vm, vmName: NASTY } : vm));
    return runPage({ ...run, vms, vanishedVms: [NASTY] }, LAST_POINTS, MADE_AT);
  },
  mail: () => runMailHtml({ ...madeUpBadRun(), jobName: NASTY.slice(0, 64) }, LAST_POINTS),
};

async function openPage(name: string, view: View): Promise<OpenPage> {
  const file = temp.path(`${name}.html`);
  writeFileSync(file, PAGES[name]?.() ?? '');
  return await open(file, view);
}

const VIEWS: readonly View[] = [390, 1440].flatMap((width) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ width, colorScheme })),
);

describe.skipIf(NO_BROWSER_REASON !== '').each(Object.keys(PAGES))('the page "%s"', (name) => {
  it.each(VIEWS)('is calm and whole at $width px, $colorScheme', async (view) => {
    const { page, requests, complaints } = await openPage(name, view);
    const overflow = await page.evaluate<number>(
      'document.documentElement.scrollWidth - document.documentElement.clientWidth',
    );
    const title = await page.title();
    await page.close();

    expect(requests).toEqual([]);
    expect(complaints).toEqual([]);
    expect(overflow).toBe(0);
    expect(title).not.toBe('owned');
  });
});

/** In the page: texts whose contrast on their ground is below 4.5, as WCAG AA asks. */
const LOW_CONTRAST = `(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const part = (value) => {
    const share = value / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  const light = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  const groundOf = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const low = [];
  let count = 0;
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest('svg')) continue;
    count++;
    const a = light(parse(getComputedStyle(element).color));
    const b = light(groundOf(element));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(element.className + ': ' + element.textContent + ' ' + ratio);
  }
  return { low, count };
})()`;

describe.skipIf(NO_BROWSER_REASON !== '')('pages in a browser', () => {
  it.each([
    ['session', 'light'],
    ['session', 'dark'],
    ['run', 'light'],
    ['run', 'dark'],
    ['mail', 'light'],
  ] as const)('have enough contrast: %s, %s', async (name, colorScheme) => {
    const { page } = await openPage(name, { width: 1440, colorScheme });
    const { low, count } = await page.evaluate<{ low: string[]; count: number }>(LOW_CONTRAST);
    await page.close();

    expect(count).toBeGreaterThan(50);
    expect(low).toEqual([]);
  });

  it('are dark in the dark, and light on paper', async () => {
    const { page } = await openPage('session', { width: 1440, colorScheme: 'dark' });
    const ground = 'getComputedStyle(document.body).backgroundColor';
    const onScreen = await page.evaluate<string>(ground);
    await page.emulateMedia({ media: 'print' });
    const onPaper = await page.evaluate<string>(ground);
    await page.close();

    expect(onScreen).toBe('rgb(15, 19, 24)');
    expect(onPaper).toBe('rgb(255, 255, 255)');
  });

  it('show on paper what is closed on a screen', async () => {
    const { page } = await openPage('run', { width: 700, colorScheme: 'light' });
    const detail = page.locator('details.vm .body').first();
    const onScreen = await detail.boundingBox();
    await page.emulateMedia({ media: 'print' });
    const onPaper = await detail.boundingBox();
    const pdf = await page.pdf({ format: 'A4' });
    await page.close();

    expect(onScreen?.height ?? 0).toBe(0);
    expect(onPaper?.height).toBeGreaterThan(100);
    expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
  });

  it('keep the roles of tables where a phone shows cards', async () => {
    const { page } = await openPage('session', { width: 390, colorScheme: 'light' });
    const cells = await page.getByRole('table').first().getByRole('cell').count();
    const names = await page.getByRole('rowheader').allInnerTexts();
    const images = await page
      .getByRole('img')
      .evaluateAll((all) => all.map((image) => image.getAttribute('aria-label') ?? ''));
    await page.close();

    // The row of the sums has no mode and no speed.
    expect(cells).toBe(4 * 9 - 2);
    expect(names.slice(0, 4)).toEqual(['web01_system', 'web01_data1', 'web01_data2', 'All disks']);
    expect(images.every((label) => label !== '')).toBe(true);
    expect(images).toHaveLength(3 + 2 + 1);
  });
});
