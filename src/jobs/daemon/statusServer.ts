/** `/metrics` for Prometheus and `/healthz` for a supervisor, on the loopback interface. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { isLoopback } from '../../core/loopback.ts';
import type { DaemonHealth } from './daemon.ts';

const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 32;
const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';
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

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * Reads `PORT`, `HOST:PORT` or `[ADDRESS]:PORT`. The host must be this machine itself: these pages
 * have no login yet.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 */
export function parseListen(text: string): ListenAddress {
  const match = /^(?:(\[[^\]]+\]|[^:[\]]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? NaN);
  if (!match || port > 65_535) {
    throw new UsageError('USAGE_INVALID_OPTION', `--listen: "${text}" is no address and port`, {
      hint: 'for example: 127.0.0.1:8484',
    });
  }
  const host = (match[1] ?? '127.0.0.1').replaceAll(/[[\]]/g, '');
  if (isLoopback(host)) return { host, port };
  throw new UsageError('USAGE_INVALID_OPTION', `--listen: ${host} is not this machine itself`, {
    hint: 'listen on 127.0.0.1, ::1 or localhost; a proxy with a login can serve others',
  });
}

/** A page of another site must not reach the server through a name of its own that leads here. */
function isForUs(host: string | undefined): boolean {
  const name = /^(\[[^\]]*\]|[^:]*)(?::\d+)?$/.exec(host ?? '')?.[1];
  return name !== undefined && isLoopback(name.toLowerCase());
}

function plain(status: number, body: string): Answer {
  return { status, type: TEXT_TYPE, body };
}

async function answerTo(request: IncomingMessage, sources: StatusSources): Promise<Answer> {
  if (!isForUs(request.headers.host)) return plain(421, 'this server has no such name\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'use GET\n');
  switch (request.url?.split('?')[0]) {
    case '/metrics':
      return { status: 200, type: METRICS_TYPE, body: await sources.metrics() };
    case '/healthz': {
      const health = sources.health();
      const status = health.isAlive ? 'ok' : 'hangs';
      const body = `${JSON.stringify({ status, jobs: health.jobs })}\n`;
      return { status: health.isAlive ? 200 : 503, type: JSON_TYPE, body };
    }
    default:
      return plain(404, 'there are /metrics and /healthz\n');
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  sources: StatusSources,
): Promise<void> {
  const { status, type, body } = await answerTo(request, sources).catch((error: unknown) => {
    sources.onFailure(error);
    return { status: 500, type: TEXT_TYPE, body: 'failed; the log of the daemon has the reason\n' };
  });
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
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

/**
 * Starts the server. Its end closes all connections.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the address is in use
 */
export async function startStatusServer(
  address: ListenAddress,
  sources: StatusSources,
): Promise<StatusServer> {
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
    },
    (request, response) => void serve(request, response, sources),
  );
  server.maxConnections = MAX_CONNECTIONS;
  // Who does not read the answer must not keep its connection.
  server.setTimeout(REQUEST_TIMEOUT_MS);
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
