/** Names a repository in a bucket: `s3://bucket/prefix`. */
import { UsageError } from '../../core/errors.ts';

const SCHEME = 's3://';
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** S3 takes keys of 1024 bytes. The rest is for the names of a folder and of a file. */
const MAX_PREFIX_BYTES = 400;

export interface S3Location {
  readonly bucket: string;
  /** Path of the repository in the bucket, without `/` at its ends; '' for the whole bucket. */
  readonly prefix: string;
}

export function isS3Location(text: string): boolean {
  return text.toLowerCase().startsWith(SCHEME);
}

/** @throws {@link UsageError} `USAGE_INVALID_OPTION` */
export function parseS3Location(text: string): S3Location {
  const rest = isS3Location(text) ? text.slice(SCHEME.length) : '';
  const end = rest.indexOf('/');
  const bucket = end < 0 ? rest : rest.slice(0, end);
  const prefix = end < 0 ? '' : rest.slice(end + 1).replace(/\/+$/, '');
  // A text with "@" may hold a password, so it is not shown.
  if (bucket.includes('@')) throw bad('a location in a bucket takes no credentials');
  if (!BUCKET.test(bucket) || bucket.includes('..')) {
    throw bad(`${JSON.stringify(text)} names no bucket`);
  }
  const isPlain = prefix === '' || prefix.split('/').every(isPlainSegment);
  if (!isPlain) throw bad(`the path in ${JSON.stringify(text)} is not usable`);
  if (Buffer.byteLength(prefix) > MAX_PREFIX_BYTES) {
    throw bad(`the path in the bucket has more than ${MAX_PREFIX_BYTES} bytes`);
  }
  return { bucket, prefix };
}

/** Other segments would be lost or read as another path on their way to the server. */
function isPlainSegment(segment: string): boolean {
  return !['', '.', '..'].includes(segment) && !/\p{Cc}|\p{Cs}/u.test(segment);
}

function bad(message: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', message, {
    hint: 'write s3://BUCKET/PATH; credentials, region and endpoint come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_REGION and AWS_ENDPOINT_URL_S3',
  });
}

/** URL of an object or of the start of keys, for messages. */
export function urlOf(location: S3Location, ...names: readonly string[]): string {
  return `${SCHEME}${[location.bucket, location.prefix, ...names].filter(Boolean).join('/')}`;
}

export function keyOf(location: S3Location, ...names: readonly string[]): string {
  return [location.prefix, ...names].filter(Boolean).join('/');
}
