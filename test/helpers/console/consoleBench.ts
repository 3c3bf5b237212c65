/** A server with a console on a made-up daemon, and a client that may send anything. */
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import type { Change } from '../../../src/console/api/api.ts';
import {
  type ConsoleServerOptions,
  startConsoleServer,
} from '../../../src/console/consoleServer.ts';
import { tempFolderOfTest } from '../tempFolder.ts';
import { FakeSources } from './fakeSources.ts';

export const TOKENS = {
  operator: 'operator-0123456789abcdef',
  readOnly: 'readonly-0123456789abcdef',
} as const;

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Text or bytes are sent as they are, anything else as JSON. */
  readonly body?: unknown;
}

export interface ConsoleBench {
  readonly port: number;
  readonly sources: FakeSources;
  readonly failures: unknown[];
  readonly refused: string[];
  readonly changes: Change[];
  /** The clock of logins, in milliseconds. */
  readonly clock: { nowMs: number };
  ask(target: string, asked?: Asked): Promise<Answer>;
  /** An answer whose body is not read. */
  open(target: string, asked?: Asked): Promise<IncomingMessage>;
  close(): Promise<void>;
}

export function bearer(role: keyof typeof TOKENS): Record<string, string> {
  return { authorization: `Bearer ${TOKENS[role]}` };
}

/** A page of three files in a folder, and one that is not served. */
export function makePage(): string {
  const folder = tempFolderOfTest();
  mkdirSync(path.join(folder, 'vendor'));
  writeFileSync(path.join(folder, 'index.html'), '<!doctype html><title>console</title>');
  writeFileSync(path.join(folder, 'style.css'), 'body{}');
  writeFileSync(path.join(folder, 'vendor', 'lib.js'), 'export {};');
  writeFileSync(path.join(folder, 'secret.key'), 'not for others');
  return folder;
}

export async function startConsole(
  options: Partial<ConsoleServerOptions> = {},
): Promise<ConsoleBench> {
  const sources = new FakeSources({ vmCount: 100, now: new Date('2026-05-02T01:00:00Z') });
  const clock = { nowMs: 0 };
  const failures: unknown[] = [];
  const refused: string[] = [];
  const changes: Change[] = [];
  const server = await startConsoleServer({
    address: { host: '127.0.0.1', port: 0 },
    status: {
      health: () => ({ isAlive: true, jobs: [{ name: 'nightly', isRunning: false }] }),
      metrics: async () => await Promise.resolve('ovirt_cbt_build_info 1\n'),
      onFailure: (error) => failures.push(error),
    },
    sources,
    tokens: TOKENS,
    productVersion: '1.2.3',
    hasRestoreFolder: true,
    onFailure: (error) => failures.push(error),
    onRefused: (address) => refused.push(address),
    onChange: (change) => changes.push(change),
    pageFolder: makePage(),
    ...options,
    times: { nowMs: () => clock.nowMs, ...options.times },
  });
  let isClosed = false;
  const close = async (): Promise<void> => {
    if (!isClosed) await server[Symbol.asyncDispose]();
    isClosed = true;
  };
  onTestFinished(close);
  const isTls = options.tls !== undefined;
  const open = async (target: string, asked: Asked = {}): Promise<IncomingMessage> =>
    await openRequest(server.port, isTls, target, asked);
  return {
    port: server.port,
    sources,
    failures,
    refused,
    changes,
    clock,
    open,
    ask: async (target, asked) => await read(await open(target, asked)),
    close,
  };
}

async function openRequest(
  port: number,
  isTls: boolean,
  target: string,
  { method = 'GET', headers = {}, body }: Asked,
): Promise<IncomingMessage> {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = body === undefined ? undefined : isRaw ? body : JSON.stringify(body);
  const type = bytes === undefined ? {} : { 'content-type': 'application/json' };
  return await new Promise((resolve, reject) => {
    const asked = (isTls ? tlsRequest : request)(
      {
        host: '127.0.0.1',
        port,
        path: target,
        method,
        // Each request has a connection of its own.
        agent: false,
        // Tests of TLS look at what is served, not at who signed it.
        rejectUnauthorized: false,
        headers: { host: 'localhost', ...type, ...headers },
      },
      resolve,
    );
    asked.on('error', reject).end(bytes);
  });
}

async function read(message: IncomingMessage): Promise<Answer> {
  let body = '';
  for await (const piece of message.setEncoding('utf8')) body += String(piece);
  return { status: message.statusCode ?? 0, headers: message.headers, body };
}

/** The code of an answer that is an error. */
export function codeOf({ body }: Answer): string | undefined {
  return (JSON.parse(body) as { error?: { code: string } }).error?.code;
}

/** Logs a browser in. @returns the headers of its further requests. */
export async function logIn(
  bench: ConsoleBench,
  role: keyof typeof TOKENS = 'operator',
): Promise<{ cookie: string; 'x-csrf-token': string }> {
  const answer = await bench.ask('/api/v1/login', {
    method: 'POST',
    body: { token: TOKENS[role] },
  });
  const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  const { csrfToken } = JSON.parse(answer.body) as { csrfToken: string };
  return { cookie, 'x-csrf-token': csrfToken };
}
