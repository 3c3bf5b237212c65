/**
 * A proxy in front of an S3 server. It counts requests, and answers some of them wrongly. It keeps
 * the header Host, so signatures stay valid. No test framework in here.
 */
import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  request as sendRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { Readable } from 'node:stream';
import { targetOf, type S3Target } from './requestKind.ts';
import type { S3Env } from './servers.ts';

const MAX_BODY_BYTES = 256 * 1024 * 1024;
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'expect']);

/** Errors that the proxy answers itself. The server never sees the request. */
const ERRORS = {
  slowDown: { status: 503, code: 'SlowDown' },
  internalError: { status: 500, code: 'InternalError' },
  expiredToken: { status: 400, code: 'ExpiredToken' },
  clockSkew: { status: 403, code: 'RequestTimeTooSkewed' },
  conflict: { status: 409, code: 'ConditionalRequestConflict' },
} as const;

/**
 * What happens to a request:
 * - a name of an error: the error is the answer.
 * - `cutBefore`: the connection ends, and the server never saw the request.
 * - `cutAfter`: the server did the work, and its answer is lost.
 * - `duplicate`: the server gets the request twice. The second answer counts.
 * - `truncate`: the connection ends in the middle of the answer's body.
 * - `shorten`: half of the answer's body is missing, and Content-Length says so.
 * - `flip`: one bit of the answer's body is wrong.
 * - `holdBefore`, `holdAfter`: no answer ever; the server never saw the request, or did the work.
 */
export type S3Fault =
  | keyof typeof ERRORS
  | 'cutBefore'
  | 'cutAfter'
  | 'duplicate'
  | 'truncate'
  | 'shorten'
  | 'flip'
  | 'holdBefore'
  | 'holdAfter';

export interface S3Request extends S3Target {
  /** From 1, since the last {@link FaultProxy.arm}. */
  readonly nth: number;
  /** From 1, among the requests of its kind. */
  readonly nthOfKind: number;
  readonly fault?: S3Fault | undefined;
}

/** Chooses the fault of a request. A rule that returns late delays the request. */
export type FaultRule = (request: S3Request) => S3Fault | undefined | Promise<S3Fault | undefined>;

interface Answer {
  readonly status: number;
  /** Names and values in turn, as received. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

export class FaultProxy {
  readonly endpoint: string;
  readonly #target: URL;
  readonly #server: Server;
  #requests: S3Request[] = [];
  #rule: FaultRule | undefined;
  #onHeld: (() => void) | undefined;

  private constructor(server: Server, endpoint: string, target: string) {
    this.#server = server;
    this.endpoint = endpoint;
    this.#target = new URL(target);
  }

  /** Starts a proxy on a free port of 127.0.0.1. @param target - endpoint of the server */
  static async start(target: string): Promise<FaultProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const proxy = new FaultProxy(server, `http://127.0.0.1:${port}`, target);
    server.on('request', (request, response) => {
      proxy.#serve(request, response).catch(() => response.destroy());
    });
    return proxy;
  }

  /** The variables of the server, with the endpoint of the proxy. */
  envFor(env: S3Env): S3Env {
    return { ...env, AWS_ENDPOINT_URL_S3: this.endpoint };
  }

  /**
   * Forgets all requests. Requests from now on are numbered from 1 and follow `rule`.
   *
   * @param onHeld - called when a request is held: its body has come and, with `holdAfter`, the
   *   server has done the work.
   */
  arm(rule?: FaultRule, onHeld?: () => void): void {
    this.#requests = [];
    this.#rule = rule;
    this.#onHeld = onHeld;
  }

  /** Requests since the last {@link arm}, in the order in which they came. */
  get requests(): readonly S3Request[] {
    return this.#requests;
  }

  /** Number of requests of each kind since the last {@link arm}. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { kind } of this.#requests) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  }

  /** Also cuts connections that are in use. */
  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Requests get their numbers when they begin, and their bodies may take long.
    const chosen = this.#record(request);
    const body = await bodyOf(request);
    const fault = await chosen;
    if (fault === undefined) return send(response, await this.#forward(request, body));
    if (fault in ERRORS) return send(response, errorAnswer(fault as keyof typeof ERRORS));
    if (fault === 'holdBefore') return this.#onHeld?.();
    if (fault === 'cutBefore') return cut(response);
    let answer = await this.#forward(request, body);
    if (fault === 'holdAfter') return this.#onHeld?.();
    if (fault === 'cutAfter') return cut(response);
    if (fault === 'duplicate') answer = await this.#forward(request, body);
    if (fault === 'truncate') return sendHalf(response, answer);
    if (fault === 'shorten') answer = shortened(answer);
    if (fault === 'flip') answer = flipped(answer);
    send(response, answer);
  }

  async #record({ method = '', url = '' }: IncomingMessage): Promise<S3Fault | undefined> {
    const target = targetOf(method, url);
    const nth = this.#requests.length + 1;
    const nthOfKind = (this.counts()[target.kind] ?? 0) + 1;
    const at = this.#requests.push({ ...target, nth, nthOfKind }) - 1;
    const requests = this.#requests;
    const fault = await this.#rule?.({ ...target, nth, nthOfKind });
    if (fault !== undefined) requests[at] = { ...target, nth, nthOfKind, fault };
    return fault;
  }

  async #forward({ method, url, rawHeaders }: IncomingMessage, body: Buffer): Promise<Answer> {
    const { hostname, port } = this.#target;
    const sent = sendRequest({ hostname, port, method, path: url, headers: kept(rawHeaders) });
    sent.end(body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const status = answer.statusCode ?? 500;
    return { status, headers: kept(answer.rawHeaders), body: await bodyOf(answer) };
  }
}

/** @throws an Error above 256 MiB, or when the body ends too early */
async function bodyOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('the body is too large for the proxy');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Headers that belong to the message, not to the connection. */
function kept(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, at) => !HOP_BY_HOP.has(rawHeaders[at - (at % 2)]!.toLowerCase()));
}

function errorAnswer(fault: keyof typeof ERRORS): Answer {
  const { status, code } = ERRORS[fault];
  const text = `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>${code}</Code><Message>A fault of the test.</Message><RequestId>1</RequestId></Error>`;
  const body = Buffer.from(text);
  const headers = ['Content-Type', 'application/xml', 'Content-Length', String(body.length)];
  return { status, headers, body };
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, [...headers]);
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

/** The rest of the body never comes. An answer without a body is lost whole. */
function sendHalf(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, [...headers]);
  response.write(body.subarray(0, body.length / 2), () => cut(response));
}

function cut(response: ServerResponse): void {
  response.req.socket.destroy();
}

function shortened({ status, headers, body }: Answer): Answer {
  const half = body.subarray(0, body.length / 2);
  const isLength = (at: number): boolean =>
    at % 2 === 1 && headers[at - 1]!.toLowerCase() === 'content-length';
  return {
    status,
    headers: headers.map((text, at) => (isLength(at) ? String(half.length) : text)),
    body: half,
  };
}

function flipped({ status, headers, body }: Answer): Answer {
  const changed = Buffer.from(body);
  const middle = Math.floor(changed.length / 2);
  if (changed.length > 0) changed[middle]! ^= 1;
  return { status, headers, body: changed };
}
