/** Login, sessions, headers and the shape of answers of the lab's engine. */
import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import { type Lab, startLab } from '../../lab/src/index.ts';
import { EngineClient, waitUntil } from '../helpers/engineClient.ts';

const UNKNOWN_ID = '11111111-2222-4333-8444-555555555555';

let lab: Lab;
let client: EngineClient;

beforeAll(async () => {
  lab = await startLab();
  client = await EngineClient.login(lab);
});

afterAll(async () => {
  await client.close();
  await lab.close();
});

describe('sign-on', () => {
  it('gives a token with its expiry as text', async () => {
    const { status, json } = await client.sso({ username: lab.username, password: lab.password });

    expect(status).toBe(200);
    expect(json).toEqual({
      access_token: expect.stringMatching(/^[\w-]{40,}$/),
      scope: 'ovirt-app-api',
      exp: '9223372036854775807',
      token_type: 'bearer',
    });
    expect(lab.secrets()).toContain(json['access_token']);
    expect(lab.secrets()).toContain(lab.password);
  });

  it('answers a wrong password with 400 and the error pair of the application scope', async () => {
    const { status, json } = await client.sso({ username: lab.username, password: 'wrong' });

    expect(status).toBe(400);
    expect(json).toEqual({
      error_code: 'access_denied',
      error: expect.stringContaining(`Cannot authenticate user '${lab.username}'`),
    });
  });

  it.each([{ accept: '*/*' }, { accept: 'application/json, text/plain' }, {}])(
    'insists on the exact Accept header: %j',
    async (headers) => {
      const form = { username: lab.username, password: lab.password };
      const { status, json } = await client.sso(form, headers as Record<string, string>);

      expect([status, json['error_code']]).toEqual([400, 'invalid_request']);
    },
  );

  it.each([
    [{ grant_type: 'magic' }, 'error_code', 'unsupported_grant_type'],
    [{ scope: 'other' }, 'error', 'invalid_scope'],
    [{ grant_type: '' }, 'error_code', 'invalid_request'],
  ])('refuses %j with a code in %s', async (form, field, code) => {
    const answer = await client.sso({ username: lab.username, password: lab.password, ...form });

    expect([answer.status, answer.json[field]]).toEqual([400, code]);
  });

  it('revokes a token, and says so when there was none', async () => {
    const other = await EngineClient.login(lab);
    const revoke = async (): Promise<unknown> => {
      const { status, json } = await other.raw('POST', `${lab.url}/services/sso-logout`, {
        headers: { accept: 'application/json' },
        body: new URLSearchParams({ scope: 'ovirt-app-api', token: other.token }).toString(),
      });
      return [status, 'error' in json];
    };

    expect(await revoke()).toEqual([200, false]);
    expect((await other.call('GET', '/vms')).status).toBe(401);
    expect(await revoke()).toEqual([200, true]);
    await other.close();
  });
});

describe('a session', () => {
  it('that is unknown is answered with HTML and a challenge', async () => {
    const { status, headers, text } = await client.call('GET', '/vms', undefined, {
      authorization: 'Bearer nonsense',
    });

    expect(status).toBe(401);
    expect(headers['www-authenticate']).toBe('Basic realm="RESTAPI"');
    expect(headers['content-type']).toContain('text/html');
    expect(text).toContain('<html>');
  });

  it('ends for all clients when tokens expire', async () => {
    const other = await EngineClient.login(lab);
    lab.expireTokens();
    expect((await other.call('GET', '/vms')).status).toBe(401);
    await other.close();
    await client.close();
    client = await EngineClient.login(lab);
    expect((await client.call('GET', '/vms')).status).toBe(200);
  });

  it('dies of idleness', async () => {
    await using other = await startLab({ sessionIdleSeconds: 25 });
    await using idle = await EngineClient.login(other);
    const endMs = performance.now() + 120;
    await waitUntil('idle time', async () => (performance.now() > endMs ? true : undefined));

    expect((await idle.call('GET', '/vms')).status).toBe(401);
  });
});

describe('answers', () => {
  it('show numbers and booleans as text, dates as numbers, empty collections as an object', async () => {
    const vm = lab.addVm({ name: 'shapes', disks: [{ name: 'shapes_root', sizeBytes: 3 * MIB }] });
    const root = await client.get('');
    const entity = await client.get(`/vms/${vm.id}`);
    const disk = await client.get(`/disks/${vm.disk('shapes_root').id}`);

    expect(root['product_info'].version).toMatchObject({ major: '4', minor: '5' });
    expect(root['time']).toBeTypeOf('number');
    expect(entity).toMatchObject({
      id: vm.id,
      href: `/ovirt-engine/api/vms/${vm.id}`,
      memory: String(1024 * MIB),
      delete_protected: 'false',
      cpu: { topology: { sockets: '1', cores: '2', threads: '1' } },
    });
    expect(entity['creation_time']).toBeTypeOf('number');
    expect(entity['link']).toContainEqual({
      rel: 'backups',
      href: `/ovirt-engine/api/vms/${vm.id}/backups`,
    });
    expect(disk).toMatchObject({ provisioned_size: String(3 * MIB), sparse: 'true' });
    expect(disk['actions'].link).toContainEqual(expect.objectContaining({ rel: 'convert' }));
    expect(await client.get(`/vms/${vm.id}/backups`)).toEqual({});
    expect('logical_name' in entity).toBe(false);
  });

  it('to an unknown resource have no body, to an unknown parent of a POST a fault', async () => {
    for (const path of [`/vms/${UNKNOWN_ID}`, '/vms/no-uuid', '/nowhere', `/disks/${UNKNOWN_ID}`]) {
      const { status, text } = await client.call('GET', path);
      expect([path, status, text]).toEqual([path, 404, '']);
    }
    const { status, json } = await client.call('POST', `/vms/${UNKNOWN_ID}/backups`, {
      disks: { disk: [{ id: UNKNOWN_ID }] },
    });

    expect(status).toBe(404);
    expect(json).toEqual({
      reason: 'Operation Failed',
      detail: `[Entity not found: ${UNKNOWN_ID}]`,
    });
  });

  it.each([
    ['broken JSON', '{"disks":'],
    ['an unknown property', { disks: {}, flavour: 'vanilla' }],
    ['an unknown enum value', { direction: 'sideways', disk: { id: UNKNOWN_ID } }],
    ['a malformed UUID', { disk: { id: 'no-uuid' } }],
  ])('to %s in a body are 400', async (_, body) => {
    const { status, json } = await client.call('POST', '/imagetransfers', body);

    expect(status).toBe(400);
    expect(json['reason']).toBeTypeOf('string');
  });

  it('take numbers and booleans native and as text', async () => {
    for (const size of [MIB, String(MIB)]) {
      const { status } = await client.call('POST', '/disks', {
        format: 'cow',
        sparse: typeof size === 'string' ? 'true' : true,
        provisioned_size: size,
        storage_domains: { storage_domain: [{ name: 'data' }] },
      });
      expect(status).toBe(202);
    }
  });

  it('echo a cleaned correlation id, or have one of their own', async () => {
    const wish = await client.call('GET', '/vms', undefined, {
      'correlation-id': `a b/c_d-${'x'.repeat(40)}`,
    });
    const none = await client.call('GET', '/vms');

    expect(wish.headers['correlation-id']).toBe(`abc_d-${'x'.repeat(30)}`);
    expect(none.headers['correlation-id']).toMatch(/^[\da-f-]{36}$/);
  });

  it('come for version 4 in header and path, and for no other', async () => {
    expect((await client.call('GET', '/v4/vms')).status).toBe(200);
    expect((await client.call('GET', '/vms', undefined, { version: '4' })).status).toBe(200);
    expect((await client.call('GET', '/vms', undefined, { version: '3' })).status).toBe(400);
  });

  it('to a method that a path does not have are 405', async () => {
    expect((await client.call('DELETE', '/vms')).status).toBe(405);
  });
});

const pki = (query: string): string => `${lab.url}/services/pki-resource?${query}`;

describe('the PKI resource', () => {
  it('gives the CA without a session', async () => {
    const url = pki('resource=ca-certificate&format=X509-PEM-CA');
    const { status, headers, text } = await client.raw('GET', url);

    expect([status, headers['content-type']]).toEqual([200, 'application/x-x509-ca-cert']);
    expect(new X509Certificate(text).fingerprint256).toBe(
      new X509Certificate(lab.caPem).fingerprint256,
    );
  });

  it('refuses what it does not know', async () => {
    expect((await client.raw('GET', pki('resource=secret'))).status).toBe(400);
  });
});

describe('the record of requests', () => {
  it('knows method, path, status and correlation id', async () => {
    await client.call('GET', '/clusters', undefined, { 'correlation-id': 'seen-1' });

    expect(lab.requests.at(-1)).toMatchObject({
      server: 'engine',
      method: 'GET',
      path: '/ovirt-engine/api/clusters',
      status: 200,
      correlationId: 'seen-1',
    });
  });
});
