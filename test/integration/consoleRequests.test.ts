/** Requests to the console that are wrong, hostile or too large; cookies, headers and TLS. */
import { connect } from 'node:net';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTlsFiles } from '../../src/console/access/consoleFiles.ts';
import { ROUTES } from '../../src/console/api/routes.ts';
import {
  type Answer,
  type Asked,
  bearer,
  codeOf,
  type ConsoleBench,
  logIn,
  startConsole,
  TOKENS,
} from '../helpers/console/consoleBench.ts';
import { makeCertificates } from '../helpers/nbd/certificates.ts';
import { tempFolderOfTest } from '../helpers/tempFolder.ts';

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** Sends bytes as they are. @returns what the server answers until it ends the connection. */
async function sendRaw(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.setEncoding('latin1').on('data', (piece) => (answer += String(piece)));
  socket.write(text, 'latin1');
  await new Promise((resolve) => socket.on('close', resolve).on('error', resolve));
  return answer;
}

function expectSafe({ headers, status }: Answer): void {
  expect(status).toBeLessThan(500);
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  });
  expect(headers['content-security-policy']).toMatch(/^default-src 'none'/);
  expect(headers['access-control-allow-origin']).toBeUndefined();
}

async function post(bench: ConsoleBench, target: string, asked: Asked): Promise<Answer> {
  const headers = { ...bearer('operator'), ...asked.headers };
  return await bench.ask(target, { method: 'POST', ...asked, headers });
}

describe('a path that leads nowhere', () => {
  it.each([
    ['/../../etc/passwd', 400],
    ['/..%2f..%2fetc%2fpasswd', 404],
    ['/%2e%2e/%2e%2e/etc/passwd', 400],
    ['/..%5c..%5cetc', 404],
    ['/..\\..\\etc', 400],
    ['/%00', 400],
    ['/index.html%00.js', 400],
    ['/%c0%ae%c0%ae/etc/passwd', 400],
    ['/%', 400],
    ['/%zz', 400],
    ['/%ff', 400],
    ['/%ed%a0%80', 400],
    ['//etc/passwd', 404],
    ['//evil.example/', 404],
    ['/vendor', 404],
    ['/vendor/', 404],
    ['/vendor/../secret.key', 400],
    ['/secret.key', 404],
    ['/INDEX.HTML', 404],
    ['/index.html/', 404],
    ['/index.html#x', 400],
    ['/constructor', 404],
    ['/__proto__', 404],
    [`/${'a'.repeat(5000)}`, 400],
    ['/api', 404],
    ['/api/v1', 404],
    ['/api/v1/', 404],
    ['/api/v1//vms', 404],
    ['/api/v1/vms/', 404],
    ['/api/v1/../v1/vms', 400],
    ['/api/v1/%76ms', 404],
    ['/api/v2/vms', 404],
    ['/api/v1/jobs/%00/vms/x/chain', 400],
    ['/api/v1/jobs/%C2%9B31m/vms/x/chain', 400],
    ['/api/v1/jobs/a%0d%0ab/vms/x/chain', 400],
    [`/api/v1/jobs/${'a'.repeat(513)}/vms/x/chain`, 400],
    ['/api/v1/runs?job=%', 400],
    ['/api/v1/runs?job=%00', 400],
    ['/api/v1/runs?most=0', 400],
    ['/api/v1/runs?most=501', 400],
    ['/api/v1/runs?most=1e2', 400],
    ['/api/v1/runs?most=', 400],
    ['/api/v1/runs?most=1&most=2', 400],
    ['/api/v1/runs?other=1', 400],
    ['/api/v1/vms?__proto__=1', 400],
    ['/api/v1/runs?job=none', 404],
  ])('%s gives %i', async (target, status) => {
    const bench = await startConsole();
    const answer = await bench.ask(target, { headers: bearer('operator') });

    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining('"error"')]);
    expectSafe(answer);
    expect(bench.failures).toEqual([]);
  });

  it.each([
    ['GET http://localhost/api/v1/vms HTTP/1.1', /^HTTP\/1\.1 400 /],
    ['GET vms HTTP/1.1', /^HTTP\/1\.1 400 /],
    ['OPTIONS * HTTP/1.1', /^HTTP\/1\.1 400 /],
    ['GET /\xC3\xA4 HTTP/1.1', /^HTTP\/1\.1 400 /],
    ['GET /a b HTTP/1.1', /^HTTP\/1\.1 400 /],
    ['TRACE /api/v1/vms HTTP/1.1', /^HTTP\/1\.1 405 /],
    ['CONNECT localhost:22 HTTP/1.1', /^(?:HTTP\/1\.1 4|$)/],
  ])('is no path: %s', async (line, expected) => {
    const bench = await startConsole();
    const answer = await sendRaw(
      bench.port,
      `${line}\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );

    expect(answer).toMatch(expected);
    expect(bench.failures).toEqual([]);
  });
});

describe('a request with another name of the host', () => {
  it.each(['evil.example', 'localhost.evil.example', '192.0.2.1', 'localhost@evil.example'])(
    '"%s" is refused',
    async (host) => {
      const bench = await startConsole();

      for (const target of ['/', '/api/v1/vms', '/metrics', '/healthz']) {
        const answer = await bench.ask(target, { headers: { host, ...bearer('operator') } });
        expect(answer.status).toBe(421);
        expectSafe(answer);
      }
    },
  );
});

it('a request without a name of the host is refused', async () => {
  const bench = await startConsole();

  expect(await sendRaw(bench.port, 'GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /);
  expect(await sendRaw(bench.port, 'GET / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
});

describe('a method that a path does not have', () => {
  it.each(['PUT', 'PATCH', 'OPTIONS', 'DELETE', 'TRACE', 'PROPFIND'])('%s', async (method) => {
    const bench = await startConsole();

    for (const [target, allow] of [
      ['/api/v1/vms', 'GET'],
      ['/api/v1/login', 'POST'],
      ['/', 'GET, HEAD'],
    ] as const) {
      const answer = await bench.ask(target, { method, headers: bearer('operator') });
      expect([answer.status, answer.headers.allow]).toEqual([405, allow]);
      expectSafe(answer);
    }
  });

  it('HEAD is answered without a body, but not for events', async () => {
    const bench = await startConsole();
    const asked = { method: 'HEAD', headers: bearer('operator') };

    expect(await bench.ask('/api/v1/vms', asked)).toMatchObject({ status: 200, body: '' });
    expect(await bench.ask('/', asked)).toMatchObject({ status: 200, body: '' });
    expect(await bench.ask('/api/v1/events', asked)).toMatchObject({ status: 405, body: '' });
  });
});

describe('a body', () => {
  const verify = { type: 'verify', jobName: 'nightly', vmKey: 'x', pointId: 'y' };

  it.each([
    ['no JSON', '{', 400, 'body: is not JSON'],
    ['no text', Buffer.from([0x22, 0xff, 0x22]), 400, 'body: is not JSON'],
    ['deep', '['.repeat(60_000), 400, 'body: is not JSON'],
    ['a list', [], 400, 'body'],
    ['null', 'null', 400, 'body'],
    ['empty', '', 400, 'body'],
    ['an unknown key', { ...verify, other: 1 }, 400, '\\"other\\"'],
    ['a key of a prototype', '{"type":"verify","__proto__":{"jobName":"nightly"}}', 400, 'body'],
    ['a key that is missing', { type: 'verify', jobName: 'nightly' }, 400, 'body: vmKey'],
    ['a type that is not known', { ...verify, type: 'shell' }, 400, 'body: type'],
    ['a name that is empty', { ...verify, jobName: '' }, 400, 'body: jobName'],
    ['a control character', { ...verify, vmKey: 'a\nb' }, 400, 'a control character'],
    ['a late one', { ...verify, vmKey: 'a\u009Bb' }, 400, 'a control character'],
    ['half a character', { ...verify, vmKey: '\uD800' }, 400, 'half a character'],
    ['a name too long', { ...verify, vmKey: 'x'.repeat(513) }, 400, 'body: vmKey'],
    ['no disk', { ...verify, type: 'restoreFiles', diskIds: [] }, 400, 'body: diskIds'],
    [
      'too many disks',
      { ...verify, type: 'restoreFiles', diskIds: Array(1001).fill('a') },
      400,
      'diskIds',
    ],
    ['too large', ' '.repeat(64 * 1024 + 1), 413, '64 KiB'],
    [
      'as large as allowed',
      `${JSON.stringify(verify)}${' '.repeat(65_000)}`,
      404,
      'there is no VM',
    ],
  ])('with %s', async (_, body, status, text) => {
    const bench = await startConsole();
    const answer = await post(bench, '/api/v1/tasks', { body });

    expect([answer.status, answer.body]).toEqual([status, expect.stringContaining(text)]);
    expectSafe(answer);
    expect(bench.failures).toEqual([]);
  });

  it('too large is found also when its length is not told', async () => {
    const bench = await startConsole();
    const chunk = `10000\r\n${'x'.repeat(0x1_00_00)}\r\n`;
    const answer = await sendRaw(
      bench.port,
      `POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.operator}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}1\r\nx\r\n`,
    );

    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('API_BODY_TOO_LARGE');
    expect(bench.failures).toEqual([]);
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', ''])(
    'of type "%s" is refused, so no form of another site can send one',
    async (type) => {
      const bench = await startConsole();

      for (const target of ['/api/v1/tasks', '/api/v1/login']) {
        const answer = await post(bench, target, {
          headers: { 'content-type': type },
          body: verify,
        });
        expect([answer.status, codeOf(answer)]).toEqual([415, 'API_CONTENT_TYPE']);
      }
    },
  );

  it('is read only after the login was checked', async () => {
    const bench = await startConsole();
    const asked = { method: 'POST', body: '{' };

    expect((await bench.ask('/api/v1/tasks', asked)).status).toBe(401);
    const readOnly = await bench.ask('/api/v1/tasks', { ...asked, headers: bearer('readOnly') });
    expect(readOnly.status).toBe(403);
  });

  it('that ends in the middle is no failure of the daemon', async () => {
    const bench = await startConsole();
    const socket = connect(bench.port, '127.0.0.1');
    socket.write(
      `POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
      () => socket.destroy(),
    );
    await new Promise((resolve) => socket.on('close', resolve));

    expect((await bench.ask('/')).status).toBe(200);
    expect(bench.failures).toEqual([]);
  });
});

describe('a login', () => {
  it('gives a cookie that scripts and other sites do not get', async () => {
    const bench = await startConsole();
    const answer = await bench.ask('/api/v1/login', {
      method: 'POST',
      body: { token: TOKENS.operator },
    });

    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(/^ovirt-cbt=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    ]);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect(JSON.parse(answer.body)).toMatchObject({ role: 'operator' });
  });

  it('gives each time another cookie and CSRF token, and ends the login before', async () => {
    const bench = await startConsole();
    const first = await logIn(bench);
    const again = await bench.ask('/api/v1/login', {
      method: 'POST',
      headers: { cookie: first.cookie },
      body: { token: TOKENS.readOnly },
    });

    expect(again.headers['set-cookie']?.[0]).not.toContain(first.cookie);
    expect(again.body).not.toContain(first['x-csrf-token']);
    expect((await bench.ask('/api/v1/me', { headers: first })).status).toBe(401);
  });

  it('ends when its user logs out', async () => {
    const bench = await startConsole();
    const headers = await logIn(bench, 'readOnly');
    const answer = await bench.ask('/api/v1/logout', { method: 'POST', headers });

    expect(answer).toMatchObject({ status: 204, body: '' });
    expect(answer.headers['set-cookie']).toEqual([
      'ovirt-cbt=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0',
    ]);
    expect((await bench.ask('/api/v1/me', { headers })).status).toBe(401);
  });

  it('lasts while it is used', async () => {
    const bench = await startConsole();
    const headers = await logIn(bench);
    for (let hours = 7; hours <= 28; hours += 7) {
      bench.clock.nowMs = hours * 3_600_000;
      expect((await bench.ask('/api/v1/me', { headers })).status).toBe(200);
    }
    bench.clock.nowMs += 8 * 3_600_000;
    expect((await bench.ask('/api/v1/me', { headers })).status).toBe(401);
  });

  it('with wrong tokens is slowed down and told', async () => {
    const bench = await startConsole();
    const browser = await logIn(bench);
    const tryToken = async (token: string): Promise<Answer> =>
      await bench.ask('/api/v1/login', { method: 'POST', body: { token } });
    for (let tries = 0; tries < 10; tries++) {
      expect((await tryToken(`wrong ${tries}`)).status).toBe(401);
    }
    const late = await tryToken(TOKENS.operator);

    expect([late.status, codeOf(late)]).toEqual([429, 'API_TOO_MANY_LOGINS']);
    expect(late.headers['retry-after']).toBe('1');
    expect((await bench.ask('/api/v1/vms', { headers: bearer('operator') })).status).toBe(429);
    expect((await bench.ask('/api/v1/vms', { headers: browser })).status).toBe(200);
    expect(bench.refused).toEqual(Array(10).fill('127.0.0.1'));
    bench.clock.nowMs += 1000;
    expect((await tryToken(TOKENS.operator)).status).toBe(200);
  });

  it('leaves no secret in any answer', async () => {
    const bench = await startConsole();
    const headers = await logIn(bench);
    const value = headers.cookie.split('=')[1] ?? '';
    const answers = await Promise.all(
      Object.values(ROUTES)
        .filter(({ method, path, type }) => method === 'get' && !path.includes(':') && !type)
        .map(async (route) => await bench.ask(`/api/v1${route.path}`, { headers })),
    );
    answers.push(
      await bench.ask('/api/v1/login', { method: 'POST', body: { token: `${TOKENS.operator}x` } }),
      await bench.ask('/api/v1/login', { method: 'POST', body: { tokens: TOKENS.operator } }),
      await bench.ask('/api/v1/me', { headers: { authorization: `Basic ${TOKENS.operator}` } }),
    );

    expect(answers.length).toBeGreaterThan(10);
    for (const { body, headers: given } of answers) {
      const text = body + JSON.stringify(given);
      for (const secret of [TOKENS.operator, TOKENS.readOnly, value]) {
        expect(text).not.toContain(secret);
      }
    }
    expect(JSON.stringify([bench.changes, bench.failures, bench.refused])).not.toContain(value);
  });
});

describe('all answers', () => {
  it('have the headers that browsers enforce', async () => {
    const bench = await startConsole();
    const headers = bearer('operator');
    const answers = await Promise.all([
      bench.ask('/'),
      bench.ask('/style.css'),
      bench.ask('/none'),
      bench.ask('/api/v1/vms'),
      bench.ask('/api/v1/vms', { headers }),
      bench.ask('/api/v1/none', { headers }),
      bench.ask('/api/v1/logout', { method: 'POST', headers }),
    ]);

    for (const answer of answers) {
      expectSafe(answer);
      expect(answer.headers).toMatchObject({
        'content-security-policy': POLICY,
        'x-frame-options': 'DENY',
        'cross-origin-resource-policy': 'same-origin',
        'cross-origin-opener-policy': 'same-origin',
      });
    }
  });

  it('of a report allow no script at all', async () => {
    const bench = await startConsole();
    const [run] = await bench.sources.runs(undefined, 1);
    const answer = await bench.ask(`/api/v1/runs/${run?.runId}/page`, {
      headers: bearer('readOnly'),
    });

    expect(answer.headers['content-security-policy']).toMatch(/^default-src 'none';.*; sandbox$/);
    expect(answer.headers['content-security-policy']).not.toContain('script-src');
    expect(answer.headers['content-type']).toMatch(/^text\/html; charset=utf-8$/i);
  });
});

describe('the page', () => {
  it('has its files, each with its type', async () => {
    const bench = await startConsole();
    const typeOf = async (target: string): Promise<unknown> =>
      (await bench.ask(target)).headers['content-type'];

    expect((await bench.ask('/')).body).toBe('<!doctype html><title>console</title>');
    expect((await bench.ask('/?x=1')).status).toBe(200);
    expect(await typeOf('/index.html')).toBe('text/html; charset=utf-8');
    expect(await typeOf('/style.css')).toBe('text/css; charset=utf-8');
    expect(await typeOf('/vendor/lib.js')).toBe('text/javascript; charset=utf-8');
  });

  it('is not sent again while it is the same', async () => {
    const bench = await startConsole();
    const { headers } = await bench.ask('/');
    const again = await bench.ask('/', { headers: { 'if-none-match': headers.etag ?? '' } });

    expect(headers['cache-control']).toBe('no-cache');
    expect(again).toMatchObject({ status: 304, body: '' });
  });
});

async function startWithTls(host = '127.0.0.1'): Promise<ConsoleBench> {
  const folder = makeCertificates(path.join(tempFolderOfTest(), 'tls'));
  const tls = await readTlsFiles(
    path.join(folder, 'server-cert.pem'),
    path.join(folder, 'server-key.pem'),
  );
  return await startConsole({ tls, address: { host, port: 0 } });
}

describe('with TLS', () => {
  it('cookies are sent on encrypted connections alone', async () => {
    const bench = await startWithTls();
    const answer = await bench.ask('/api/v1/login', {
      method: 'POST',
      body: { token: TOKENS.operator },
    });

    expect(answer.headers['set-cookie']).toEqual([
      expect.stringMatching(
        /^__Host-ovirt-cbt=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
      ),
    ]);
    const cookie = answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    expect((await bench.ask('/api/v1/vms', { headers: { cookie } })).status).toBe(200);
  });

  it('plain HTTP is not answered', async () => {
    const bench = await startWithTls();
    const answer = await sendRaw(bench.port, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');

    expect(answer).not.toContain('console');
  });

  it('other hosts get metrics only with a token, and of health only the state', async () => {
    const bench = await startWithTls('0.0.0.0');
    const status = async (target: string, headers: Asked['headers'] = {}): Promise<number> =>
      (await bench.ask(target, { headers })).status;

    expect(await status('/metrics')).toBe(401);
    expect(await status('/metrics', { authorization: 'Bearer wrong' })).toBe(401);
    expect(await status('/metrics', { cookie: (await logIn(bench)).cookie })).toBe(401);
    expect(await status('/metrics', bearer('readOnly'))).toBe(200);
    expect(await status('/metrics', bearer('operator'))).toBe(200);
    const health = await bench.ask('/healthz', { headers: { host: '192.0.2.7' } });
    expect(health).toMatchObject({ status: 200, body: '{"status":"ok"}\n' });
    expect(await status('/metrics', { host: '192.0.2.7', ...bearer('operator') })).toBe(421);
  });

  it('on this machine alone, metrics and health stay as they are', async () => {
    const bench = await startWithTls();

    expect((await bench.ask('/metrics')).body).toBe('ovirt_cbt_build_info 1\n');
    expect((await bench.ask('/healthz')).body).toContain('nightly');
  });

  it('the server for others does not start without it', async () => {
    const open = startConsole({ address: { host: '0.0.0.0', port: 0 } });

    await expect(open).rejects.toMatchObject({ code: 'INTERNAL_INVARIANT' });
  });
});
