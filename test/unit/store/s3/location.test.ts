/** Locations in a bucket. */
import { describe, expect, it } from 'vitest';
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

it('joins names to keys and URLs', () => {
  const [whole, part] = [parseS3Location('s3://backups'), parseS3Location('s3://backups/a/b')];

  expect([keyOf(whole, 'f', 'x'), keyOf(part, '', 'x'), keyOf(part)]).toEqual([
    'f/x',
    'a/b/x',
    'a/b',
  ]);
  expect([urlOf(whole), urlOf(part, 'f', 'x')]).toEqual(['s3://backups', 's3://backups/a/b/f/x']);
});
