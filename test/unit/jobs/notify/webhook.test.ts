/** Webhooks against a real HTTP server. */
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { WebhookConfig } from '../../../../src/jobs/jobFile.ts';
import { retryAfterMs, signatureOf, webhookServer } from '../../../../src/jobs/notify/webhook.ts';
import type { NotifyPayload } from '../../../../src/jobs/notify/payload.ts';
import { tellRun, type Told } from '../../../helpers/jobs/notifications.ts';
import { ENDED_AT, receiverOf, runOf } from '../../../helpers/jobs/runs.ts';
import { startWebhookServer, type WebhookServer } from '../../../helpers/jobs/webhookServer.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const folder = useTempFolder();

function hook(url: string, more: Partial<WebhookConfig> = {}): WebhookConfig {
  return { url, secret: undefined, caFile: undefined, timeoutMs: 5000, ...more };
}

async function tell(webhook: WebhookConfig): Promise<Told> {
  return await tellRun([receiverOf({ webhook })]);
}

function secretFile(text: string): WebhookConfig['secret'] {
  const path = folder.path('secret');
  writeFileSync(path, text, { mode: 0o600 });
  return { path, credential: 'hook-secret' };
}

function payloadOf({ calls }: WebhookServer): NotifyPayload {
  return JSON.parse(calls[0]?.body ?? '') as NotifyPayload;
}

function answers(...statuses: readonly number[]) {
  return (response: ServerResponse, index: number): void => {
    response.writeHead(statuses[index] ?? 204).end();
  };
}

describe('a webhook', () => {
  it('gets the facts of a run by POST', async () => {
    await using server = await startWebhookServer();

    expect(await tell(hook(`${server.url}?room=7`))).toEqual({ sent: 1, failed: 0, messages: [] });

    const [call] = server.calls;
    expect(server.calls).toHaveLength(1);
    expect(call).toMatchObject({ method: 'POST', path: '/hook?room=7' });
    expect(call?.headers).toMatchObject({ 'content-type': 'application/json' });
    const { id, ...payload } = payloadOf(server);
    expect(call?.headers['x-ovirt-cbt-delivery']).toBe(id);
    expect(call?.headers).not.toHaveProperty('x-ovirt-cbt-signature');
    expect(payload).toMatchObject({
      version: 1,
      event: 'failure',
      job: 'nightly',
      time: '2026-03-02T01:10:00.000Z',
      text: 'FAILED: nightly (2 VMs, 1 failed)',
      run: {
        outcome: 'failure',
        repository: '/backup',
        durationSeconds: 600,
        vms: [
          {
            name: 'db01',
            outcome: 'failure',
            attempts: 2,
            failure: { code: 'ENGINE_BUSY', message: 'db01 is locked', hint: 'try again later' },
          },
          { name: 'web01', outcome: 'success', readBytes: 1 << 20, storedBytes: 1 << 19 },
        ],
      },
    });
  });

  it('is signed, so that the receiver can tell who sent it, and when', async () => {
    await using server = await startWebhookServer();

    await tell(hook(server.url, { secret: secretFile('key of the hook\n') }));

    const [call] = server.calls;
    const header = String(call?.headers['x-ovirt-cbt-signature']);
    const given = /^t=(\d+),v1=([\da-f]{64})$/.exec(header);
    const [, seconds = '', digest] = given ?? [];
    const own = createHmac('sha256', 'key of the hook')
      .update(`${seconds}.${call?.body}`)
      .digest('hex');
    expect(digest).toBe(own);
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(300);
  });

  it('has the signature that the document describes', () => {
    // By openssl: printf '1772413200.{"version":1}' | openssl dgst -sha256 -hmac 'key'
    expect(signatureOf('key', '{"version":1}', new Date('2026-03-02T01:00:00.900Z'))).toBe(
      't=1772413200,v1=d6ba681c03941e9a89d4a3dfea21a301146fc7df94563972ff6928bcb9babef2',
    );
  });

  it.each([429, 500, 503])('is tried again after status %d, with the same id', async (status) => {
    await using server = await startWebhookServer(answers(status, status));

    expect(await tell(hook(server.url))).toMatchObject({ sent: 1, failed: 0 });

    const ids = server.calls.map(({ headers }) => headers['x-ovirt-cbt-delivery']);
    expect(ids).toHaveLength(3);
    expect(new Set(ids).size).toBe(1);
  });

  it('is tried again after a connection that was cut', async () => {
    await using server = await startWebhookServer((response, index) => {
      if (index === 0) response.socket?.destroy();
      else response.end();
    });

    expect(await tell(hook(server.url))).toMatchObject({ sent: 1, failed: 0 });
    expect(server.calls).toHaveLength(2);
  });

  it.each([
    ['7', 7000],
    ['0', 0],
    ['Mon, 02 Mar 2026 01:10:05 GMT', 5000],
    ['Mon, 02 Mar 2026 01:00:00 GMT', 0],
    ['soon', 0],
    ['-5', 0],
    ['99999999999999999999', 0],
    [undefined, 0],
  ])('waits as the header Retry-After asks: %s', (header, pauseMs) => {
    expect(retryAfterMs(header, ENDED_AT.getTime())).toBe(pauseMs);
  });

  it('is not waited for when the server asks for an hour', async () => {
    await using server = await startWebhookServer((response) => {
      response.writeHead(503, { 'retry-after': '3600' }).end();
    });

    const { failed, messages } = await tell(hook(server.url));

    expect(failed).toBe(1);
    expect(server.calls).toHaveLength(1);
    expect(messages[0]).toMatchObject({ code: 'NTF-902', level: 'warn' });
  });

  it.each([400, 401, 404, 410])('is given up after status %d', async (status) => {
    await using server = await startWebhookServer(answers(status, status, status));

    const { sent, failed, messages } = await tell(hook(server.url));

    expect({ sent, failed, calls: server.calls.length }).toEqual({ sent: 0, failed: 1, calls: 1 });
    expect(messages[0]?.text).toContain(`it answers with status ${status}.`);
  });

  it('is given up after the last try', async () => {
    await using server = await startWebhookServer(answers(500, 500, 500, 500));

    expect(await tell(hook(server.url))).toMatchObject({ sent: 0, failed: 1 });
    expect(server.calls).toHaveLength(3);
  });

  it('follows no redirect', async () => {
    await using other = await startWebhookServer();
    await using server = await startWebhookServer((response) => {
      response.writeHead(307, { location: other.url }).end();
    });

    const { failed, messages } = await tell(hook(server.url));

    expect(failed).toBe(1);
    expect(other.calls).toEqual([]);
    expect(messages[0]?.text).toContain('redirect');
    expect(messages[0]?.resolution).toContain('final URL');
  });

  it('that does not answer ends at its time-out', async () => {
    await using server = await startWebhookServer(() => {});

    const { failed, messages } = await tell(hook(server.url, { timeoutMs: 50 }));

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain('no answer in time');
  });

  it('nobody listens to is told', async () => {
    const server = await startWebhookServer();
    await server[Symbol.asyncDispose]();

    const { failed, messages } = await tell(hook(server.url));

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain('ECONNREFUSED');
  });

  it('over TLS needs a certificate that is trusted', async () => {
    await using server = await startWebhookServer(undefined, { tls: true });
    const caFile = folder.path('ca.pem');
    writeFileSync(caFile, server.caPem);

    expect(await tell(hook(server.url, { caFile }))).toMatchObject({ sent: 1 });
    const { failed, messages } = await tell(hook(server.url));

    expect(failed).toBe(1);
    expect(server.calls).toHaveLength(1);
    expect(messages[0]?.text).toContain('its certificate is not trusted');
    expect(messages[0]?.resolution).toContain('caFile');
  });

  it.each([
    'http://hooks.example/x',
    'ftp://127.0.0.1/x',
    'https://user:geheim@127.0.0.1/x',
    'geheim',
  ])('is not sent in the clear, nor with a login: %s', async (url) => {
    const { failed, messages } = await tell(hook(url));

    expect(failed).toBe(1);
    expect(messages[0]?.text).toContain('its URL cannot be used');
    expect(JSON.stringify(messages)).not.toContain('geheim');
  });

  it('shows no path, which may be a secret', async () => {
    expect(webhookServer(hook('https://hooks.example/T0/geheim?x=y'))).toBe(
      'https://hooks.example',
    );
  });

  it('whose secret cannot be read is not sent', async () => {
    await using server = await startWebhookServer();
    const secret = { path: folder.path('missing'), credential: 'hook-secret' };

    const { failed, messages } = await tell(hook(server.url, { secret }));

    expect(failed).toBe(1);
    expect(server.calls).toEqual([]);
    expect(messages[0]?.text).toContain(folder.path('missing'));
  });

  it('is not tried again when the run is stopped', async () => {
    const stop = new AbortController();
    await using server = await startWebhookServer(() => stop.abort());

    const told = await tellRun([receiverOf({ webhook: hook(server.url) })], {
      report: runOf('failure'),
      signal: stop.signal,
    });

    expect(told).toMatchObject({ sent: 0, failed: 1 });
    expect(told.messages[0]?.text).toContain('the run was stopped');
    expect(server.calls).toHaveLength(1);
  });
});
