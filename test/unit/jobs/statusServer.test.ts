/** `/metrics` and `/healthz` of the daemon, asked over real connections. */
import { request } from 'node:http';
import { onTestFinished, describe, expect, it } from 'vitest';
import type { DaemonHealth } from '../../../src/jobs/daemon/daemon.ts';
import {
  parseListen,
  startStatusServer,
  type StatusSources,
} from '../../../src/jobs/daemon/statusServer.ts';

const HEALTHY: DaemonHealth = {
  isAlive: true,
  jobs: [{ name: 'nightly', isRunning: true, next: '2026-05-02T01:00:00.000Z' }],
};

interface Page {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

async function started(sources: Partial<StatusSources> = {}): Promise<number> {
  const server = await startStatusServer({
    address: { host: '127.0.0.1', port: 0 },
    sources: {
      health: () => HEALTHY,
      metrics: async () => await Promise.resolve('ovirt_cbt_build_info 1\n'),
      onFailure: () => {},
      ...sources,
    },
  });
  onTestFinished(async () => await server[Symbol.asyncDispose]());
  return server.port;
}

async function ask(port: number, path: string, host = 'localhost', method = 'GET'): Promise<Page> {
  return await new Promise((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port, path, method, headers: { host } },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (text: string) => (body += text));
        answer.on('end', () => {
          resolve({ status: answer.statusCode, type: answer.headers['content-type'], body });
        });
      },
    );
    asked.on('error', reject).end();
  });
}

describe('the status server', () => {
  it('gives metrics and health', async () => {
    const port = await started();

    expect(await ask(port, '/metrics')).toEqual({
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: 'ovirt_cbt_build_info 1\n',
    });
    const health = await ask(port, '/healthz?verbose');
    expect(health.status).toBe(200);
    expect(JSON.parse(health.body)).toEqual({ status: 'ok', jobs: HEALTHY.jobs });
    expect(await ask(port, '/metrics', 'localhost', 'HEAD')).toMatchObject({
      status: 200,
      body: '',
    });
  });

  it('tells a daemon that hangs', async () => {
    const port = await started({ health: () => ({ ...HEALTHY, isAlive: false }) });
    const health = await ask(port, '/healthz');

    expect(health.status).toBe(503);
    expect(JSON.parse(health.body)).toMatchObject({ status: 'hangs' });
  });

  it('has no other pages and methods', async () => {
    const port = await started();

    expect(await ask(port, '/')).toMatchObject({ status: 404 });
    expect(await ask(port, '/metrics', 'localhost', 'POST')).toMatchObject({ status: 405 });
  });

  it.each([
    ['localhost', 200],
    ['LOCALHOST:8484', 200],
    ['127.0.0.1:8484', 200],
    ['[::1]:8484', 200],
    ['attacker.example', 421],
    ['localhost.attacker.example', 421],
    ['127.0.0.1.attacker.example:8484', 421],
  ])('answers a request to host %s with %i', async (host, status) => {
    expect(await ask(await started(), '/metrics', host)).toMatchObject({ status });
  });

  it('answers also after metrics that failed, and tells no details', async () => {
    const failures: unknown[] = [];
    const error = new Error('/secret/path');
    const port = await started({
      metrics: async () => await Promise.reject(error),
      onFailure: (failure) => failures.push(failure),
    });
    const page = await ask(port, '/metrics');

    expect(page.status).toBe(500);
    expect(page.body).not.toContain('secret');
    expect(failures).toEqual([error]);
    expect(await ask(port, '/healthz')).toMatchObject({ status: 200 });
  });

  it('that cannot listen is an error with the address', async () => {
    const port = await started();
    const sources = { health: () => HEALTHY, metrics: async () => '', onFailure: () => {} };
    const second = startStatusServer({ address: { host: '127.0.0.1', port }, sources });

    await expect(second).rejects.toMatchObject({
      code: 'USAGE_INVALID_OPTION',
      message: expect.stringContaining(`127.0.0.1:${port}: the port is in use`) as string,
    });
  });
});

describe('--listen', () => {
  it.each([
    ['8484', { host: '127.0.0.1', port: 8484 }],
    ['127.0.0.2:0', { host: '127.0.0.2', port: 0 }],
    ['localhost:8484', { host: 'localhost', port: 8484 }],
    ['[::1]:8484', { host: '::1', port: 8484 }],
  ])('%s is an address of this machine', (text, address) => {
    expect(parseListen(text)).toEqual(address);
  });

  it.each(['0.0.0.0:8484', '192.0.2.1:80', '[::]:8484', 'backup.example:8484'])(
    '%s would be open to others, so it is refused',
    (text) => {
      expect(() => parseListen(text)).toThrow('so it needs TLS');
    },
  );

  it.each(['', 'x', '127.0.0.1', '127.0.0.1:', '127.0.0.1:70000', '::1:8484', ':8484', '1:2:3'])(
    '"%s" is no address',
    (text) => {
      expect(() => parseListen(text)).toThrow('is no address and port');
    },
  );
});
