/** Locations in a bucket. */
import { describe, expect, it } from 'vitest';
import { openStore } from '../../../../src/store/openStore.ts';
import { isS3Location, keyOf, parseS3Location, urlOf } from '../../../../src/store/s3/location.ts';

describe('parseS3Location', () => {
  it.each([
    ['s3://backups', 'backups', ''],
    ['s3://backups/', 'backups', ''],
    ['S3://my.backups-1/site a/ä//', 'my.backups-1', 'site a/ä'],
  ])('reads %s', (text, bucket, prefix) => {
    expect(parseS3Location(text)).toEqual({ bucket, prefix });
  });

  it.each([
    's3://',
    's3:///prefix',
    's3://A_bucket/x',
    's3://ab',
    's3://a..b/x',
    's3://backups/a//b',
    's3://backups/../x',
    's3://backups/a/./b',
    's3://backups/a\nb',
    `s3://backups/${'x'.repeat(401)}`,
    'http://backups/x',
  ])('refuses %j', (text) => {
    expect(() => parseS3Location(text)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID_OPTION' }) as Error,
    );
  });

  it('shows no credentials', () => {
    let message = '';
    try {
      parseS3Location('s3://KEYID:secret@backups/x');
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('a location in a bucket takes no credentials');
    expect(message).not.toMatch(/secret|KEYID/);
  });
});

it('tells a bucket from a folder', () => {
  expect(['s3://b/x', 'S3://b', '/s3://b', './s3', 's3:/b'].map(isS3Location)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

it.each(['s3:/backups/x', 'S3:backups', 'http://KEYID:secret@host/backups', 'file:///backups'])(
  'makes no folder of the mistyped location %s',
  async (place) => {
    await expect(openStore(place, {})).rejects.toMatchObject({
      code: 'USAGE_INVALID_OPTION',
      message: expect.not.stringContaining('secret') as string,
    });
  },
);

it.each([0, -1, 0.5, Number.NaN, 36_526 * 86_400_000])(
  'refuses a lock of %s ms',
  async (periodMs) => {
    const options = { immutable: { periodMs, mode: 'governance' } } as const;
    await expect(openStore('s3://backups', options)).rejects.toMatchObject({
      code: 'USAGE_INVALID_OPTION',
    });
  },
);

it('takes a folder with such a name behind ./', async () => {
  const store = await openStore('./s3:/backups', {});
  await store.close();
});

it('joins names to keys and URLs', () => {
  const [whole, part] = [parseS3Location('s3://backups'), parseS3Location('s3://backups/a/b')];

  expect([keyOf(whole, 'f', 'x'), keyOf(part, '', 'x'), keyOf(part)]).toEqual([
    'f/x',
    'a/b/x',
    'a/b',
  ]);
  expect([urlOf(whole), urlOf(part, 'f', 'x')]).toEqual(['s3://backups', 's3://backups/a/b/f/x']);
});
