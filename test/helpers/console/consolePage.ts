/** The page of the console in a real browser, on a made-up daemon whose network can be cut. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Console, createConsole } from '../../../src/console/console.ts';
import type { VmRow } from '../../../src/console/contract.ts';
import { FakeSources } from './fakeSources.ts';

const CHROMIUM = '/usr/bin/chromium';
const PAGE_FOLDER = path.resolve('src/console/page');
const IDLE_MS = 8 * 3_600_000;

export const TOKENS = { operator: 'operator-token-1', readOnly: 'readonly-token-1' } as const;

/** The daemon behind the page. */
export class PageDaemon implements AsyncDisposable {
  readonly sources: FakeSources;
  readonly #clock: { passedMs: number };
  readonly #console: Console;
  #server: Server | undefined;
  #port = 0;

  private constructor(sources: FakeSources, clock: { passedMs: number }, console: Console) {
    this.sources = sources;
    this.#clock = clock;
    this.#console = console;
  }

  static async start(sources = new FakeSources()): Promise<PageDaemon> {
    const clock = { passedMs: 0 };
    const console = await createConsole({
      sources,
      tokens: TOKENS,
      productVersion: '0.1.0',
      isTls: false,
      hasRestoreFolder: true,
      onFailure: (error) => {
        throw error;
      },
      onRefused: () => {},
      onChange: () => {},
      pageFolder: PAGE_FOLDER,
      times: { nowMs: () => performance.now() + clock.passedMs },
    });
    const daemon = new PageDaemon(sources, clock, console);
    await daemon.connect();
    return daemon;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** Takes connections, at the port of before. Logins stay. */
  async connect(): Promise<void> {
    const server = createServer(this.#console.listener);
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Ends all connections and takes no others. */
  async cut(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }

  /** So much time passes that all logins end. */
  expireLogins(): void {
    this.#clock.passedMs += IDLE_MS + 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#console[Symbol.dispose]();
    await this.cut();
  }
}

export interface ConsolePage {
  readonly page: Page;
  /** What the browser complains about: errors, warnings, the policy, boxes of `alert`. */
  readonly complaints: string[];
}

export interface ConsoleView {
  readonly width: number;
  readonly colorScheme: 'light' | 'dark';
}

/** Violations of the policy appear on the console, but only those that a listener sees are sure. */
const TELL_VIOLATIONS = `document.addEventListener('securitypolicyviolation', (event) =>
  console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))`;

/** Starts the browser before all tests of the file. @returns opens the page in a new profile. */
export function useConsolePages(): (
  daemon: { readonly url: string },
  view?: ConsoleView,
) => Promise<ConsolePage> {
  let browser: Browser | undefined;
  const contexts: BrowserContext[] = [];
  beforeAll(async () => {
    const { chromium } = await import('playwright-core');
    // Its sandbox refuses root, which is the user of tests in a container.
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });
  afterAll(async () => {
    await browser?.close();
  });
  return async (daemon, { width, colorScheme } = { width: 1440, colorScheme: 'light' }) => {
    if (!browser) throw new Error('the browser has not started');
    const context = await browser.newContext({
      viewport: { width, height: 900 },
      colorScheme,
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
    });
    contexts.push(context);
    await context.addInitScript(TELL_VIOLATIONS);
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (line) => complaints.push(`${line.type()}: ${line.text()}`));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('dialog', (dialog) => {
      complaints.push(`box: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(daemon.url);
    return { page, complaints };
  };
}

/** Logs in with the keyboard. */
export async function logIn(page: Page, role: keyof typeof TOKENS = 'operator'): Promise<void> {
  await page.getByLabel('Token').waitFor();
  await page.keyboard.type(TOKENS[role]);
  await page.keyboard.press('Enter');
  await page.locator('main:not(.login)').waitFor();
}

/** The hash of a VM, and of a point of it. */
export function vmHash({ jobName, vmKey }: Pick<VmRow, 'jobName' | 'vmKey'>, pointId = ''): string {
  const parts = ['jobs', jobName, 'vms', vmKey, ...(pointId === '' ? [] : ['points', pointId])];
  return `#/${parts.map(encodeURIComponent).join('/')}`;
}

export async function goTo(page: Page, hash: string): Promise<void> {
  await page.evaluate(`location.hash = ${JSON.stringify(hash)}`);
}

/** Name, or text, of what has the focus. */
export async function focusedText(page: Page): Promise<string> {
  return await page.evaluate<string>(
    "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()",
  );
}

/** Presses Tab until something with this name has the focus. */
export async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab');
    const text = await focusedText(page);
    if (typeof name === 'string' ? text === name : name.test(text)) return;
  }
  throw new Error(`Tab does not reach ${name}; the focus is on ${await focusedText(page)}`);
}
