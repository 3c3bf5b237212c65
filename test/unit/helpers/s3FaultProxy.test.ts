/** The proxy of the fault tests: what it counts, and what server and client see of each fault. */
import { EventEmitter, once } from 'node:events';
import type { S3 } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { keysOf, objectOf, s3Client } from '../../helpers/s3/client.ts';
import { FaultProxy, type S3Fault } from '../../helpers/s3/faultProxy.ts';
import { targetOf } from '../../helpers/s3/requestKind.ts';
import { type S3Server, startMoto } from '../../helpers/s3/servers.ts';

const BODY = Buffer.from('0123456789abcdef');
let server: S3Server;
let proxy: FaultProxy;
let client: S3;

beforeAll(async () => {
  server = await startMoto();
  await server.createBucket('plain');
  await server.createBucket('versioned', { versioning: true });
});
afterAll(async () => await server.close());
beforeEach(async () => {
  proxy = await FaultProxy.start(server.endpoint);
  client = s3Client(proxy.envFor(server.env), {
    maxAttempts: 1,
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
});
afterEach(async () => {
  client.destroy();
  await proxy.close();
});

/** The first request gets the fault. */
function strike(fault: S3Fault): void {
  proxy.arm(({ nth }) => (nth === 1 ? fault : undefined));
}

async function put(Key: string): Promise<unknown> {
  return await client.putObject({ Bucket: 'plain', Key, Body: BODY });
}

async function isThere(key: string): Promise<boolean> {
  return (await keysOf(server.client, 'plain')).includes(key);
}

async function get(Key: string): Promise<Buffer> {
  return await objectOf(client, 'plain', Key);
}

it('counts and records requests by kind', async () => {
  await put('folder/a b');
  await get('folder/a b');
  await get('folder/a b');
  await keysOf(client, 'plain');

  expect(proxy.counts()).toEqual({ PutObject: 1, GetObject: 2, ListObjectsV2: 1 });
  expect(proxy.requests[2]).toEqual({
    kind: 'GetObject',
    bucket: 'plain',
    key: 'folder/a b',
    nth: 3,
    nthOfKind: 2,
  });
  proxy.arm();
  expect(proxy.counts()).toEqual({});
});

it.each([
  ['PUT', '/b/k?partNumber=2&uploadId=u', 'UploadPart'],
  ['POST', '/b/k?uploads=', 'CreateMultipartUpload'],
  ['POST', '/b/k?uploadId=u', 'CompleteMultipartUpload'],
  ['DELETE', '/b/k?uploadId=u', 'AbortMultipartUpload'],
  ['GET', '/b?uploads&prefix=p', 'ListMultipartUploads'],
  ['GET', '/b/?list-type=2&prefix=uploads', 'ListObjectsV2'],
  ['POST', '/b?delete=', 'DeleteObjects'],
  ['PUT', '/b/k?retention', 'PutObjectRetention'],
  ['GET', '/b/k?versionId=1&retention=', 'GetObjectRetention'],
  ['GET', '/b?object-lock', 'GetObjectLockConfiguration'],
  ['HEAD', '/b/f/k', 'HeadObject'],
  ['PATCH', '/b/f/k', 'PATCH /b/f/k'],
])('%s %s is %s', (method, url, kind) => {
  expect(targetOf(method, url).kind).toBe(kind);
});

describe('a fault', () => {
  it.each([
    ['slowDown', { name: 'SlowDown', status: 503 }],
    ['internalError', { name: 'InternalError', status: 500 }],
    ['expiredToken', { name: 'ExpiredToken', status: 400 }],
    ['clockSkew', { name: 'RequestTimeTooSkewed', status: 403 }],
    ['conflict', { name: 'ConditionalRequestConflict', status: 409 }],
  ] as const)('%s is an error that the server does not see', async (fault, { name, status }) => {
    strike(fault);

    const error = await put(`key ${fault}`).catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ name, $metadata: { httpStatusCode: status } });
    expect(proxy.requests).toMatchObject([{ kind: 'PutObject', fault }]);
    expect(await keysOf(server.client, 'plain', 'key ')).not.toContain(`key ${fault}`);
  });

  it.each([
    ['cutBefore', false],
    ['cutAfter', true],
  ] as const)('%s ends the connection', async (fault, isDone) => {
    strike(fault);

    await expect(put(fault)).rejects.toThrow(/socket hang up|ECONNRESET/);

    expect(await isThere(fault)).toBe(isDone);
  });

  it('duplicate makes a request twice', async () => {
    strike('duplicate');

    await client.putObject({ Bucket: 'versioned', Key: 'twice', Body: BODY });

    const { Versions } = await server.client.listObjectVersions({ Bucket: 'versioned' });
    expect(Versions).toHaveLength(2);
    expect(proxy.requests).toHaveLength(1);
  });

  it('truncate, shorten and flip spoil the body of an answer', async () => {
    await put('spoilt');

    strike('truncate');
    await expect(get('spoilt')).rejects.toThrow('aborted');
    strike('shorten');
    expect(String(await get('spoilt'))).toBe('01234567');
    strike('flip');
    expect(String(await get('spoilt'))).toBe('0123456799abcdef');
    expect(await get('spoilt')).toEqual(BODY);
  });

  it.each([
    ['holdBefore', false],
    ['holdAfter', true],
  ] as const)('%s never answers', async (fault, isDone) => {
    strike(fault);
    const stop = new AbortController();
    const wanted = { Bucket: 'plain', Key: fault, Body: BODY };

    const held = client.putObject(wanted, { abortSignal: stop.signal });
    const outcome = held.catch((error: unknown) => error);
    await expect.poll(() => proxy.requests).toMatchObject([{ fault }]);
    await expect.poll(async () => await isThere(fault)).toBe(isDone);
    stop.abort();

    expect(await outcome).toMatchObject({ name: 'AbortError' });
  });
});

it('a rule that returns late delays a request, and later requests go on', async () => {
  const gate = new EventEmitter();
  proxy.arm(async ({ nth }) => {
    if (nth === 1) await once(gate, 'open');
    return undefined;
  });

  const late = put('late').then(() => keysOf(server.client, 'plain'));
  await expect.poll(() => proxy.requests.length).toBe(1);
  await put('early');
  const before = await keysOf(server.client, 'plain');
  gate.emit('open');

  expect(before).not.toContain('late');
  expect(await late).toEqual(expect.arrayContaining(['early', 'late']));
});
