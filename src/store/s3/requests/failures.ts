/**
 * What an error of an S3 server means. The text of a server or of the SDK may hold key ids, so no
 * message and no cause takes it over: only names of errors, statuses and regions.
 */
import {
  BackupError,
  type ErrorCode,
  type ErrorOptionsWithHint,
  RepositoryError,
} from '../../../core/errors.ts';

/** The fields of an error of the SDK or of Node that are used. */
interface Facts {
  readonly name: string;
  readonly status: number;
  readonly region: string | undefined;
  readonly message: string;
}

const TLS_NAME =
  /CERT|SELF_SIGNED|UNABLE_TO_(?:GET|VERIFY)|ERR_TLS|ERR_SSL|EPROTO|DEPTH_ZERO|HOSTNAME/;
const NETWORK_NAME =
  /^(?:E(?:CONN\w+|PIPE|NOTFOUND|AI_AGAIN|HOSTUNREACH|HOSTDOWN|NETUNREACH|NETDOWN|TIMEDOUT)|TimeoutError|NetworkingError|RequestTimeout|IncompleteBody|BodyCut|ABORT_ERR|AbortError|UND_\w+)$/;
const BUSY_NAME =
  /^(?:SlowDown\w*|Throttl\w+|ServiceUnavailable|Busy|InternalError|RequestLimitExceeded|TooManyRequests\w*|OperationAborted|ConditionalRequestConflict|RequestTimeout)$/;
const CLOCK_NAME = /^(?:RequestTimeTooSkewed|RequestExpired|RequestInTheFuture)$/;
const EXPIRED_NAME = /^(?:ExpiredToken\w*|TokenRefreshRequired)$/;
const REGION_NAME =
  /^(?:PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint\w*)$/;
/** An answer to HEAD has no body, so the SDK names it by its status. */
const MISSING_NAME = /^(?:NoSuchKey|NoSuchVersion|NoSuchObject|NotFound)$/;
/** The last one is of MinIO and versitygw. */
const CREDENTIAL_NAME =
  /^(?:InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|InvalidClientTokenId|XAdminUserNotFound)$/;
const FULL_NAME =
  /^(?:QuotaExceeded\w*|\w*StorageFull|InsufficientStorage\w*|ServiceQuotaExceeded\w*)$/;

/** @see the errors of S3 and of `node:net`; names of both are short words. */
function factsOf(error: unknown): Facts {
  const raw = error as {
    name?: unknown;
    code?: unknown;
    Code?: unknown;
    Region?: unknown;
    message?: unknown;
    $metadata?: { httpStatusCode?: number };
    $response?: { headers?: Record<string, string>; statusCode?: number };
  } | null;
  const words = [raw?.Code, raw?.code, raw?.name].filter(
    (word) => typeof word === 'string' && /^\w{1,64}$/.test(word) && word !== 'Error',
  );
  const region = raw?.Region ?? raw?.$response?.headers?.['x-amz-bucket-region'];
  return {
    name: (words[0] as string | undefined) ?? 'unknown error',
    status: raw?.$metadata?.httpStatusCode ?? raw?.$response?.statusCode ?? 0,
    region: typeof region === 'string' && /^[\w-]{1,64}$/.test(region) ? region : undefined,
    message: typeof raw?.message === 'string' ? raw.message : '',
  };
}

export function nameOf(error: unknown): string {
  return factsOf(error).name;
}

export function statusOf(error: unknown): number {
  return factsOf(error).status;
}

/** True when there is no such object. Other errors have status 404 too, such as an unknown key. */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && MISSING_NAME.test(nameOf(error));
}

/** True when the credentials ran out. They are fetched again once. */
export function isExpired(error: unknown): boolean {
  return EXPIRED_NAME.test(nameOf(error));
}

/** True when the same request may succeed on a second try. */
export function mayPass(error: unknown): boolean {
  if (error instanceof BackupError) return false;
  const { name, status } = factsOf(error);
  if (TLS_NAME.test(name) || name === 'ENOTFOUND') return false;
  const isSkewFixed =
    (error as { $metadata?: { clockSkewCorrected?: boolean } }).$metadata?.clockSkewCorrected ===
    true;
  if (isSkewFixed || BUSY_NAME.test(name)) return true;
  if (status === 0) return NETWORK_NAME.test(name);
  return status === 429 || (status >= 500 && status !== 501 && status !== 507) || isCut(status);
}

/** An answer that began well was cut on its way, or it cannot be read. */
function isCut(status: number): boolean {
  return status >= 200 && status < 300;
}

/** True when the server knows a header or a value of the request not at all. */
export function isUnsupported(error: unknown): boolean {
  const { name, status } = factsOf(error);
  return status === 501 || /^(?:NotImplemented|XNotImplemented|InvalidArgument)$/.test(name);
}

/** True when object lock keeps the server from deleting or changing an object. */
export function isLockRefusal(code: string, message: string): boolean {
  return /ObjectLocked|InvalidObjectState|^WORM/i.test(code) || /object ?lock|WORM/i.test(message);
}

export function isLocked(error: unknown): boolean {
  const { name, message } = factsOf(error);
  return isLockRefusal(name, message);
}

function failure(code: ErrorCode, message: string, options: ErrorOptionsWithHint): RepositoryError {
  return new RepositoryError(code, message, options);
}

/**
 * The typed form of an error. A {@link BackupError} passes unchanged.
 *
 * @param what - the action and its object, as the message names them.
 * @param endpoint - the server, for messages; without credentials.
 */
export function s3Failure(what: string, error: unknown, endpoint: string): BackupError {
  if (error instanceof BackupError) return error;
  const facts = factsOf(error);
  const { name, status } = facts;
  const reason = status >= 300 ? `${name}, status ${status}` : name;
  const details = { reason: name, status: status || undefined };
  if (name === 'NoSuchBucket') {
    return failure('REPOSITORY_NOT_FOUND', `${what}: there is no such bucket`, {
      hint: `check the name of the bucket and the server (${endpoint}); buckets are made by their administrator`,
      details,
    });
  }
  if (CLOCK_NAME.test(name)) {
    return failure('REPOSITORY_CLOCK', `${what}: the clock of this machine is wrong (${reason})`, {
      hint: 'set the clock of this machine, with NTP for example; S3 takes a difference of 15 minutes at most',
      details,
    });
  }
  if (REGION_NAME.test(name) || status === 301 || status === 307) {
    const where = facts.region ? `the bucket lies in region ${facts.region}` : 'wrong region';
    return failure('REPOSITORY_REFUSED', `${what}: ${where} (${reason})`, {
      hint: `set AWS_REGION${facts.region ? ` to ${facts.region}` : ' to the region of the bucket'}`,
      details: { ...details, region: facts.region },
    });
  }
  return (
    credentialFailure(what, facts, reason) ??
    serverFailure(what, facts, reason, endpoint) ??
    failure('REPOSITORY_IO', `${what}: the server refused (${reason})`, {
      hint: 'check the server and its log',
      details,
    })
  );
}

function credentialFailure(what: string, facts: Facts, reason: string): BackupError | undefined {
  const { name, status } = facts;
  const details = { reason: name, status: status || undefined };
  if (name === 'CredentialsProviderError' || (/Credentials/.test(facts.message) && status === 0)) {
    return failure('REPOSITORY_REFUSED', `${what}: no credentials for S3 were found`, {
      hint: 'set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE',
      details,
    });
  }
  if (status === 0 && /Region is missing/.test(facts.message)) {
    return failure('REPOSITORY_REFUSED', `${what}: no region is set`, {
      hint: 'set AWS_REGION to the region of the bucket; for a server that is not Amazon, set AWS_ENDPOINT_URL_S3',
      details,
    });
  }
  if (EXPIRED_NAME.test(name)) {
    return failure('REPOSITORY_REFUSED', `${what}: the credentials have run out (${reason})`, {
      hint: 'get new credentials, and run the command again',
      details,
    });
  }
  if (CREDENTIAL_NAME.test(name)) {
    return failure('REPOSITORY_REFUSED', `${what}: the credentials are wrong (${reason})`, {
      hint: 'check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE',
      details,
    });
  }
  if (status === 401 || status === 403) {
    return failure('REPOSITORY_REFUSED', `${what}: access denied (${reason})`, {
      hint: 'check the key and its permissions for this bucket',
      details,
    });
  }
  return undefined;
}

function serverFailure(
  what: string,
  facts: Facts,
  reason: string,
  endpoint: string,
): BackupError | undefined {
  const { name, status } = facts;
  const details = { reason: name, status: status || undefined };
  if (FULL_NAME.test(name) || status === 507) {
    return failure('REPOSITORY_FULL', `${what}: no space left in the bucket (${reason})`, {
      hint: 'raise the quota of the bucket, or delete old restore points',
      details,
    });
  }
  if (status === 501) {
    return failure('REPOSITORY_UNSUPPORTED', `${what}: the server cannot do this (${reason})`, {
      hint: 'use a server with the S3 functions that the product needs',
      details,
    });
  }
  if (TLS_NAME.test(name)) {
    return failure('REPOSITORY_UNREACHABLE', `${what}: no trusted connection (${reason})`, {
      hint: `check the certificate of ${endpoint}; AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS names a CA; a server without TLS needs http://`,
      details,
    });
  }
  if (status === 0 || BUSY_NAME.test(name) || status === 429 || status >= 500 || isCut(status)) {
    return failure('REPOSITORY_UNREACHABLE', `${what}: ${endpoint} gives no answer (${reason})`, {
      hint: 'check the server, the network and AWS_ENDPOINT_URL_S3, then run the command again',
      details,
    });
  }
  return undefined;
}
