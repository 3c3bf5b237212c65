/** The lock of a folder in object storage, and what it protects. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseS3Location } from '../../../src/store/s3/location.ts';
import { openS3Store, type S3Store, type S3Times } from '../../../src/store/s3/s3Store.ts';
import { describeProcess, type ProcessIdentity } from '../../../src/store/processIdentity.ts';
import type { StoreFolder, StoreOptions } from '../../../src/store/store.ts';
import { MIB } from '../../../src/core/units.ts';
import { uploadsOf } from '../../helpers/s3/client.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';

const s3 = useS3();
const LOCK_KEY = 'backups/site/vm/lock';
const RETRY = { windowMs: 300, firstDelayMs: 5, maxDelayMs: 20 };
const opened: S3Store[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function openFolder(options: StoreOptions = {}, times: S3Times = {}): Promise<StoreFolder> {
  const location = parseS3Location(s3.repository);
  const store = await openS3Store(location, options, { retry: RETRY, ...times });
  opened.push(store);
  return store.folder('vm');
}

/** Puts the lock of another process there. */
async function putLock(holder: Partial<ProcessIdentity> & { leaseMs?: number }): Promise<void> {
  const content = {
    id: 'other-id',
    since: '2026-01-01T00:00:00.000Z',
    leaseMs: 300_000,
    ...(await describeProcess()),
    ...holder,
  };
  const Body = JSON.stringify(content);
  await s3.server.client.putObject({ Bucket: s3.bucket, Key: LOCK_KEY, Body });
}

/** A process of this host that has ended: another one has its pid now. */
const ENDED = { processStart: '1' };

describe('the lock', () => {
  it('is taken by one, named to others, and deleted at the end', async () => {
    const [one, other] = [await openFolder(), await openFolder()];
    expect(await one.lockedAtMs()).toBe(-Infinity);
    const lock = await one.lock();

    await expect(other.lock()).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      message: expect.stringContaining(`is locked by pid ${process.pid}`) as string,
      hint: 'wait until that process has ended',
    });
    await lock.assertHeld();
    expect(await other.lockedAtMs()).toBeGreaterThan(Date.now() - 3_600_000);
    await lock.release();
    await lock.release();

    expect(await s3.keys()).toEqual([]);
  });

  it.each(['cutAfter', 'duplicate', 'conflict'] as const)('is ours after %s', async (fault) => {
    const folder = await openFolder();
    s3.proxy.arm(({ kind, nthOfKind }) =>
      kind === 'PutObject' && nthOfKind === 1 ? fault : undefined,
    );
    const lock = await folder.lock();
    await lock.assertHeld();
    await lock.release();
    expect(await s3.keys()).toEqual([]);
  });

  it('of another host stays until its lease is over', async () => {
    const folder = await openFolder();
    await putLock({ host: 'elsewhere' });
    await expect(folder.lock()).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      hint: expect.stringContaining('process on elsewhere (pid') as string,
    });
    expect(await s3.keys()).toEqual(['vm/lock']);

    await putLock({ host: 'elsewhere', leaseMs: 1 });
    const lock = await vi.waitFor(() => folder.lock(), { timeout: 10_000 });
    await lock.assertHeld();
    await lock.release();
    expect(await s3.keys()).toEqual([]);
  });

  it('of a process that has ended is taken over by one of many', async () => {
    await putLock(ENDED);
    const folders = await Promise.all(Array.from({ length: 6 }, () => openFolder()));
    const tries = await Promise.allSettled(folders.map((folder) => folder.lock()));

    // Moto checks and writes in two steps, so two may get the lock there. One of them holds it.
    const taken = tries.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    const held = await Promise.allSettled(taken.map((lock) => lock.assertHeld()));
    expect(held.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of [...tries, ...held]) {
      if (one.status === 'rejected')
        expect(one.reason).toMatchObject({ code: 'REPOSITORY_LOCKED' });
    }
    for (const lock of taken) await lock.release();
    expect(await s3.keys()).toEqual([]);
  });

  it('that another session took is not ours, and stays', async () => {
    const lock = await (await openFolder()).lock();
    await putLock({});

    await expect(lock.assertHeld()).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await lock.release();

    expect(await s3.keys()).toEqual(['vm/lock']);
  });

  it('that another session took while this machine slept is not ours, and stays', async () => {
    const lock = await (await openFolder()).lock();
    await putLock({});
    // The monotonic clock does not count such a time.
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 3_600_000);
    await lock.release();
    vi.restoreAllMocks();

    expect(await s3.keys()).toEqual(['vm/lock']);
  });

  it('is renewed, and then its time of taking stays', async () => {
    const folder = await openFolder({}, { lock: { renewEveryMs: 20, leaseMs: 60_000 } });
    const other = await openFolder();
    const lock = await folder.lock();
    const takenAtMs = await folder.lockedAtMs();
    await vi.waitFor(() => expect(s3.proxy.counts()['PutObject']).toBeGreaterThan(4), {
      timeout: 10_000,
    });
    await lock.assertHeld();

    expect(await other.lockedAtMs()).toBe(takenAtMs);
    await lock.release();
    expect(await s3.keys()).toEqual([]);
  });

  it('that could not be renewed is given up by its holder', async () => {
    const folder = await openFolder({}, { lock: { renewEveryMs: 10, leaseMs: 50 } });
    s3.proxy.arm(({ kind, nthOfKind }) =>
      kind === 'PutObject' && nthOfKind > 1 ? 'slowDown' : undefined,
    );
    const lock = await folder.lock();
    await vi.waitFor(() => expect(lock.assertHeld()).rejects.toThrow('could not be renewed'), {
      timeout: 10_000,
    });
    await lock.release();
    expect(await s3.keys()).toEqual([]);
  });

  it('that is no lock is an error that says what to do', async () => {
    await s3.server.client.putObject({ Bucket: s3.bucket, Key: LOCK_KEY, Body: 'x' });

    await expect((await openFolder()).lock()).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
      hint: expect.stringContaining('delete it and run the command again') as string,
    });
  });

  it('is not used where locks are turned off', async () => {
    const folder = await openFolder({ noLock: true });
    await using lock = await folder.lock();
    await lock.assertHeld();
    expect(await folder.lockedAtMs()).toBe(-Infinity);
    expect(await folder.createFile('x', 'x')).toBe(true);
    expect(await folder.createFile('x', 'x')).toBe(false);
    expect(await s3.keys()).toEqual(['vm/x']);
  });
});

/** Its part has reached the server, so no later test sees it. */
async function startUpload(): Promise<void> {
  s3.proxy.arm();
  const container = await (await openFolder()).createContainer('left.vbk');
  await container.storage.write([new Uint8Array(9 * MIB)], 8 * MIB);
  await expect.poll(() => uploadsOf(s3.server.client, s3.bucket)).toHaveLength(1);
  await expect.poll(() => s3.proxy.counts()).toMatchObject({ UploadPart: 1 });
}

describe('leftovers', () => {
  it('of a session that was killed are removed', async () => {
    await startUpload();
    await putLock(ENDED);
    const folder = await openFolder();
    await using lock = await folder.lock();

    expect(await folder.removeLeftovers()).toEqual(['left.vbk']);
    expect(await uploadsOf(s3.server.client, s3.bucket)).toEqual([]);
    await lock.assertHeld();
  });

  it('are not looked for after a session that ended well', async () => {
    const folder = await openFolder();
    await using lock = await folder.lock();
    s3.proxy.arm();

    expect(await folder.removeLeftovers()).toEqual([]);
    expect(s3.proxy.counts()).toEqual({ ListObjectsV2: 1 });
    await lock.assertHeld();
  });

  it('of a discarded container are removed with the lock, when they could not be before', async () => {
    const folder = await openFolder();
    const lock = await folder.lock();
    const container = await folder.createContainer('left.vbk');
    await container.storage.write([new Uint8Array(9 * MIB)], 8 * MIB);
    s3.proxy.arm(({ kind }) => (kind === 'AbortMultipartUpload' ? 'slowDown' : undefined));
    await container.discard();
    expect(await uploadsOf(s3.server.client, s3.bucket)).toHaveLength(1);
    s3.proxy.arm();

    await lock.release();

    expect(await uploadsOf(s3.server.client, s3.bucket)).toEqual([]);
  });
});
