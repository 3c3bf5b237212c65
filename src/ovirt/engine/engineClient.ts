/**
 * The transport to an engine: one token, JSON, faults as errors. Reads are repeated while the engine is away;
 * what changes state is sent once, and the caller finds out whether it arrived.
 *
 * @see oVirt contract: SSO errors are HTTP 400; an invalid token is 401 with HTML, raised before the request is
 *   processed, so that a replay is safe.
 */
import { randomUUID } from 'node:crypto';
import type { Agent, Dispatcher } from 'undici';
import { EngineError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { type EngineSettings, type ResolvedSettings, resolveSettings } from '../connection.ts';
import { faultDetail, parseJson } from './engineAnswers.ts';
import { authRefused, EngineFaultError, EngineLostError, isUnsent } from './engineErrors.ts';
import { classifyFault } from './faults.ts';
import { createAgent, isAbort, readBody } from '../http.ts';
import { isAwayOrUnsure, isAwayOrOnceServerError, retryWhileAway } from './engineRetry.ts';
import { untilAborted } from '../poll.ts';
import { requestToken, revokeToken } from './sso.ts';
import type { OvirtTimings } from '../timings.ts';
import { type Decoder, decode, wire } from './decoders.ts';

const MAX_BODY_BYTES = 64 * 1024 * 1024;
/** The engine cuts ids at 36 characters. */
const CORRELATION_ID = /^[0-9A-Za-z_-]{1,36}$/;

export interface CallOptions {
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Until the head of the answer. @defaultValue `restReadMs` */
  readonly readMs?: number | undefined;
}

export interface EngineClientOptions {
  readonly logger?: Logger | undefined;
  /** For all calls that get no signal of their own. */
  readonly signal?: AbortSignal | undefined;
  /** Stamped on events and jobs of the engine. @defaultValue a new UUID */
  readonly correlationId?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

type Method = 'GET' | 'POST' | 'DELETE';

/** One login, shared by all clients of an engine. */
interface Login {
  token: string;
  /** A renewal under way, which all refused requests wait for. */
  renewal: Promise<void> | undefined;
  /** The answer to a login that was refused; it is never tried again. */
  refusal: EngineError | undefined;
}

export class EngineClient {
  readonly correlationId: string;
  readonly timings: OvirtTimings;
  /** For the clients of image data, which trust the same CA. */
  readonly caPem: string | undefined;
  readonly origin: string;
  readonly #settings: ResolvedSettings;
  readonly #agent: Agent;
  readonly #log: Logger;
  readonly #login: Login;
  readonly #signal: AbortSignal | undefined;

  private constructor(
    settings: ResolvedSettings,
    agent: Agent,
    login: Login,
    options: EngineClientOptions,
  ) {
    this.#settings = settings;
    this.#agent = agent;
    this.#login = login;
    this.#signal = options.signal;
    this.#log = options.logger ?? silentLogger;
    this.timings = settings.timings;
    this.caPem = settings.caPem;
    this.origin = settings.origin;
    const wanted = options.correlationId ?? randomUUID();
    this.correlationId = CORRELATION_ID.test(wanted) ? wanted : randomUUID();
  }

  /**
   * Logs in. The caller closes the client, which revokes the token.
   *
   * @throws {@link EngineError} `ENGINE_AUTH_REFUSED` (never tried twice: accounts get locked),
   *   `ENGINE_UNREACHABLE`, `ENGINE_TLS_UNTRUSTED`
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

  /** A client with the same login and another correlation id; only the first one is closed. */
  withCorrelation(options: EngineClientOptions): EngineClient {
    return new EngineClient(this.#settings, this.#agent, this.#login, options);
  }

  /** The same client with another signal for its calls: the clock of a clean-up, for instance. */
  withSignal(signal: AbortSignal): EngineClient {
    const { correlationId } = this;
    return this.withCorrelation({ logger: this.#log, signal, correlationId });
  }

  /** The same run under an id of its own, by which the engine's events tell one request from all others. */
  withOwnCorrelation(): EngineClient {
    const correlationId = `${this.correlationId.slice(0, 23)}-${randomUUID().slice(-12)}`;
    return this.withCorrelation({ logger: this.#log, signal: this.#signal, correlationId });
  }

  /** Reads; repeated while the engine is away. */
  async get<T>(path: string, schema: Decoder<T>, options: CallOptions = {}): Promise<T> {
    return await this.#call('GET', path, undefined, schema, options);
  }

  /** As {@link get}, but undefined for what does not exist. */
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

  /** @throws {@link EngineLostError} when it is unknown whether the engine has done it */
  async post<T>(
    path: string,
    body: object,
    schema: Decoder<T>,
    options: CallOptions = {},
  ): Promise<T> {
    return await this.#call('POST', path, body, schema, options);
  }

  async delete(path: string, options: CallOptions = {}): Promise<void> {
    await this.#call('DELETE', path, undefined, wire.anything, options);
  }

  /** Revokes the token; never fails. */
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
      });
    } catch (error) {
      const isRefused = error instanceof EngineError && error.code === 'ENGINE_AUTH_REFUSED';
      if (isRefused) this.#login.refusal = error;
      throw error;
    }
  }

  /** Renews a token that was refused, once for all requests that found it refused. */
  async #renew(refused: string, signal: AbortSignal | undefined): Promise<void> {
    const { refusal, token } = this.#login;
    if (token !== refused) return;
    // A password that was changed meanwhile: every clean-up call asking again would lock the account.
    if (refusal) throw refusal;
    // Without the signal of the first caller: the others would fail with its reason.
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
    const options = { ...own, signal: own.signal ?? this.#signal };
    const what = `${method} ${path}`;
    const send = (): Promise<Answer> => this.#authorized(method, path, body, options);
    const isRetryable = method === 'GET' ? isAwayOrUnsure() : isUnsent;
    const answer = await retryWhileAway(send, {
      timings,
      windowMs: timings.getRetryWindowMs,
      signal: options.signal,
      isRetryable,
      log: this.#log,
    });
    return decode(schema, parseJson(answer.text, what), what);
  }

  /** Sends with a token; a token that was refused is renewed once. */
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
    if (answer.status === 401) throw authRefused(`${what}: the engine refuses its own token`);
    const detail = faultDetail(answer.text);
    const kind = classifyFault(answer.status, detail);
    // The engine's own 404 has no body or a fault; a page may come from its gateway while it restarts.
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
