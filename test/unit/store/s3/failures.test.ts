/** What errors of an S3 server mean. */
import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { exitCodeOf } from '../../../../src/core/errors.ts';
import {
  isLocked,
  isMissing,
  mayPass,
  s3Failure,
} from '../../../../src/store/s3/requests/failures.ts';

interface ServerError {
  readonly name: string;
  readonly status?: number;
  readonly fields?: object;
  readonly message?: string;
}

function errorOf({ name, status, fields, message }: ServerError): Error {
  const text = message ?? 'AKIASECRET StringToSign secret';
  const metadata = { $metadata: status === undefined ? {} : { httpStatusCode: status } };
  return Object.assign(new Error(text), { name, ...metadata, ...fields });
}

it.each<[ServerError, string, string]>([
  [{ name: 'NoSuchBucket', status: 404 }, 'REPOSITORY_NOT_FOUND', 'no such bucket'],
  [{ name: 'AccessDenied', status: 403 }, 'REPOSITORY_REFUSED', 'access denied'],
  [{ name: 'InvalidAccessKeyId', status: 403 }, 'REPOSITORY_REFUSED', 'credentials are wrong'],
  [{ name: 'SignatureDoesNotMatch', status: 403 }, 'REPOSITORY_REFUSED', 'credentials are wrong'],
  [{ name: 'XAdminUserNotFound', status: 404 }, 'REPOSITORY_REFUSED', 'credentials are wrong'],
  [{ name: 'ExpiredToken', status: 400 }, 'REPOSITORY_REFUSED', 'have run out'],
  [{ name: 'CredentialsProviderError' }, 'REPOSITORY_REFUSED', 'no credentials for S3 were found'],
  [{ name: 'Error', message: 'Region is missing' }, 'REPOSITORY_REFUSED', 'no region is set'],
  [{ name: 'RequestTimeTooSkewed', status: 403 }, 'REPOSITORY_CLOCK', 'clock of this machine'],
  [
    {
      name: 'PermanentRedirect',
      status: 301,
      fields: { $response: { headers: { 'x-amz-bucket-region': 'eu-west-1' } } },
    },
    'REPOSITORY_REFUSED',
    'the bucket lies in region eu-west-1',
  ],
  [
    { name: 'AuthorizationHeaderMalformed', status: 400, fields: { Region: 'eu-west-1' } },
    'REPOSITORY_REFUSED',
    'the bucket lies in region eu-west-1',
  ],
  [{ name: 'XMinioStorageFull', status: 507 }, 'REPOSITORY_FULL', 'no space left'],
  [{ name: 'NotImplemented', status: 501 }, 'REPOSITORY_UNSUPPORTED', 'cannot do this'],
  [{ name: 'SlowDown', status: 503 }, 'REPOSITORY_UNREACHABLE', 'SlowDown, status 503'],
  [{ name: 'Error', fields: { code: 'ENOTFOUND' } }, 'REPOSITORY_UNREACHABLE', 'ENOTFOUND'],
  [
    { name: 'Error', fields: { code: 'SELF_SIGNED_CERT_IN_CHAIN' } },
    'REPOSITORY_UNREACHABLE',
    'no trusted connection',
  ],
  [{ name: 'TimeoutError' }, 'REPOSITORY_UNREACHABLE', 'TimeoutError'],
  [{ name: 'InvalidArgument', status: 400 }, 'REPOSITORY_IO', 'the server refused'],
])('%j gives %s', (raw, code, text) => {
  const failure = s3Failure('read s3://b/x', errorOf(raw), 'https://host');

  expect(failure).toMatchObject({ code });
  expect(failure.message).toContain('read s3://b/x: ');
  expect(failure.message).toContain(text);
  expect(inspect(failure)).not.toMatch(/AKIASECRET|StringToSign/);
  expect(exitCodeOf(failure)).toBeGreaterThan(0);
});

it.each<[ServerError, boolean]>([
  [{ name: 'SlowDown', status: 503 }, true],
  [{ name: 'OperationAborted', status: 409 }, true],
  [{ name: 'RequestTimeout', status: 400 }, true],
  [{ name: 'Error', status: 200 }, true],
  [{ name: 'Error', fields: { code: 'ECONNRESET' } }, true],
  [{ name: 'TimeoutError' }, true],
  [{ name: 'x', status: 403, fields: { $metadata: { clockSkewCorrected: true } } }, true],
  [{ name: 'NotImplemented', status: 501 }, false],
  [{ name: 'AccessDenied', status: 403 }, false],
  [{ name: 'Error', fields: { code: 'ENOTFOUND' } }, false],
  [{ name: 'Error', fields: { code: 'CERT_HAS_EXPIRED' } }, false],
  [{ name: 'TypeError' }, false],
])('%j may pass: %s', (raw, wanted) => {
  expect(mayPass(errorOf(raw))).toBe(wanted);
});

it('tells a missing object from other errors with status 404', () => {
  const names = ['NoSuchKey', 'NotFound', 'NoSuchBucket', 'XAdminUserNotFound'];
  const found = names.filter((name) => isMissing(errorOf({ name, status: 404 })));

  expect(found).toEqual(['NoSuchKey', 'NotFound']);
});

it('tells object lock from missing permission', () => {
  const denied = { name: 'AccessDenied', status: 403 };
  const message = 'Access Denied because object protected by object lock.';

  expect(isLocked(errorOf({ ...denied, message }))).toBe(true);
  expect(isLocked(errorOf(denied))).toBe(false);
});
