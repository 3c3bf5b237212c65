/** Serves disks of restore points over NBD, read-only, to any number of clients. */
import { lstat } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { MIB } from '../../core/units.ts';
import type { ServeAddress } from '../pointTypes.ts';
import { ByteBudget } from './byteBudget.ts';
import type { NbdExport } from './nbdExport.ts';
import { Negotiation } from './negotiation.ts';
import { ConnectionEnded, SocketReader } from './socketReader.ts';
import { type Served, Transmission } from './transmission.ts';

const MAX_CONNECTIONS = 128;
/** Bytes of replies under way, over all connections. */
const REPLY_BYTES = 64 * MIB;
/** A client that chooses no export for so long is broken off. */
const NEGOTIATION_MS = 30_000;
/** Longest path of a Unix socket on Linux, without the zero byte. */
const MAX_SOCKET_PATH_BYTES = 107;

export interface NbdServerOptions {
  readonly exports: readonly NbdExport[];
  readonly address: ServeAddress;
  /** Gets the text of a read that failed, and why a connection was broken off. */
  readonly onProblem?: ((text: string) => void) | undefined;
  /** Called when the server has stopped. {@link NbdServer.close} waits for it. */
  readonly onEnd?: ((server: NbdServer) => void | Promise<void>) | undefined;
}

export class NbdServer {
  /** One for each export, such as `nbd+unix:///system?socket=/run/nbd.sock`. */
  readonly uris: readonly string[];
  readonly served: Readonly<Served>;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;
  readonly #connections: Set<Promise<void>>;
  readonly #onEnd: NbdServerOptions['onEnd'];
  #closing: Promise<void> | undefined;

  private constructor(
    server: Server,
    parts: {
      readonly uris: readonly string[];
      readonly served: Served;
      readonly sockets: Set<Socket>;
      readonly connections: Set<Promise<void>>;
      readonly onEnd: NbdServerOptions['onEnd'];
    },
  ) {
    this.#server = server;
    this.uris = parts.uris;
    this.served = parts.served;
    this.#sockets = parts.sockets;
    this.#connections = parts.connections;
    this.#onEnd = parts.onEnd;
  }

  /**
   * Starts to listen.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for an address that cannot be used,
   *   `USAGE_OUTPUT_EXISTS` for a socket path that exists
   */
  static async start(options: NbdServerOptions): Promise<NbdServer> {
    const { exports, address, onProblem = () => {}, onEnd } = options;
    await checkAddress(address);
    const served: Served = { requests: 0, bytes: 0, failures: 0 };
    const budget = new ByteBudget(REPLY_BYTES);
    const sockets = new Set<Socket>();
    const connections = new Set<Promise<void>>();
    const server = createServer((socket) => {
      sockets.add(socket);
      const work = serveConnection(socket, { exports, budget, served, onProblem }).finally(() => {
        sockets.delete(socket);
        connections.delete(work);
      });
      connections.add(work);
    });
    server.maxConnections = MAX_CONNECTIONS;
    await listen(server, address);
    const uris = exports.map(({ name }) => uriOf(name, address, server));
    return new NbdServer(server, { uris, served, sockets, connections, onEnd });
  }

  /** Breaks all clients off and stops. May be called twice. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await Promise.allSettled(this.#connections);
    await this.#onEnd?.(this);
  }
}

interface ConnectionParts {
  readonly exports: readonly NbdExport[];
  readonly budget: ByteBudget;
  readonly served: Served;
  readonly onProblem: (text: string) => void;
}

/** Never rejects: one client must not end the server. */
async function serveConnection(socket: Socket, parts: ConnectionParts): Promise<void> {
  const { exports, budget, served, onProblem } = parts;
  // A failed socket also fires `close`, which the reader sees.
  socket.on('error', () => {});
  socket.setNoDelay(true);
  const reader = new SocketReader(socket);
  const tooSlow = setTimeout(() => socket.destroy(), NEGOTIATION_MS).unref();
  try {
    const chosen = await new Negotiation(socket, reader, exports).run();
    clearTimeout(tooSlow);
    if (!chosen) return;
    const onFailure = (text: string): void => onProblem(`${chosen.served.name}: ${text}`);
    await new Transmission({ socket, reader, chosen, budget, served, onFailure }).run();
  } catch (error) {
    if (!(error instanceof ConnectionEnded)) onProblem(`a client was broken off: ${String(error)}`);
  } finally {
    clearTimeout(tooSlow);
    socket.end();
    socket.destroySoon();
  }
}

async function listen(server: Server, address: ServeAddress): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.once('listening', () => {
        server.off('error', reject);
        resolve();
      });
      bind(server, address);
    });
  } catch (error) {
    const place = 'socket' in address ? address.socket : `${address.host}:${address.port}`;
    const reason = errnoOf(error) ?? String(error);
    throw new UsageError('USAGE_INVALID_OPTION', `cannot listen on ${place}: ${reason}`, {
      cause: error,
      hint: 'choose another socket or port, in a folder that you may write to',
    });
  }
}

/**
 * The mask is that of the whole process, so it is changed for this call only: Node makes the socket
 * before `listen` returns.
 */
function bind(server: Server, address: ServeAddress): void {
  if (!('socket' in address)) {
    server.listen(address);
    return;
  }
  const mask = process.umask(0o177);
  try {
    server.listen({ path: address.socket });
  } finally {
    process.umask(mask);
  }
}

async function checkAddress(address: ServeAddress): Promise<void> {
  if (!('socket' in address)) {
    if (['127.0.0.1', '::1', 'localhost'].includes(address.host)) return;
    throw new UsageError('USAGE_INVALID_OPTION', `${address.host} is not a loopback address`, {
      hint: 'NBD without TLS shows the disk to everybody who can connect; use a Unix socket and ssh',
    });
  }
  const { socket } = address;
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH_BYTES) {
    throw new UsageError('USAGE_INVALID_OPTION', `the path of the socket is too long: ${socket}`, {
      hint: `a Unix socket has a path of at most ${MAX_SOCKET_PATH_BYTES} bytes`,
    });
  }
  const found = await lstat(socket).catch(() => {});
  if (!found) return;
  throw new UsageError('USAGE_OUTPUT_EXISTS', `${socket} exists already`, {
    hint: found.isSocket() ? 'delete it if no server uses it' : 'name another path',
  });
}

function uriOf(name: string, address: ServeAddress, server: Server): string {
  const path = encodeURIComponent(name);
  if ('socket' in address) {
    return `nbd+unix:///${path}?socket=${encodeURI(address.socket).replaceAll('?', '%3F').replaceAll('&', '%26')}`;
  }
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : address.port;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `nbd://${host}:${port}/${path}`;
}
