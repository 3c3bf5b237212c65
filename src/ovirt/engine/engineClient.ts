/**
 * HTTP calls to an engine: one token, JSON, faults as errors. Reads are repeated while the engine
 * is away. Requests that change state are sent again only if they never reached the engine.
 * Otherwise the caller finds out whether they were carried out.
 *
 * @see oVirt contract: SSO errors are HTTP 400. An invalid token is 401 with HTML before the
 *   request is processed, so it is safe to send the request again.
 */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Agent, Dispatcher } from 'undici';
import { EngineError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { type EngineSettings, type ResolvedSettings, resolveSettings } from '../connection.ts';
import { faultDetail, parseJson } from './engineAnswers.ts';
import { authRefused, EngineFaultError, EngineLostError, isUnsent } from './engineErrors.ts';
import { classifyFault } from './faults.ts';
import { createAgent, readBody } from '../http.ts';
import { isAbort } from '../networkFailure.ts';
import { isAwayOrUnsure, isAwayOrOnceServerError, retryWhileAway } from './engineRetry.ts';
import { untilAborted } from '../poll.ts';
import { requestToken, revokeToken } from './sso.ts';
import type { OvirtTimings } from '../timings.ts';
import type { OnWait } from '../waits.ts';
import { type Decoder, decode, wire } from './decoders.ts';

const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** The engine cuts longer ids. */
const CORRELATION_ID = /^[0-9A-Za-z_-]{1,36}$/;

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Wait for the head of the answer. @defaultValue `restReadMs` */
  readonly readMs?: number | undefined;
}

export interface EngineClientOptions {
  readonly logger?: Logger | undefined;
  /** For all calls without a signal of their own. */
  readonly signal?: AbortSignal | undefined;
  /** Marks events and jobs of the engine, at most 36 characters. @defaultValue a new UUID */
  readonly correlationId?: string | undefined;
  /** Told why requests are repeated: here, and in transfers and starts that use the client. */
  readonly onWait?: OnWait | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

/** A login, shared by the clients that were derived from one another. */
interface Login {
  token: string;
  /** A renewal of the token under way. Every request with a refused token waits for it. */
  renewal: Promise<void> | undefined;
  /** The error of a login that was refused. No further login is tried. */
  refusal: EngineError | undefined;
}

export class EngineClient {
  readonly correlationId: string;
  readonly timings: OvirtTimings;
  /** PEM of the CA, which the clients of image data trust too. */
  readonly caPem: string | undefined;
  readonly onWait: OnWait | undefined;
  readonly #settings: ResolvedSettings;
  readonly #agent: Agent;
  readonly #log: Logger;
  readonly #login: Login;
  readonly #own: EngineClientOptions;

  private constructor(
    settings: ResolvedSettings,
    agent: Agent,
    login: Login,
    options: EngineClientOptions,
  ) {
    this.#settings = settings;
    this.#agent = agent;
    this.#login = login;
    // Each request under way listens; a VM with many disks has many of them.
    if (options.signal) setMaxListeners(0, options.signal);
    this.#log = options.logger ?? silentLogger;
    this.onWait = options.onWait;
    this.timings = settings.timings;
    this.caPem = settings.caPem;
    const wanted = options.correlationId ?? randomUUID();
    this.correlationId = CORRELATION_ID.test(wanted) ? wanted : randomUUID();
    this.#own = { ...options, correlationId: this.correlationId };
  }

  /**
   * Logs in. The caller closes the client.
   *
   * @throws {@link EngineError} `ENGINE_AUTH_REFUSED` after one try, because engines lock accounts;
   *   `ENGINE_UNREACHABLE`, `ENGINE_TLS_UNTRUSTED`, `ENGINE_BAD_ANSWER`;
   *   {@link UsageError} for the settings
   */
  static async connect(
    settings: EngineSettings,
    options: EngineClientOptions = {},
  ): Promise<EngineClient> {
    const resolved = resolveSettings(settings);
    const { caPem, timings } = resolved;
    const { connectMs, restReadMs: bodyMs } = timings;
    const agent = createAgent({ caPem, connectMs, connections: 8, bodyMs });
    const login: Login = { token: '', renewal: undefined, refusal: undefined };
    const client = new EngineClient(resolved, agent, login, options);
    try {
      await client.#logIn(options.signal);
      return client;
    } catch (error) {
      await agent.destroy();
      throw error;
    }
  }

  /** A client with the same login and other options. Only the first client of a login is closed. */
  withCorrelation(options: EngineClientOptions): EngineClient {
    return new EngineClient(this.#settings, this.#agent, this.#login, options);
  }

  /** The same client with another signal for its calls, such as the time limit of a clean-up. */
  withSignal(signal: AbortSignal): EngineClient {
    return this.withCorrelation({ ...this.#own, signal });
  }

  /**
   * The same client with a new correlation id, which keeps the old one's start. It tells the events
   * of one request from all others.
   */
  withOwnCorrelation(): EngineClient {
    const correlationId = `${this.correlationId.slice(0, 23)}-${randomUUID().slice(-12)}`;
    return this.withCorrelation({ ...this.#own, correlationId });
  }

  /** Reads. Repeated while the engine is away. */
  async get<T>(path: string, schema: Decoder<T>, options: CallOptions = {}): Promise<T> {
    return await this.#call('GET', path, undefined, schema, options);
  }

  /** As {@link get}, but undefined when the entity does not exist. */
  async find<T>(
    path: string,
    schema: Decoder<T>,
    options: CallOptions = {},
  ): Promise<T | undefined> {
    try {
      return await this.get(path, schema, options);
    } catch (error) {
      if (error instanceof EngineFaultError && error.kind === 'not-found') return undefined;
      throw error;
    }
  }

  /** Sends a request that changes state. {@link isOutcomeUnknown} judges its errors. */
  async post<T>(
    path: string,
    body: object,
    schema: Decoder<T>,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#call('POST', path, body, schema, options);
  }

  /** As {@link post}, for a change of something that exists. */
  async put(path: string, body: object): Promise<void> {
    await this.#call('PUT', path, body, wire.anything, {});
  }

  async delete(path: string, options: CallOptions = {}): Promise<void> {
    await this.#call('DELETE', path, undefined, wire.anything, options);
  }

  /** Revokes the token and closes all connections. Never fails. */
  async close(): Promise<void> {
    await revokeToken(this.#agent, this.#settings, this.#login.token).catch(() => {});
    await this.#agent.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #logIn(signal: AbortSignal | undefined): Promise<void> {
    const { timings } = this.#settings;
    const ask = (): Promise<string> => requestToken(this.#agent, this.#settings, signal);
    try {
      this.#login.token = await retryWhileAway(ask, {
        timings,
        windowMs: timings.getRetryWindowMs / 10,
        signal,
        isRetryable: isAwayOrOnceServerError(),
        log: this.#log,
        onWait: this.onWait,
      });
    } catch (error) {
      const isRefused = error instanceof EngineError && error.code === 'ENGINE_AUTH_REFUSED';
      if (isRefused) this.#login.refusal = error;
      throw error;
    }
  }

  /** Renews a refused token, once for all requests that were refused with it. */
  async #renew(refused: string, signal: AbortSignal | undefined): Promise<void> {
    const { refusal, token } = this.#login;
    if (token !== refused) return;
    // The password was changed meanwhile: another login per clean-up call would lock the account.
    if (refusal) throw refusal;
    // Not with the signal of the first caller: its abort would fail the others too.
    this.#login.renewal ??= this.#logIn(undefined).finally(() => {
      this.#login.renewal = undefined;
    });
    await untilAborted(this.#login.renewal, signal);
  }

  async #call<T>(
    method: Method,
    path: string,
    body: object | undefined,
    schema: Decoder<T>,
    own: CallOptions,
  ): Promise<T> {
    const { timings } = this.#settings;
    const options = { ...own, signal: own.signal ?? this.#own.signal };
    const what = `${method} ${path}`;
    const send = (): Promise<Answer> => this.#authorized(method, path, body, options);
    const isRetryable = method === 'GET' ? isAwayOrUnsure() : isUnsent;
    const answer = await retryWhileAway(send, {
      timings,
      windowMs: timings.getRetryWindowMs,
      signal: options.signal,
      isRetryable,
      log: this.#log,
      onWait: this.onWait,
    });
    return decode(schema, parseJson(answer.text, what), what);
  }

  /** Sends with the token. A refused token is renewed, and the request sent once more. */
  async #authorized(
    method: Method,
    path: string,
    body: object | undefined,
    options: CallOptions,
  ): Promise<Answer> {
    const what = `${method} ${path}`;
    const { token } = this.#login;
    let answer = await this.#send(method, path, body, options);
    if (answer.status === 401) {
      this.#log.debug({ path }, 'token refused, logging in again');
      await this.#renew(token, options.signal);
      answer = await this.#send(method, path, body, options);
    }
    this.#log.debug({ method, path, httpStatus: answer.status }, 'engine call');
    if (answer.status < 300) return answer;
    if (answer.status === 401) throw authRefused(`${what}: the engine refuses a new token`);
    const detail = faultDetail(answer.text);
    const kind = classifyFault(answer.status, detail);
    // The engine's own 404 has a fault or no body. A page may come from the gateway of a restart.
    const isPage = answer.status === 404 && detail === '' && answer.text.trim() !== '';
    throw new EngineFaultError(kind, answer.status, what, detail, isPage);
  }

  async #send(
    method: Method,
    path: string,
    body: object | undefined,
    options: CallOptions,
  ): Promise<Answer> {
    const { origin, basePath, timings } = this.#settings;
    const { query, signal } = options;
    const request: Dispatcher.RequestOptions = {
      origin,
      path: `${basePath}/api${path}`,
      method,
      query: query ?? {},
      headersTimeout: options.readMs ?? timings.restReadMs,
      headers: {
        authorization: `Bearer ${this.#login.token}`,
        accept: 'application/json',
        'accept-language': 'en-US',
        version: '4',
        'correlation-id': this.correlationId,
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(signal ? { signal } : {}),
    };
    try {
      const response = await this.#agent.request(request);
      const text = (await readBody(response.body, MAX_BODY_BYTES)).toString('utf8');
      return { status: response.statusCode, text };
    } catch (error) {
      if (isAbort(error, signal)) signal?.throwIfAborted();
      throw new EngineLostError(origin, `${method} ${path}`, error);
    }
  }
}
