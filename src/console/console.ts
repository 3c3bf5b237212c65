/** The console: its API and its page, as a listener for the server of the daemon. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { AccessControl } from './access/access.ts';
import { type Change, createApi } from './api/api.ts';
import type { ConsoleSources } from './contract.ts';
import { EventStreams } from './api/eventStreams.ts';
import { type ApiApp, type HonoParts, loadHono } from './api/hono.ts';
import type { ConsoleTokens } from './access/logins.ts';
import { PAGE_FOLDER, type PageFiles, readPageFiles, sendPageFile } from './pageFiles.ts';
import { ApiError, problemOf } from './problems.ts';
import { pathOf } from './requestTarget.ts';
import { API_BASE } from './api/routes.ts';
import { setSecurityHeaders } from './securityHeaders.ts';

const IDLE_MS = 8 * 3_600_000;
const MAX_STREAMS = 64;
const HEARTBEAT_MS = 15_000;

/** Tests shorten them. */
export interface ConsoleTimes {
  readonly idleMs: number;
  readonly heartbeatMs: number;
  /** A clock that never goes back. */
  readonly nowMs: () => number;
}

export interface ConsoleOptions {
  readonly sources: ConsoleSources;
  readonly tokens: ConsoleTokens;
  readonly productVersion: string;
  readonly isTls: boolean;
  /** Whether the daemon has a folder for restored files. */
  readonly hasRestoreFolder: boolean;
  /** Told of a request that the daemon could not answer. */
  readonly onFailure: (error: unknown) => void;
  /** Told of a wrong token, with the address it came from. At most once a second for each. */
  readonly onRefused: (address: string) => void;
  /** Told of each change that a client makes. */
  readonly onChange: (change: Change) => void;
  readonly pageFolder?: string;
  readonly times?: Partial<ConsoleTimes>;
}

export interface Console extends Disposable {
  readonly listener: RequestListener;
  /** True for a request that shows a token of either role. */
  readonly hasToken: (request: IncomingMessage) => boolean;
}

/**
 * Makes the console. Its end ends all event streams.
 *
 * @throws {@link UsageError} `TOOL_MISSING` when an optional package is not installed
 */
export async function createConsole(options: ConsoleOptions): Promise<Console> {
  const hono = await loadHono();
  const files = await readPageFiles(options.pageFolder ?? PAGE_FOLDER);
  const { idleMs = IDLE_MS, heartbeatMs = HEARTBEAT_MS, nowMs = monotonicMs } = options.times ?? {};
  const access = new AccessControl({ ...options, idleMs, nowMs });
  const streams = new EventStreams({
    ...options,
    heartbeatMs,
    maxStreams: MAX_STREAMS,
    isOpen: access.isOpen,
  });
  const api = apiListener(
    hono,
    createApi({ ...options, hono, access, streams }),
    options.onFailure,
  );
  return {
    listener: (request, response) => {
      setSecurityHeaders(response);
      const path = pathOf(request.url ?? '');
      if (path?.startsWith(`${API_BASE}/`)) api(request, response);
      else answerPage(files, path, request, response);
    },
    hasToken: (request) => access.hasToken(request),
    [Symbol.dispose]: () => streams[Symbol.dispose](),
  };
}

function monotonicMs(): number {
  return performance.now();
}

/** Hono's answers are written here: its adapter would print what goes wrong on the terminal. */
function apiListener(
  { getRequestListener, alreadySent }: HonoParts,
  app: ApiApp,
  onFailure: (error: unknown) => void,
): RequestListener {
  const listener = getRequestListener(
    async (request, env) => {
      const { incoming, outgoing } = env as { incoming: IncomingMessage; outgoing: ServerResponse };
      try {
        const answer = await app.fetch(request, { incoming, outgoing });
        if (answer !== alreadySent) await send(answer, outgoing);
      } catch (error) {
        onFailure(error);
        sendProblem(error, outgoing);
      }
      return alreadySent;
    },
    {
      // Other parts of the process keep the Request and Response of Node.
      overrideGlobalObjects: false,
      errorHandler: () => new Response(null, { status: 400 }),
    },
  );
  return (request, response) => void listener(request, response);
}

async function send(answer: Response, response: ServerResponse): Promise<void> {
  const bytes = Buffer.from(await answer.arrayBuffer());
  const headers = Object.fromEntries(answer.headers);
  const isHead = response.req.method === 'HEAD';
  const hasBody = !isHead && answer.status !== 204 && answer.status !== 304;
  if (response.destroyed) return;
  response.writeHead(
    answer.status,
    hasBody ? { ...headers, 'content-length': bytes.length } : headers,
  );
  response.end(isHead ? undefined : bytes);
}

function sendProblem(error: unknown, response: ServerResponse): void {
  const { status, body, headers } = problemOf(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers });
  response.end(response.req.method === 'HEAD' ? undefined : JSON.stringify(body));
}

function answerPage(
  files: PageFiles,
  path: string | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const file = path === undefined ? undefined : files.get(path);
  if (file && (request.method === 'GET' || request.method === 'HEAD')) {
    sendPageFile(file, request, response);
    return;
  }
  sendProblem(pageProblem(path, file !== undefined), response);
}

function pageProblem(path: string | undefined, isFile: boolean): ApiError {
  if (path === undefined) {
    return new ApiError('API_BAD_REQUEST', 'this is no path', 'see /api/v1/openapi.json');
  }
  if (!isFile) return new ApiError('API_NOT_FOUND', 'there is no such page', 'load /');
  return new ApiError('API_METHOD', 'use GET', 'load the page', { allow: 'GET, HEAD' });
}
