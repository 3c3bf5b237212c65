/** Commands that are stopped while an S3 server does not answer. */
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CancelledError } from '../../../src/core/errors.ts';
import { verifyRepository } from '../../../src/sessions/verify/verifyRepository.ts';

let server: Server;
let connections = 0;

/** Takes connections, and cuts or keeps them. */
async function serve(isCut: boolean): Promise<void> {
  server = createServer((socket) => {
    connections++;
    socket.on('error', () => {});
    if (isCut) socket.destroy();
    else socket.resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  vi.stubEnv('AWS_ENDPOINT_URL_S3', `http://127.0.0.1:${port}`);
}

beforeEach(() => {
  connections = 0;
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'id');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  vi.stubEnv('AWS_REGION', 'us-east-1');
});

afterEach(() => {
  server.close();
  vi.unstubAllEnvs();
});

test.each([
  ['cuts its connections', true],
  ['says nothing', false],
])('a session ends when it is stopped while the server %s', async (_what, isCut) => {
  await serve(isCut);
  const texts: string[] = [];
  const abort = new AbortController();
  const store = { onWait: (text: string) => texts.push(text) };
  const work = verifyRepository({ repository: 's3://bucket/x', store, signal: abort.signal });
  const ended = expect(work).rejects.toMatchObject({ code: 'CANCELLED' });
  await vi.waitFor(() => expect(connections).toBeGreaterThan(isCut ? 2 : 0), { timeout: 10_000 });
  abort.abort(new CancelledError('CANCELLED', 'stopped'));

  await ended;

  // Each reason is told once.
  expect(texts.length).toBe(isCut ? 1 : 0);
  for (const text of texts) expect(text).toMatch(/^http:\/\/127\.0\.0\.1:\d+ does not answer \(/);
});
