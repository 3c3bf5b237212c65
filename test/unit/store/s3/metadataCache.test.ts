/** Copies of first and last bytes on this machine. */
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { MetadataCache } from '../../../../src/store/s3/metadataCache.ts';
import { useTempFolder } from '../../../helpers/tempFolder.ts';

const temp = useTempFolder();
const SUBJECT = { url: 's3://b/a.vbk', etag: '"1"', sizeBytes: 1000 };
const COPY = { startBytes: 900, bytes: Buffer.alloc(100, 7) };

it('gives a copy back for the same object only', async () => {
  const cache = new MetadataCache(temp.path('cache'));
  await cache.save(SUBJECT, 'tail', COPY);

  expect(await cache.load(SUBJECT, 'tail')).toEqual(COPY);
  expect(await cache.load(SUBJECT, 'head')).toBeUndefined();
  expect(await cache.load({ ...SUBJECT, etag: '"2"' }, 'tail')).toBeUndefined();
  expect(await cache.load({ ...SUBJECT, sizeBytes: 999 }, 'tail')).toBeUndefined();
  expect(statSync(temp.path('cache')).mode & 0o777).toBe(0o700);
  const [name = ''] = readdirSync(temp.path('cache'));
  expect(statSync(temp.path('cache', name)).mode & 0o777).toBe(0o600);
});

it('gives no damaged copy', async () => {
  const cache = new MetadataCache(temp.path('cache'));
  await cache.save(SUBJECT, 'tail', COPY);
  const file = temp.path('cache', readdirSync(temp.path('cache'))[0] ?? '');
  const content = readFileSync(file);
  for (let at = 0; at < content.length; at++) {
    const damaged = Buffer.from(content);
    damaged[at] = (damaged[at] ?? 0) ^ 1;
    writeFileSync(file, damaged);
    expect(await cache.load(SUBJECT, 'tail'), `byte ${at}`).toBeUndefined();
  }
  writeFileSync(file, content.subarray(0, 3));
  expect(await cache.load(SUBJECT, 'tail')).toBeUndefined();
});

it('keeps what fits, and leaves files of others', async () => {
  const cache = new MetadataCache(temp.path('cache'), 500);
  for (let k = 0; k < 8; k++) await cache.save({ ...SUBJECT, etag: `${k}` }, 'tail', COPY);
  writeFileSync(temp.path('cache', 'notes.txt'), 'x'.repeat(1000));
  await cache.trim();

  // A copy has 112 bytes.
  expect(readdirSync(temp.path('cache'))).toHaveLength(5);
  expect(readdirSync(temp.path('cache'))).toContain('notes.txt');
});

it('that cannot be written is as if absent', async () => {
  writeFileSync(temp.path('file'), 'x');
  const cache = new MetadataCache(temp.path('file'));
  await cache.save(SUBJECT, 'head', COPY);

  expect(await cache.load(SUBJECT, 'head')).toBeUndefined();
  await cache.trim();
});
