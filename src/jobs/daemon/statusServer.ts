/**
 * `/metrics` for Prometheus and `/healthz` for a supervisor. A console serves all other paths.
 * Without one the server is for this machine alone, because these two pages have no login.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { errnoOf, invariant, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import type { KeyPair } from '../../store/keyPair.ts';
import { isLoopback } from '../../core/loopback.ts';
import type { DaemonHealth } from './daemon.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 32;
/** A browser has up to six. */
const CONSOLE_CONNECTIONS = 256;
/** Some answers of a console wait for a repository. Event streams have their own limits. */
const CONSOLE_TIMEOUT_MS = 120_000;
const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const WRONG_NAME =
  'this server has no such name: use localhost or 127.0.0.1, with TLS a name of its certificate\n';
/** @see https://prometheus.io/docs/instrumenting/exposition_formats/ */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export interface StatusSources {
  readonly health: () => DaemonHealth;
  /** Text form of Prometheus. */
  readonly metrics: () => Promise<string>;
  /** Told of a request or a connection that failed. */
  readonly onFailure: (error: unknown) => void;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** What a console gives to the server. */
export interface StatusConsole {
  readonly listener: RequestListener;
  /** True for a request that shows a token. */
  readonly hasToken: (request: IncomingMessage) => boolean;
}

export interface StatusServerOptions {
  readonly address: ListenAddress;
  readonly sources: StatusSources;
  readonly console?: StatusConsole | undefined;
  readonly tls?: KeyPair | undefined;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * Reads `PORT`, `HOST:PORT` or `[ADDRESS]:PORT`.
 *
 * @param isForOthers - whether other hosts than this machine itself are allowed: with TLS and a
 *   console, which has tokens.
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function parseListen(text: string, isForOthers = false): ListenAddress {
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? NaN);
  if (!match || port > 65_535) {
    throw new UsageError('USAGE_INVALID_OPTION', `--listen: "${text}" is no address and port`, {
      hint: 'for example: 127.0.0.1:8484',
    });
  }
  const host = (match[1] ?? '127.0.0.1').replaceAll(/[[\]]/g, '');
  if (isLoopback(host) || isForOthers) return { host, port };
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `--listen: others can reach ${host}, so it needs TLS`,
    {
      hint: 'give --tls-cert and --tls-key, or listen on 127.0.0.1, ::1 or localhost',
    },
  );
}

/**
 * A page of another site must not reach the server through a name of its own that leads here. With
 * TLS, the names of the certificate are ours too.
 */
function isForUs({ headers }: IncomingMessage, tls: KeyPair | undefined): boolean {
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(headers.host ?? '')?.[1]?.toLowerCase();
  if (name === undefined) return false;
  return isLoopback(name) || (tls?.isNameOf(name.replaceAll(/[[\]]/g, '')) ?? false);
}

function plain(status: number, body: string): Answer {
  return { status, type: TEXT_TYPE, body };
}

/** Strangers learn only whether the daemon works. */
function healthPage({ health }: StatusSources, isForAll: boolean): Answer {
  const { isAlive, jobs } = health();
  const status = isAlive ? 'ok' : 'hangs';
  const body = `${JSON.stringify(isForAll ? { status } : { status, jobs })}\n`;
  return { status: isAlive ? 200 : 503, type: JSON_TYPE, body };
}

/** @returns undefined for a path of the console. */
async function answerTo(
  request: IncomingMessage,
  { address, sources, console, tls }: StatusServerOptions,
): Promise<Answer | undefined> {
  const isForAll = !isLoopback(address.host);
  const path = request.url?.split('?')[0];
  const isHealth = path === '/healthz';
  // A supervisor may know the machine by its address alone.
  if (!isForUs(request, tls) && !(isHealth && isForAll)) {
    return plain(421, WRONG_NAME);
  }
  const isOurs = isHealth || path === '/metrics';
  if (!isOurs && console) return undefined;
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'use GET\n');
  if (isHealth) return healthPage(sources, isForAll);
  if (!isOurs) return plain(404, 'there are /metrics and /healthz\n');
  const isAllowed = !isForAll || console?.hasToken(request);
  if (!isAllowed) return plain(401, 'send the header "authorization: Bearer TOKEN"\n');
  return { status: 200, type: METRICS_TYPE, body: await sources.metrics() };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: StatusServerOptions,
): Promise<void> {
  const answer = await answerTo(request, options).catch((error: unknown) => {
    options.sources.onFailure(error);
    return { status: 500, type: TEXT_TYPE, body: 'failed; the log of the daemon has the reason\n' };
  });
  if (answer) sendAnswer(answer, request, response);
  else options.console?.listener(request, response);
}

function sendAnswer(
  { status, type, body }: Answer,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function listen(server: Server, { host, port }: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onError = (error: Error): void => {
      const reason = plainReason(errnoOf(error) ?? error.message);
      const text = `--listen: cannot listen on ${host}:${port}: ${reason}`;
      reject(
        new UsageError('USAGE_INVALID_OPTION', text, {
          cause: error,
          hint: 'choose another port',
        }),
      );
    };
    server.once('error', onError);
    server.listen(port, host, () => {
      server.off('error', onError);
      resolve();
    });
  });
}

export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

function createStatusServer(options: StatusServerOptions): Server {
  const { tls, console } = options;
  const limits: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
  };
  const listener: RequestListener = (request, response) => void serve(request, response, options);
  const server = tls
    ? createTlsServer(
        {
          ...limits,
          cert: tls.cert,
          key: tls.key,
          minVersion: 'TLSv1.2',
          handshakeTimeout: REQUEST_TIMEOUT_MS,
        },
        listener,
      )
    : createServer(limits, listener);
  server.maxConnections = console ? CONSOLE_CONNECTIONS : MAX_CONNECTIONS;
  // Who does not read the answer must not keep its connection.
  server.setTimeout(console ? CONSOLE_TIMEOUT_MS : REQUEST_TIMEOUT_MS);
  return server;
}

/**
 * Starts the server. Its end closes all connections.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the address is in use
 */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const { address, sources } = options;
  invariant(
    isLoopback(address.host) || (options.console && options.tls),
    'others are served only with TLS and a console',
  );
  const server = createStatusServer(options);
  await listen(server, address);
  // Such as too many open files when a client connects. It must not end the daemon.
  server.on('error', sources.onFailure);
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}
