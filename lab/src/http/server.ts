/**
 * HTTPS for both servers of the lab: whole requests, answers with an explicit content-length, and
 * faults. A request is recorded before its answer is sent.
 */
import { once, setMaxListeners } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleepMs } from 'node:timers/promises';
import { errnoOf, LabError } from '../errors.ts';
import { MIB } from '../units.ts';
import type { LabServerIdentity } from '../dataPlane.ts';
import type { LabFaultList } from './faults.ts';
import { type LabHttpResponse, sendResponse } from './response.ts';
import type { Lab, LabAction, LabRequest } from '../types.ts';

const MAX_BODY_BYTES = 256 * MIB;
const NO_ANSWER_STATUS = 0;

export interface LabHttpRequest {
  readonly method: string;
  /** Without query and not decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Path and query. */
  readonly rawPath: string;
  readonly headers: IncomingHttpHeaders;
  /** The received body. Shorter than its content-length when the client ended early. */
  readonly body: Buffer;
  readonly socket: Socket;
  /** Alters the extents of the answer; set by a fault. */
  readonly corruptExtents: ((extents: object[]) => object[]) | undefined;
}

export type LabHandler = (request: LabHttpRequest) => Promise<LabHttpResponse> | LabHttpResponse;

export interface LabServerOptions {
  readonly server: 'engine' | 'imageio';
  readonly identity: LabServerIdentity;
  /** @defaultValue any free one */
  readonly port?: number | undefined;
  readonly faults: LabFaultList;
  /** The argument of a fault's `run`. */
  readonly lab: () => Lab;
  /** Facts of a request that only this server knows, for the matching of faults. */
  readonly describe: (request: LabHttpRequest) => {
    readonly phase?: string | undefined;
    readonly diskId?: string | undefined;
  };
  readonly handle: LabHandler;
  readonly record: (request: LabRequest) => void;
  /** Added to each answer that does not have the same header. Lower-case names. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** How long a connection may be idle, or wait for its client. @defaultValue no limit */
  readonly idleTimeoutMs?: ((socket: Socket) => number) | undefined;
  readonly dropTicket?: ((request: LabHttpRequest) => void) | undefined;
  readonly flipPhase?: ((request: LabHttpRequest, phase: string) => void) | undefined;
}

/** Chains the alterations of all faults that fired. */
function corrupterOf(actions: readonly LabAction[]): LabHttpRequest['corruptExtents'] {
  const corrupters = actions.flatMap(({ corruptExtents }) => corruptExtents ?? []);
  if (corrupters.length === 0) return undefined;
  return (extents) => corrupters.reduce((altered, corrupt) => corrupt(altered), extents);
}

function cannedAnswer(actions: readonly LabAction[]): LabHttpResponse | undefined {
  const action = actions.find(({ status }) => status !== undefined);
  if (action?.status === undefined) return undefined;
  return { status: action.status, body: action.body, headers: action.headers };
}

function failureAnswer(error: unknown): LabHttpResponse {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { status: 500, body: `failure inside the lab: ${text}` };
}

/** @param reason - code of the error, such as `EADDRINUSE`. */
function portUnusable(port: number, reason: string): LabError {
  const text = new Map([
    ['ERR_SOCKET_BAD_PORT', `port ${port} does not exist`],
    ['EADDRINUSE', `port ${port} is used by another program`],
    ['EACCES', `port ${port} may not be used by this user`],
  ]).get(reason);
  return new LabError(
    'LAB_PORT_UNUSABLE',
    `${text ?? `port ${port} cannot be used`} (${reason})`,
    'choose another port from 1024 to 65535, or let the system choose',
  );
}

export class LabServer {
  readonly #options: LabServerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Functions that end the body being read from a socket with the bytes received so far. */
  readonly #openBodies = new WeakMap<Socket, () => void>();
  /** Each delayed request waits for it. */
  readonly #closing = new AbortController();
  #port = 0;

  private constructor(options: LabServerOptions) {
    this.#options = options;
    setMaxListeners(0, this.#closing.signal);
    const { keyPem, certPem } = options.identity;
    this.#server = createServer({
      key: keyPem,
      cert: certPem,
      minVersion: 'TLSv1.2',
      // A client that ends its request early still gets an answer.
      allowHalfOpen: true,
    });
    this.#server.keepAliveTimeout = 0;
    this.#server.requestTimeout = 0;
    this.#server.on('connection', (socket: Socket) => this.#track(socket));
    this.#server.on('secureConnection', (socket) => {
      this.#track(socket);
      this.#limitIdleTime(socket);
    });
    this.#server.on('clientError', (error, socket) => {
      this.#endEarly(error, socket as Socket);
    });
    this.#server.on('request', (message, response) => void this.#serve(message, response));
  }

  /** @throws {@link LabError} `LAB_PORT_UNUSABLE` for a port that is taken or does not exist */
  static async listen(options: LabServerOptions): Promise<LabServer> {
    const { port = 0 } = options;
    const server = new LabServer(options);
    try {
      server.#server.listen(port, '127.0.0.1');
      await once(server.#server, 'listening');
    } catch (error) {
      throw portUnusable(port, errnoOf(error) ?? String(error));
    }
    server.#port = (server.#server.address() as AddressInfo).port;
    return server;
  }

  get port(): number {
    return this.#port;
  }

  /** `https://127.0.0.1:PORT` */
  get origin(): string {
    return `https://127.0.0.1:${this.port}`;
  }

  /** Cuts all connections; the port stays open. */
  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.destroyConnections();
    await closed;
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    // A client may disappear at any moment. Writers notice it by the `close` event.
    socket.on('error', () => socket.destroy());
  }

  /** Node destroys a connection whose timeout has passed. */
  #limitIdleTime(socket: Socket): void {
    socket.setTimeout(this.#options.idleTimeoutMs?.(socket) ?? 0);
  }

  /** Answers a client that ends in the middle of a body. Cuts other broken requests. */
  #endEarly(error: Error, socket: Socket): void {
    const endBody = this.#openBodies.get(socket);
    if (endBody && errnoOf(error) === 'HPE_INVALID_EOF_STATE') endBody();
    else socket.destroy();
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await this.#readBody(message);
    if (!body) return;
    // A connection is not idle while its request is handled.
    message.socket.setTimeout(0);
    const rawPath = message.url ?? '/';
    const [path = '/', query = ''] = rawPath.split('?', 2);
    const request: LabHttpRequest = {
      method: message.method ?? 'GET',
      path,
      query: new URLSearchParams(query),
      rawPath,
      headers: message.headers,
      body,
      socket: message.socket,
      corruptExtents: undefined,
    };
    try {
      await this.#answer(request, response);
    } catch (error) {
      if (!this.#closing.signal.aborted) await this.#send(request, response, failureAnswer(error));
    }
  }

  /** @returns undefined when the connection is gone. */
  #readBody(message: IncomingMessage): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let lengthBytes = 0;
    message.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      lengthBytes += chunk.length;
      if (lengthBytes > MAX_BODY_BYTES) message.destroy();
    });
    return new Promise((resolve) => {
      const end = (): void => {
        this.#openBodies.delete(message.socket);
        resolve(Buffer.concat(chunks));
      };
      this.#openBodies.set(message.socket, end);
      message.once('end', end);
      message.once('close', () => resolve(undefined));
      message.once('error', () => resolve(undefined));
    });
  }

  async #answer(request: LabHttpRequest, response: ServerResponse): Promise<void> {
    const actions = this.#options.faults.meet({
      server: this.#options.server,
      method: request.method,
      path: request.rawPath,
      ...this.#options.describe(request),
    });
    for (const action of actions) await this.#apply(action, request);
    if (actions.some(({ reset }) => reset)) {
      this.#record(request, NO_ANSWER_STATUS);
      request.socket.destroy();
      return;
    }
    if (actions.some(({ hang }) => hang)) return this.#record(request, NO_ANSWER_STATUS);
    const corruptExtents = corrupterOf(actions);
    const answer =
      cannedAnswer(actions) ?? (await this.#options.handle({ ...request, corruptExtents }));
    const limits = actions.flatMap(({ cutAfterBytes }) => cutAfterBytes ?? []);
    await this.#send(request, response, answer, Math.min(...limits));
  }

  async #apply(action: LabAction, request: LabHttpRequest): Promise<void> {
    if (action.delayMs !== undefined) {
      await sleepMs(action.delayMs, undefined, { ref: false, signal: this.#closing.signal });
    }
    await action.run?.(this.#options.lab());
    if (action.dropTicket) this.#options.dropTicket?.(request);
    if (action.flipPhase !== undefined) this.#options.flipPhase?.(request, action.flipPhase);
  }

  async #send(
    request: LabHttpRequest,
    response: ServerResponse,
    answer: LabHttpResponse,
    cutAfterBytes: number = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    this.#record(request, answer.status);
    const headers = { ...this.#options.headers, ...answer.headers };
    this.#limitIdleTime(request.socket);
    await sendResponse(response, { ...answer, headers }, cutAfterBytes);
  }

  #record(request: LabHttpRequest, status: number): void {
    const header = request.headers['correlation-id'];
    this.#options.record({
      server: this.#options.server,
      method: request.method,
      path: request.rawPath,
      status,
      correlationId:
        (Array.isArray(header) ? header[0] : header) ??
        request.query.get('correlation_id') ??
        undefined,
      atMs: Date.now(),
    });
  }
}
