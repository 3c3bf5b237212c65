/** A real browser that opens pages from files, and tells what they tried. */
import { existsSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';

const CHROMIUM = '/usr/bin/chromium';

/** Empty where the machine has a browser. */
export const NO_BROWSER_REASON: string = existsSync(CHROMIUM) ? '' : `${CHROMIUM} is missing`;

export interface OpenPage {
  readonly page: Page;
  /** Requests, except the one for the page itself. */
  readonly requests: readonly string[];
  /** Lines of the console, and errors of scripts. */
  readonly complaints: readonly string[];
}

export interface View {
  readonly width: number;
  readonly colorScheme: 'light' | 'dark';
}

/** Starts the browser before all tests of the file. @returns opens a file; each in a new window. */
export function useBrowser(): (file: string, view: View) => Promise<OpenPage> {
  let browser: Browser | undefined;
  beforeAll(async () => {
    if (NO_BROWSER_REASON !== '') return;
    const { chromium } = await import('playwright-core');
    // Its sandbox refuses root, which is the user of tests in a container.
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
  });
  return async (file, { width, colorScheme }) => {
    if (!browser) throw new Error('the browser has not started');
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const requests: string[] = [];
    const complaints: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (line) => complaints.push(line.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(`file://${file}`);
    return { page, requests: requests.slice(1), complaints };
  };
}
