/** The store over object storage, against a server: lock, uploads, lost answers, errors. */
import { randomUUID } from 'node:crypto';
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { parseS3Location } from '../../../src/store/s3/location.ts';
import { openS3Store, type S3Store, type S3Times } from '../../../src/store/s3/s3Store.ts';
import type { NewContainer, StoreFolder, StoreOptions } from '../../../src/store/store.ts';
import { noise } from '../../helpers/bytes/random.ts';

import type { S3Fault } from '../../helpers/s3/faultProxy.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const s3 = useS3();
const temp = useTempFolder();
const opened: S3Store[] = [];
const RETRY = { windowMs: 300, firstDelayMs: 5, maxDelayMs: 20 };

afterEach(async () => {
  s3.proxy.arm();
  for (const store of opened.splice(0)) await store.close();
});

async function open(options: StoreOptions = {}, times: S3Times = {}): Promise<S3Store> {
  const location = parseS3Location(s3.repository);
  const store = await openS3Store(location, options, { retry: RETRY, ...times });
  opened.push(store);
  return store;
}

async function write(container: NewContainer, content: Buffer): Promise<void> {
  const { storage } = container;
  for (let at = 0; at < content.length; at += MIB) {
    await storage.write([content.subarray(at, at + MIB)], at);
  }
  await storage.sync();
  await storage.close();
}

async function publish(folder: StoreFolder, name: string, content: Buffer): Promise<void> {
  const container = await folder.createContainer(name);
  await write(container, content);
  await container.publish();
}

async function read(folder: StoreFolder, name: string, stepBytes = MIB): Promise<Buffer> {
  const storage = await folder.openContainer(name);
  const content = Buffer.alloc(await storage.sizeBytes());
  for (let at = 0; at < content.length; at += stepBytes) {
    await storage.read(content.subarray(at, at + stepBytes), at);
  }
  await storage.close();
  return content;
}

/** The first request of a kind meets a fault. */
function failFirst(kind: string, fault: S3Fault): void {
  s3.proxy.arm((request) => (request.kind === kind && request.nthOfKind === 1 ? fault : undefined));
}

describe('files', () => {
  it('are written, replaced, listed and deleted', async () => {
    const store = await open();
    expect(await store.names()).toBeUndefined();
    const folder = store.folder('vm “ä+ %&<>.1');
    await folder.writeFile('a.vbm', 'one');
    await folder.writeFile('a.vbm', Buffer.from([0, 255]));
    await folder.writeShared('lease.1.json', 'l');
    expect(await folder.touch('lease.1.json', 'l')).toBe(true);
    expect(await folder.touch('lease.2.json', 'l')).toBe(false);

    expect(await folder.readFile('a.vbm', 2)).toEqual(Buffer.from([0, 255]));
    expect(await folder.readFile('b.vbm', 2)).toBeUndefined();
    await expect(folder.readFile('a.vbm', 1)).rejects.toMatchObject({
      code: 'REPOSITORY_METADATA_INVALID',
    });
    expect((await folder.fileNames()).toSorted()).toEqual(['a.vbm', 'lease.1.json']);
    expect((await folder.facts(['a.vbm', 'b.vbm'])).get('a.vbm')).toMatchObject({ sizeBytes: 2 });
    expect(await store.names()).toEqual(['vm “ä+ %&<>.1']);
    expect(await folder.remove(['a.vbm', 'lease.1.json', 'none'])).toEqual([]);
    expect(await s3.keys()).toEqual([]);
  });

  it.each(['cutBefore', 'cutAfter', 'slowDown', 'duplicate', 'conflict'] as const)(
    'are created once, after %s too',
    async (fault) => {
      const { root } = await open();
      failFirst('PutObject', fault);
      expect(await root.createFile('ovirt-cbt.json', 'ours')).toBe(true);
      expect(await root.createFile('ovirt-cbt.json', 'of others')).toBe(false);
      expect((await root.readFile('ovirt-cbt.json', 100))?.toString()).toBe('ours');
    },
  );

  it('show a server without conditional writes, and leave nothing there', async () => {
    const { root } = await open();
    // A server that ignores the condition takes the probe, as if there were no object.
    s3.proxy.arm(async ({ kind, nthOfKind, key }) => {
      if (kind !== 'PutObject' || nthOfKind !== 2) return undefined;
      await s3.server.client.deleteObject({ Bucket: s3.bucket, Key: key });
      return undefined;
    });

    await expect(root.createFile('ovirt-cbt.json', 'x')).rejects.toMatchObject({
      code: 'REPOSITORY_UNSUPPORTED',
    });
    expect(await s3.keys()).toEqual([]);
  });
});

describe('a container', () => {
  const content = noise(7, 9 * MIB + 5);

  it.each([
    ['CreateMultipartUpload', 'cutAfter'],
    ['UploadPart', 'cutBefore'],
    ['CompleteMultipartUpload', 'cutAfter'],
    ['CompleteMultipartUpload', 'duplicate'],
  ] as const)('is whole when %s meets %s, and no upload is left', async (kind, fault) => {
    const folder = (await open()).folder('vm');
    failFirst(kind, fault);
    await publish(folder, 'a.vbk', content);
    s3.proxy.arm();

    expect((await read(folder, 'a.vbk')).equals(content)).toBe(true);
    await s3.expectNoStrays();
  });

  it.each(['cutAfter', 'duplicate'] as const)(
    'of one object is there once, after %s',
    async (f) => {
      const folder = (await open()).folder('vm');
      failFirst('PutObject', f);
      await publish(folder, 'a.vbk', content.subarray(0, MIB));
      await expect(publish(folder, 'a.vbk', content.subarray(1, MIB))).rejects.toMatchObject({
        details: { errno: 'EEXIST' },
      });
      expect((await read(folder, 'a.vbk')).equals(content.subarray(0, MIB))).toBe(true);
    },
  );

  it.each(['truncate', 'shorten', 'cutBefore'] as const)('is read after %s', async (fault) => {
    const folder = (await open()).folder('vm');
    await publish(folder, 'a.vbk', content);
    s3.proxy.arm(({ kind, nthOfKind }) =>
      kind === 'GetObject' && nthOfKind % 2 === 1 ? fault : undefined,
    );

    expect((await read(folder, 'a.vbk')).equals(content)).toBe(true);
  });

  it('that is replaced while it is read is an error', async () => {
    const folder = (await open()).folder('vm');
    await publish(folder, 'a.vbk', content);
    const storage = await folder.openContainer('a.vbk');
    await folder.remove(['a.vbk']);
    await publish(folder, 'a.vbk', noise(8, content.length));

    await expect(storage.read(Buffer.alloc(9), 8 * MIB)).rejects.toMatchObject({
      code: 'REPOSITORY_IO',
      details: { errno: 'ESTALE' },
    });
    await folder.remove(['a.vbk']);
    await expect(storage.read(Buffer.alloc(9), 8 * MIB)).rejects.toMatchObject({
      details: { errno: 'ENOENT' },
    });
  });

  it('is read in windows in order, and piece by piece otherwise', async () => {
    const folder = (await open()).folder('vm');
    const large = noise(9, 20 * MIB);
    await publish(folder, 'a.vbk', large);
    s3.proxy.arm();
    expect((await read(folder, 'a.vbk', 256 * 1024)).equals(large)).toBe(true);
    expect(s3.proxy.counts()).toEqual({ GetObject: 6 });

    s3.proxy.arm();
    const storage = await folder.openContainer('a.vbk');
    const target = Buffer.alloc(70_000);
    for (const at of [12, 3, 7, 17, 19, 0]) {
      await storage.read(target, at * MIB);
      expect(target.equals(large.subarray(at * MIB, at * MIB + target.length))).toBe(true);
    }
    await expect(storage.read(target, large.length - 9)).rejects.toMatchObject({
      code: 'FORMAT_TRUNCATED',
    });
    // Head, three pieces, and the last bytes once.
    expect(s3.proxy.counts()).toEqual({ GetObject: 5 });
  });

  it('that is empty or missing', async () => {
    const folder = (await open()).folder('vm');
    await folder.writeFile('empty.vbk', '');
    const empty = await folder.openContainer('empty.vbk');
    expect(await empty.sizeBytes()).toBe(0);
    await expect(empty.read(Buffer.alloc(1), 0)).rejects.toMatchObject({
      code: 'FORMAT_TRUNCATED',
    });
    await expect(folder.openContainer('none.vbk')).rejects.toMatchObject({
      code: 'REPOSITORY_IO',
      details: { errno: 'ENOENT' },
    });
  });

  it('is opened from the cache without a request while the lock is held', async () => {
    const cache = temp.path('cache');
    const folder = (await open({ cache })).folder('vm');
    await publish(folder, 'a.vbk', content);
    await read(folder, 'a.vbk', content.length);
    const [first, second] = [Buffer.alloc(4096), Buffer.alloc(100)];
    const again = (await open({ cache })).folder('vm');
    await using lock = await again.lock();
    await again.containerNames();
    s3.proxy.arm();

    const storage = await again.openContainer('a.vbk');
    await storage.read(first, 0);
    expect(s3.proxy.counts()).toEqual({});
    await storage.read(second, content.length - 100);
    const tails = s3.proxy.counts();
    const third = await again.openContainer('a.vbk');
    await third.read(second, content.length - 100);

    expect(s3.proxy.counts()).toEqual(tails);
    expect(Buffer.concat([first, second])).toEqual(
      Buffer.concat([content.subarray(0, 4096), content.subarray(-100)]),
    );
    expect(lock).toBeDefined();
    for (const name of readdirSync(cache)) {
      expect(statSync(temp.path('cache', name)).mode & 0o777).toBe(0o600);
      writeFileSync(temp.path('cache', name), 'damaged');
    }
    expect((await read(again, 'a.vbk')).equals(content)).toBe(true);
  });
});

describe('errors', () => {
  /** Requests fail from the first one on. */
  const FAULTS = [
    ['expiredToken', 'REPOSITORY_REFUSED', 'the credentials have run out'],
    ['clockSkew', 'REPOSITORY_CLOCK', 'the clock of this machine is wrong'],
    ['slowDown', 'REPOSITORY_UNREACHABLE', 'gives no answer (SlowDown, status 503)'],
    ['internalError', 'REPOSITORY_UNREACHABLE', 'gives no answer (InternalError, status 500)'],
    ['cutBefore', 'REPOSITORY_UNREACHABLE', 'gives no answer (ECONNRESET)'],
  ] as const;

  it.each(FAULTS)('%s gives %s', async (fault, code, text) => {
    const { root } = await open();
    s3.proxy.arm(() => fault);

    await expect(root.readFile('x', 1)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(text) as string,
    });
  });

  it.each(FAULTS.slice(0, 1))('%s once is no error', async (fault) => {
    const { root } = await open();
    s3.proxy.arm(({ nth }) => (nth === 1 ? fault : undefined));

    expect(await root.readFile('x', 1)).toBeUndefined();
    expect(s3.proxy.counts()).toEqual({ GetObject: 2 });
  });

  it('a bucket that does not exist', async () => {
    const location = parseS3Location(`s3://${randomUUID()}/x`);
    const store = await openS3Store(location, {}, { retry: RETRY });
    opened.push(store);

    await expect(store.names()).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    await expect(store.root.readFile('x', 1)).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
    await expect(store.root.createFile('x', 'x')).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
  });

  it.each([
    ['http://127.0.0.1:1', 'REPOSITORY_UNREACHABLE'],
    ['http://user:secret@127.0.0.1:1', 'USAGE_INVALID_OPTION'],
    ['127.0.0.1:1', 'USAGE_INVALID_OPTION'],
  ])('the endpoint %s', async (endpoint, code) => {
    vi.stubEnv('AWS_ENDPOINT_URL_S3', endpoint);
    try {
      const failure = await open()
        .then((store) => store.names())
        .catch((error: unknown) => error);
      expect(failure).toMatchObject({ code });
      expect(inspect(failure)).not.toContain('secret');
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('no credentials', async () => {
    const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'];
    for (const name of names) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    try {
      const store = await open();
      await expect(store.names()).rejects.toMatchObject({
        code: 'REPOSITORY_REFUSED',
        message: expect.stringContaining('no credentials for S3 were found') as string,
      });
    } finally {
      vi.unstubAllEnvs();
    }
  });

  // A list that nobody waits for any more would end the process.
  it('of a list fail its caller alone, and the next list is a new one', async () => {
    const folder = (await open()).folder('vm');
    await folder.createFile('a.json', '{}');
    await using _lock = await folder.lock();
    s3.proxy.arm(({ kind }) => (kind === 'ListObjectsV2' ? 'expiredToken' : undefined));
    await expect(folder.fileNames()).rejects.toMatchObject({ code: 'REPOSITORY_REFUSED' });
    await folder.createFile('b.json', '{}');

    s3.proxy.arm();

    expect(await folder.fileNames()).toEqual(expect.arrayContaining(['a.json', 'b.json']));
  });
});
