/** Object Lock on a server that keeps it: versitygw. moto does not know all of its requests. */
import { afterEach, describe, expect, it } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import { parseS3Location } from '../../../src/store/s3/location.ts';
import { openS3Store, type S3Store } from '../../../src/store/s3/s3Store.ts';
import type { StoreFolder, StoreOptions } from '../../../src/store/store.ts';
import { startVersitygw } from '../../helpers/s3/servers.ts';
import { useS3 } from '../../helpers/s3/useS3.ts';

const s3 = useS3({ start: startVersitygw, bucket: { objectLock: true } });
const DAY_MS = 86_400_000;
const IMMUTABLE = { periodMs: DAY_MS, mode: 'governance' } as const;
const opened: S3Store[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

async function open(options: StoreOptions, bucket: string = s3.bucket): Promise<S3Store> {
  const store = await openS3Store(parseS3Location(`s3://${bucket}/backups/site`), options);
  opened.push(store);
  return store;
}

async function publish(folder: StoreFolder, name: string, bytes: number): Promise<number> {
  const container = await folder.createContainer(name);
  await container.storage.write([new Uint8Array(bytes)], 0);
  await container.storage.sync();
  await container.storage.close();
  await container.publish();
  return container.lockedUntilMs ?? NaN;
}

async function versions(): Promise<number> {
  const listed = await s3.server.client.listObjectVersions({ Bucket: s3.bucket });
  return (listed.Versions ?? []).length + (listed.DeleteMarkers ?? []).length;
}

describe('Object Lock', () => {
  it('keeps containers and chain metadata, and extends locks', async () => {
    const folder = (await open({ immutable: IMMUTABLE })).folder('vm');
    const untilMs = await publish(folder, 'small.vib', 1000);
    expect(untilMs).toBeGreaterThan(Date.now() + DAY_MS / 2);
    await publish(folder, 'large.vbk', 9 * MIB);
    await folder.writeFile('a.vbm', 'one');
    await folder.writeFile('a.vbm', 'two');
    await folder.writeShared('lease.json', 'x');
    const names = ['small.vib', 'large.vbk', 'a.vbm', 'lease.json', 'none'];
    const locked = await folder.locks?.lockedUntil(names);
    expect([...(locked?.keys() ?? [])].toSorted()).toEqual(['a.vbm', 'large.vbk', 'small.vib']);
    expect(locked?.get('small.vib')).toBe(untilMs);

    const laterMs = untilMs + 5 * DAY_MS;
    await folder.locks?.extend(['small.vib'], laterMs);
    await folder.locks?.extend(['small.vib'], untilMs);

    expect((await folder.locks?.lockedUntil(names))?.get('small.vib')).toBe(laterMs);
    expect(await folder.remove(names)).toEqual(
      ['small.vib', 'large.vbk', 'a.vbm'].map((fileName) => ({ fileName, reason: 'LOCKED' })),
    );
    expect((await folder.readFile('a.vbm', 10))?.toString()).toBe('two');
  });

  it('leaves no version of what is not locked', async () => {
    const folder = (await open({})).folder('vm');
    const lock = await folder.lock();
    const lines = await folder.startLines('journal.ndjson', ['a\n']);
    await lines.append('b\n', true);
    await publish(folder, 'a.vib', 1000);
    await folder.writeFile('a.vbm', 'one');
    await folder.writeFile('a.vbm', 'two');
    expect(await versions()).toBe(5);

    expect(await folder.remove(['journal.ndjson', 'a.vib', 'a.vbm'])).toEqual([]);
    await lock.release();

    expect(await versions()).toBe(0);
  });

  it.each([
    ['without versions', {}, 'keeps no versions'],
    ['without Object Lock', { versioning: true }, 'has no Object Lock'],
    [
      'with a default retention',
      { objectLock: true, defaultRetention: { mode: 'GOVERNANCE', days: 1 } },
      'has a default retention',
    ],
  ] as const)('refuses a bucket %s', async (what, options, text) => {
    const bucket = what.replaceAll(' ', '-').toLowerCase();
    await s3.server.createBucket(bucket, options);

    await expect(open({ immutable: IMMUTABLE }, bucket)).rejects.toMatchObject({
      code: 'REPOSITORY_UNSUPPORTED',
      message: expect.stringContaining(text) as string,
    });
    const { locks } = (await open({}, bucket)).folder('vm');
    if (what !== 'with a default retention') {
      expect(await locks?.lockedUntil(['a'])).toEqual(new Map());
    }
  });
});
