/**
 * The connection to an S3 server: settings, tries, counts, and the clock of the server. The only
 * file that loads the SDK. It is loaded when a location in a bucket asks for it.
 */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import { type BackupError, UsageError } from '../../../core/errors.ts';
import type { StoreOptions } from '../../store.ts';
import { isExpired, mayPass, nameOf, s3Failure } from './failures.ts';
import { CLEANUP_MS, GRACE_MS, type Sender, TryLimit } from './tryLimit.ts';

export type Sdk = typeof import('@aws-sdk/client-s3');
type Headers = Readonly<Record<string, string | undefined>>;

/** Requests that were sent, by the name of their command: `GetObject`, `PutObject`… */
export type S3Requests = Readonly<Record<string, number>>;

export interface RetryTimes {
  /** A failure later than this after the first try began is final, after enough tries. */
  readonly windowMs: number;
  /** Bound of the first pause. Each further bound is twice as long. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

const RETRY_TIMES: RetryTimes = { windowMs: 60_000, firstDelayMs: 200, maxDelayMs: 10_000 };
/** A large part may take longer than the window. It is sent again, too. */
const MIN_TRIES = 4;
const CONNECT_TIMEOUT_MS = 10_000;
/** A connection without any byte for this long is cut. */
const IDLE_TIMEOUT_MS = 30_000;
/** Some servers copy all parts of an upload before they answer its end. */
const PATIENT_TIMEOUT_MS = 15 * 60_000;
const MAX_SOCKETS = 32;
/** Servers that are not of AWS take any region, but a signature needs one. */
const ANY_REGION = 'us-east-1';

async function loadSdk(): Promise<Sdk> {
  // The SDK would print a line about the version of Node to the terminal of the user.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
  try {
    return await import('@aws-sdk/client-s3');
  } catch (error) {
    throw new UsageError('TOOL_MISSING', 'the package @aws-sdk/client-s3 is not installed', {
      hint: 'npm install @aws-sdk/client-s3',
      cause: error,
    });
  }
}

/** The endpoint of the environment. @throws {@link UsageError} `USAGE_INVALID_OPTION` */
function endpointOf(env: NodeJS.ProcessEnv): URL | undefined {
  const name = env['AWS_ENDPOINT_URL_S3'] ? 'AWS_ENDPOINT_URL_S3' : 'AWS_ENDPOINT_URL';
  const text = env[name];
  if (!text) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  // The text may hold a password, so it is not shown.
  if (!url || !isHttp || url.username || url.password || url.search || url.hash) {
    throw new UsageError('USAGE_INVALID_OPTION', `${name} is no URL of a server`, {
      hint: `set it to https://HOST:PORT, without credentials`,
    });
  }
  return url;
}

async function trustedAuthorities(env: NodeJS.ProcessEnv): Promise<{ ca?: string }> {
  const file = env['AWS_CA_BUNDLE'];
  if (!file) return {};
  try {
    return { ca: await readFile(file, 'utf8') };
  } catch (error) {
    throw new UsageError('USAGE_INVALID_OPTION', `AWS_CA_BUNDLE: ${file} cannot be read`, {
      hint: 'name a file with certificates in PEM form',
      cause: error,
    });
  }
}

/** How a caller stops requests, and hears that they are repeated. */
export type Waits = Pick<StoreOptions, 'signal' | 'onWait'>;

/** @throws {@link UsageError} `TOOL_MISSING`, `USAGE_INVALID_OPTION` */
export async function connectS3(
  times: RetryTimes = RETRY_TIMES,
  waits: Waits = {},
): Promise<S3Connection> {
  const endpoint = endpointOf(process.env);
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const ca = await trustedAuthorities(process.env);
  const sdk = await loadSdk();
  const make = (region?: string, idleTimeoutMs = IDLE_TIMEOUT_MS): S3Client =>
    new sdk.S3Client({
      ...(region === undefined ? {} : { region }),
      ...(endpoint ? { endpoint: endpoint.href, forcePathStyle: true } : {}),
      maxAttempts: 1,
      // Our own checksums go with each body. Other servers do not know those of the SDK.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: CONNECT_TIMEOUT_MS,
        socketTimeout: idleTimeoutMs,
        httpAgent: agent,
        httpsAgent: { ...agent, ...ca },
      },
    });
  let client = make();
  const hasRegion = await client.config.region().then(
    () => true,
    () => false,
  );
  if (!hasRegion && endpoint) {
    client.destroy();
    client = make(ANY_REGION);
  }
  const patient = make(hasRegion || !endpoint ? undefined : ANY_REGION, PATIENT_TIMEOUT_MS);
  const where = endpoint?.origin ?? 'Amazon S3';
  return new S3Connection(sdk, { client, patient }, where, times, waits);
}

/** Sends requests. Repeats them while their error may pass. */
export class S3Connection {
  readonly sdk: Sdk;
  /** The server, for messages. */
  readonly endpoint: string;
  readonly #client: S3Client;
  /** For requests that take the server long. */
  readonly #patient: S3Client;
  readonly #times: RetryTimes;
  readonly #waits: Waits;
  /** Why the last try failed; '' after an answer. */
  #waitsFor = '';
  /** Of the tries under way. */
  readonly #limits = new Set<TryLimit>();
  readonly #requests: Record<string, number> = {};
  /** Clock of the server minus monotonic clock of this process. */
  #clockOffsetMs: number | undefined;

  constructor(
    sdk: Sdk,
    clients: { readonly client: S3Client; readonly patient: S3Client },
    endpoint: string,
    times: RetryTimes,
    waits: Waits = {},
  ) {
    this.sdk = sdk;
    this.endpoint = endpoint;
    this.#client = clients.client;
    this.#patient = clients.patient;
    this.#times = times;
    this.#waits = waits;
    waits.signal?.addEventListener('abort', this.#onStop, { once: true });
    this.#watch(this.#client);
    this.#watch(this.#patient);
  }

  #watch(client: S3Client): void {
    client.middlewareStack.add(
      (next, context) => async (args) => {
        const name = (context.commandName ?? '').replace(/Command$/, '');
        this.#requests[name] = (this.#requests[name] ?? 0) + 1;
        const result = await next(args);
        this.#readClock((result.response as { headers?: Headers }).headers?.['date']);
        return result;
      },
      // Beside the request handler: errors of the server pass here as answers.
      { step: 'finalizeRequest', priority: 'low', name: 'ovirtCbtCounter' },
    );
  }

  get requests(): S3Requests {
    return { ...this.#requests };
  }

  /** Time by the clock of the server, as the last answer told it to the second. */
  serverNowMs(): number {
    const offsetMs = this.#clockOffsetMs ?? performance.timeOrigin;
    return Math.round(performance.now() + offsetMs);
  }

  #readClock(date: string | undefined): void {
    const dateMs = Date.parse(date ?? '');
    if (Number.isFinite(dateMs)) this.#clockOffsetMs = dateMs - performance.now();
  }

  /**
   * Runs `work`, which sends one request and reads its answer.
   *
   * @param what - the action and its object, for messages.
   * @param handle - gives the result for an error that the caller expects. It must return undefined
   *   for other errors.
   * @throws {@link RepositoryError}
   */
  async send<T>(
    what: string,
    work: (client: Sender, attempt: number, patient: Sender) => Promise<T>,
    handle: (error: unknown, attempt: number) => { readonly result: T } | undefined = () =>
      undefined,
  ): Promise<T> {
    const startedAtMs = performance.now();
    let boundMs = this.#times.firstDelayMs;
    let areCredentialsNew = false;
    for (let attempt = 1; ; attempt++) {
      try {
        const result = await this.#try(work, attempt);
        this.#waitsFor = '';
        return result;
      } catch (error) {
        const handled = handle(error, attempt);
        if (handled) return handled.result;
        if (isExpired(error) && !areCredentialsNew) {
          areCredentialsNew = true;
          await this.#renewCredentials(what);
          continue;
        }
        if (!mayPass(error)) throw this.failure(what, error);
        const { signal } = this.#waits;
        if (signal?.aborted) throw signal.reason;
        const isLate = performance.now() - startedAtMs > this.#times.windowMs;
        if (isLate && attempt >= MIN_TRIES) throw this.failure(what, error);
        this.#tellWait(nameOf(error));
      }
      await this.#pause(Math.random() * boundMs);
      boundMs = Math.min(boundMs * 2, this.#times.maxDelayMs);
    }
  }

  async #try<T>(
    work: (client: Sender, attempt: number, patient: Sender) => Promise<T>,
    attempt: number,
  ): Promise<T> {
    const { signal } = this.#waits;
    if (!signal) return await work(this.#client, attempt, this.#patient);
    const limit = new TryLimit();
    this.#limits.add(limit);
    if (signal.aborted) limit.endIn(CLEANUP_MS);
    try {
      const [client, patient] = [limit.over(this.#client), limit.over(this.#patient)];
      return await work(client, attempt, patient);
    } finally {
      limit.end();
      this.#limits.delete(limit);
    }
  }

  readonly #onStop = (): void => {
    for (const limit of this.#limits) limit.endIn(GRACE_MS);
  };

  /** Once for each reason. */
  #tellWait(reason: string): void {
    if (this.#waitsFor === reason) return;
    this.#waitsFor = reason;
    this.#waits.onWait?.(`${this.endpoint} does not answer (${reason})`);
  }

  /** A stop ends the pause. The next try is the last one then. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#waits;
    const isStopped = signal?.aborted === true;
    await delay(ms, undefined, isStopped ? {} : { signal }).catch(() => {});
  }

  failure(what: string, error: unknown): BackupError {
    return s3Failure(what, error, this.endpoint);
  }

  async #renewCredentials(what: string): Promise<void> {
    try {
      await this.#client.config.credentials({ forceRefresh: true });
      await this.#patient.config.credentials({ forceRefresh: true });
    } catch (error) {
      throw this.failure(what, error);
    }
  }

  close(): void {
    this.#waits.signal?.removeEventListener('abort', this.#onStop);
    this.#client.destroy();
    this.#patient.destroy();
  }
}
