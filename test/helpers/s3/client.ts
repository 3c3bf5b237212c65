/** Requests of the tests to an S3 server, beside those of the product. */
import type { S3, S3ClientConfig } from '@aws-sdk/client-s3';
import type { BucketOptions, S3Env } from './servers.ts';

// The SDK warns of Node 20 while it is loaded.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
const s3 = await import('@aws-sdk/client-s3');

/** S3 takes so many keys in one request. */
const MAX_DELETED = 1000;

/** A client with the credentials of a server. The caller destroys it. */
export function s3Client(env: S3Env, options: S3ClientConfig = {}): S3 {
  return new s3.S3({
    ...options,
    endpoint: env.AWS_ENDPOINT_URL_S3,
    region: env.AWS_REGION,
    forcePathStyle: true,
    credentials: {
      accessKeyId: env.AWS_ACCESS_KEY_ID,
      secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
    },
  });
}

export async function makeBucket(
  client: S3,
  Bucket: string,
  { versioning = false, objectLock = false, defaultRetention }: BucketOptions = {},
): Promise<void> {
  await client.send(
    new s3.CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: objectLock || undefined }),
  );
  if (versioning || objectLock) {
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await client.send(new s3.PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
  }
  if (!defaultRetention) return;
  const { mode: Mode, days: Days } = defaultRetention;
  const ObjectLockConfiguration = {
    ObjectLockEnabled: 'Enabled',
    Rule: { DefaultRetention: { Mode, Days } },
  } as const;
  await client.send(new s3.PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration }));
}

/** Keys of all objects, sorted. */
export async function keysOf(client: S3, Bucket: string, Prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  let ContinuationToken: string | undefined;
  do {
    const answer = await client.send(
      new s3.ListObjectsV2Command({ Bucket, Prefix, ContinuationToken }),
    );
    for (const { Key = '' } of answer.Contents ?? []) keys.push(Key);
    ContinuationToken = answer.NextContinuationToken;
  } while (ContinuationToken !== undefined);
  return keys.toSorted();
}

/** Deletes objects, without their older versions. */
export async function emptyPrefix(client: S3, Bucket: string, Prefix: string): Promise<void> {
  const keys = await keysOf(client, Bucket, Prefix);
  for (let at = 0; at < keys.length; at += MAX_DELETED) {
    const Objects = keys.slice(at, at + MAX_DELETED).map((Key) => ({ Key }));
    await client.send(new s3.DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  }
}

/** Keys of uploads that were neither completed nor aborted. */
export async function uploadsOf(client: S3, Bucket: string, Prefix = ''): Promise<string[]> {
  const { Uploads = [] } = await client.send(
    new s3.ListMultipartUploadsCommand({ Bucket, Prefix }),
  );
  return Uploads.map(({ Key = '' }) => Key);
}

export async function objectOf(client: S3, Bucket: string, Key: string): Promise<Buffer> {
  const { Body } = await client.send(new s3.GetObjectCommand({ Bucket, Key }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

/** End of the lock of an object, in milliseconds since 1970; not a number without a lock. */
export async function lockEndOf(client: S3, Bucket: string, Key: string): Promise<number> {
  const { ObjectLockRetainUntilDate } = await client.send(
    new s3.HeadObjectCommand({ Bucket, Key }),
  );
  return ObjectLockRetainUntilDate?.getTime() ?? Number.NaN;
}

/** Writes an object anew, with the same content and without a lock. */
export async function replaceObject(client: S3, Bucket: string, Key: string): Promise<void> {
  const Body = await objectOf(client, Bucket, Key);
  await client.send(new s3.PutObjectCommand({ Bucket, Key, Body }));
}
