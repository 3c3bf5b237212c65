/** Answers to a list request that are none. */
import type { ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { expect, it } from 'vitest';
import { Bucket } from '../../../../src/store/s3/requests/bucket.ts';
import type { S3Connection } from '../../../../src/store/s3/requests/client.ts';

/** A bucket whose server gives these answers, one after the other. */
function bucketOf(...pages: readonly Partial<ListObjectsV2CommandOutput>[]): Bucket {
  const left = [...pages];
  const connection = {
    sdk: {
      ListObjectsV2Command: class {
        readonly input = {};
      },
    },
    send: async (_what: string, work: (client: object) => Promise<unknown>) =>
      await work({ send: () => Promise.resolve(left.shift()) }),
  };
  return new Bucket('bucket', connection as unknown as S3Connection, true);
}

it('reads all pages', async () => {
  const bucket = bucketOf(
    { IsTruncated: true, NextContinuationToken: 'a', Contents: [{ Key: 'p/one', Size: 1 }] },
    { IsTruncated: false, Contents: [{ Key: 'p/two', Size: 2 }] },
  );

  const { files } = await bucket.list('p/');

  expect([...files.keys()]).toEqual(['one', 'two']);
});

it.each([
  ['an empty answer, or one in HTML', [{}]],
  ['a list without its next page', [{ IsTruncated: true }]],
  [
    'a page that names itself as the next one',
    [
      { IsTruncated: true, NextContinuationToken: 'a' },
      { IsTruncated: true, NextContinuationToken: 'a' },
    ],
  ],
])('does not take %s for a list', async (_what, pages) => {
  const listed = bucketOf(...pages).list('p/');

  await expect(listed).rejects.toMatchObject({ code: 'BodyCut' });
});
