/** Serves disks over NBD to any number of clients. */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { MIB } from '../../core/units.ts';
import type { ServeAddress } from '../pointTypes.ts';
import { ByteBudget } from './byteBudget.ts';
import { listen, uriOf } from './listen.ts';
import { Negotiation } from './negotiation.ts';
import { Problems } from './problems.ts';
import type { NbdFailure } from './protocol.ts';
import type { ServedDisk } from './servedDisk.ts';
import { ConnectionEnded } from './socketReader.ts';
import { TlsRefused, type TlsStarter } from './tls.ts';
import { type Served, type ServerParts, Transmission } from './transmission.ts';

const MAX_CONNECTIONS = 128;
/** Bytes of replies under way, over all connections. */
const REPLY_BYTES = 64 * MIB;
/** Bytes of writes under way, over all connections. */
const PAYLOAD_BYTES = 64 * MIB;
/** A client that chooses no export for so long is broken off. */
const NEGOTIATION_MS = 30_000;
/** A connection without traffic is probed after so long, so that a client that is gone ends. */
const KEEP_ALIVE_MS = 60_000;
/** Requests under way get so long to end when the server closes. */
const CLOSING_MS = 1000;
/** Replies to a client that is done get so long to be read. */
const LINGER_MS = 10_000;
/** Source of problems that belong to no export. */
const CLIENTS = 'clients';

export interface NbdServerOptions {
  readonly exports: readonly ServedDisk[];
  readonly address: ServeAddress;
  /** All clients must use TLS then. */
  readonly tls?: TlsStarter | undefined;
  /** Gets the text of each problem once: a read that failed, clients that were refused. */
  readonly onProblem?: ((text: string) => void) | undefined;
}

export class NbdServer {
  /** One for each export, such as `nbd+unix:///system?socket=/run/nbd.sock`. */
  readonly uris: readonly string[];
  readonly #server: Server;
  readonly #clients: Clients;
  #closing: Promise<void> | undefined;

  private constructor(server: Server, clients: Clients, uris: readonly string[]) {
    this.#server = server;
    this.#clients = clients;
    this.uris = uris;
  }

  /**
   * Starts to listen.
   *
   * @throws {@link UsageError} `USAGE_INVALID_OPTION` for an address that cannot be used,
   *   `USAGE_OUTPUT_EXISTS` for a socket path that exists
   */
  static async start(options: NbdServerOptions): Promise<NbdServer> {
    const { exports, address, tls } = options;
    const clients = new Clients(options);
    const server = createServer((socket) => clients.add(socket));
    server.maxConnections = MAX_CONNECTIONS;
    server.on('drop', () => clients.refuse());
    await listen(server, address, tls !== undefined);
    const uris = exports.map(({ name }) => uriOf(name, address, server, tls !== undefined));
    return new NbdServer(server, clients, uris);
  }

  get served(): Readonly<Served> {
    return this.#clients.served;
  }

  /** Breaks all clients off and stops. Requests under way get a second. May be called twice. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  async #close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    await this.#clients.close();
    await closed;
  }
}

/** The connections of a server. */
class Clients {
  readonly served: Served = {
    clients: 0,
    clientsInAll: 0,
    requests: 0,
    bytesRead: 0,
    bytesWritten: 0,
    failures: 0,
  };
  readonly #exports: readonly ServedDisk[];
  readonly #tls: TlsStarter | undefined;
  readonly #problems: Problems;
  readonly #parts: ServerParts;
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<Promise<void>>();

  constructor({ exports, tls, onProblem = () => {} }: NbdServerOptions) {
    this.#exports = exports;
    this.#tls = tls;
    this.#problems = new Problems(onProblem);
    this.#parts = {
      replies: new ByteBudget(REPLY_BYTES),
      payloads: new ByteBudget(PAYLOAD_BYTES),
      served: this.served,
      underWay: new Set(),
      isClosing: false,
    };
  }

  add(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const work = this.#serve(socket).finally(() => this.#connections.delete(work));
    this.#connections.add(work);
  }

  refuse(): void {
    this.#problems.add(CLIENTS, `${MAX_CONNECTIONS} are connected; more are refused`);
  }

  async close(): Promise<void> {
    this.#parts.isClosing = true;
    await Promise.race([
      Promise.all(this.#parts.underWay),
      wait(CLOSING_MS, undefined, { ref: false }),
    ]);
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#connections);
  }

  /** Never rejects: one client must not end the server. */
  async #serve(socket: Socket): Promise<void> {
    // A failed socket also fires `close`, which the reader sees.
    socket.on('error', () => {});
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const tooSlow = setTimeout(() => socket.destroy(), NEGOTIATION_MS).unref();
    let last = socket;
    try {
      const negotiated = await new Negotiation(socket, this.#exports, this.#tls).run();
      clearTimeout(tooSlow);
      if (!negotiated) return;
      last = negotiated.socket;
      const { name } = negotiated.chosen.served;
      const onFailure = ({ message, topic }: NbdFailure): void =>
        this.#problems.add(name, message, topic);
      this.served.clients++;
      this.served.clientsInAll++;
      await new Transmission({ ...negotiated, server: this.#parts, onFailure })
        .run()
        .finally(() => this.served.clients--);
    } catch (error) {
      if (!(error instanceof ConnectionEnded)) this.#problems.add(CLIENTS, reasonOf(error));
    } finally {
      clearTimeout(tooSlow);
      endSlowly(socket, last);
    }
  }
}

function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return error instanceof TlsRefused ? `one was refused by TLS: ${text}` : `one was cut: ${text}`;
}

/** Replies that were written may still be read, but not for ever. */
function endSlowly(socket: Socket, last: Socket): void {
  if (socket.destroyed) return;
  const limit = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(limit));
  last.destroySoon();
}
