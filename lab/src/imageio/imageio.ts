/**
 * The ovirt-imageio daemon and the proxy in front of it: two ports, one store of tickets. A problem
 * with a ticket is 403. A connection that is idle for too long is closed.
 */
import type { Socket } from 'node:net';
import type { LabImageioPlane, LabServerIdentity, Ticket, TicketStatus } from '../dataPlane.ts';
import type { LabFaultList } from '../http/faults.ts';
import { closing, ImageioError, toErrorAnswer } from './errors.ts';
import {
  describeImage,
  describeServer,
  patchImage,
  readImage,
  type TicketRequest,
  writeImage,
} from './images.ts';
import { computeChecksum, listChecksumAlgorithms, listExtents } from './inspection.ts';
import { type TicketAccess, type TicketState, TicketStore } from './tickets.ts';
import { type LabHttpRequest, LabServer, type LabServerOptions } from '../http/server.ts';
import type { LabHttpResponse } from '../http/response.ts';
import { LabTrafficMeter } from '../http/traffic.ts';
import type { Lab, LabBehaviour, LabRequest } from '../types.ts';

const SERVER_HEADER = 'imageio/2.5.3';
const MAX_REQUEST_LINE_BYTES = 4096;
/** Idle time of a connection that has not used a ticket yet. */
const UNKNOWN_IDLE_MS = 60_000;
const TICKET_LIFE_MS = 300_000;

export interface LabImageioOptions {
  readonly identity: LabServerIdentity;
  readonly faults: LabFaultList;
  readonly lab: () => Lab;
  readonly behaviour: Pick<LabBehaviour, 'oldImageio'>;
  readonly record: (request: LabRequest) => void;
  /** Validity of a ticket after its last use or extension. @defaultValue 300 s */
  readonly ticketLifeMs?: number | undefined;
}

interface Route {
  readonly access: TicketAccess;
  readonly handle: (request: TicketRequest) => LabHttpResponse | Promise<LabHttpResponse>;
}

type Routes = Readonly<Partial<Record<string, Route>>>;

const IMAGE_ROUTES: Routes = {
  OPTIONS: { access: 'read', handle: describeImage },
  GET: { access: 'read', handle: readImage },
  PUT: { access: 'write', handle: writeImage },
  PATCH: { access: 'write', handle: patchImage },
};
const EXTENTS_ROUTES: Routes = { GET: { access: 'read', handle: listExtents } };
const CHECKSUM_ROUTES: Routes = { GET: { access: 'read', handle: computeChecksum } };
const ALGORITHMS_ROUTES: Routes = { GET: { access: 'read', handle: listChecksumAlgorithms } };

/** In imageio's order. The last pattern takes any other path below `/images/` for a ticket id. */
const PATHS: readonly (readonly [RegExp, Routes])[] = [
  [/^\/images\/(.*)\/extents$/, EXTENTS_ROUTES],
  [/^\/images\/(.*)\/checksum\/algorithms$/, ALGORITHMS_ROUTES],
  [/^\/images\/(.*)\/checksum$/, CHECKSUM_ROUTES],
  [/^\/images\/(.*)$/, IMAGE_ROUTES],
];

function findPath(
  path: string,
): { readonly ticketId: string; readonly routes: Routes } | undefined {
  for (const [pattern, routes] of PATHS) {
    const ticketId = pattern.exec(path)?.[1];
    if (ticketId !== undefined) return { ticketId, routes };
  }
  return undefined;
}

function ticketIdOf(request: LabHttpRequest): string {
  return findPath(request.path)?.ticketId ?? '';
}

export class LabImageio implements LabImageioPlane {
  readonly traffic: LabTrafficMeter = new LabTrafficMeter(() => this.#tickets.connectionCount);
  readonly #options: LabImageioOptions;
  readonly #tickets: TicketStore;
  readonly #servers: LabServer[] = [];
  /** Idle time by connection. The first ticket of a connection sets it. */
  readonly #idleMs = new WeakMap<Socket, number>();

  private constructor(options: LabImageioOptions) {
    this.#options = options;
    this.#tickets = new TicketStore(options.ticketLifeMs ?? TICKET_LIFE_MS);
  }

  static async start(options: LabImageioOptions): Promise<LabImageio> {
    const imageio = new LabImageio(options);
    for (let port = 0; port < 2; port++) {
      imageio.#servers.push(await LabServer.listen(imageio.#serverOptions()));
    }
    return imageio;
  }

  get directOrigin(): string {
    return this.#servers[0]?.origin ?? '';
  }

  get proxyOrigin(): string {
    return this.#servers[1]?.origin ?? '';
  }

  ticketIds(): readonly string[] {
    return this.#tickets.ids();
  }

  async addTicket(ticket: Ticket): Promise<void> {
    this.#tickets.add(ticket);
  }

  async ticketStatus(ticketId: string): Promise<TicketStatus | undefined> {
    return this.#tickets.get(ticketId)?.status();
  }

  extendTicket(ticketId: string): void {
    this.#tickets.get(ticketId)?.extend();
  }

  async removeTicket(ticketId: string): Promise<boolean> {
    const isUnused = this.#tickets.get(ticketId)?.cancel() ?? true;
    if (isUnused) this.#tickets.delete(ticketId);
    return isUnused;
  }

  async restart(): Promise<void> {
    this.#tickets.clear();
    for (const server of this.#servers) server.destroyConnections();
  }

  async close(): Promise<void> {
    this.#tickets.clear();
    await Promise.all(this.#servers.map((server) => server.close()));
  }

  #serverOptions(): LabServerOptions {
    const { identity, faults, lab, record } = this.#options;
    return {
      server: 'imageio',
      identity,
      faults,
      lab,
      record,
      headers: { server: SERVER_HEADER },
      describe: (request) => ({
        diskId: this.#tickets.get(ticketIdOf(request))?.ticket.target.diskId,
      }),
      handle: (request) => this.#handle(request),
      idleTimeoutMs: (socket) => this.#idleMs.get(socket) ?? UNKNOWN_IDLE_MS,
      dropTicket: (request) => this.#tickets.delete(ticketIdOf(request)),
    };
  }

  async #handle(request: LabHttpRequest): Promise<LabHttpResponse> {
    try {
      return await this.#route(request);
    } catch (error) {
      return toErrorAnswer(error);
    }
  }

  async #route(request: LabHttpRequest): Promise<LabHttpResponse> {
    const { method, path } = request;
    if (`${method} ${request.rawPath} HTTP/1.1`.length > MAX_REQUEST_LINE_BYTES) {
      throw new ImageioError(414, 'Request line is too long', { connection: 'close' });
    }
    const found = findPath(path);
    const isKnown = found?.routes === IMAGE_ROUTES || !this.#options.behaviour.oldImageio;
    if (!found || !isKnown) throw new ImageioError(404, `No handler for '${path}'`);
    const route =
      this.#options.behaviour.oldImageio && method === 'OPTIONS' ? undefined : found.routes[method];
    if (!route) {
      const error = new ImageioError(405, `Method '${method}' not defined for '${path}'`);
      throw request.body.length > 0 ? closing(error) : error;
    }
    if (found.ticketId === '') throw new ImageioError(400, 'Ticket id is required');
    if (found.routes === ALGORITHMS_ROUTES) return listChecksumAlgorithms();
    if (method === 'OPTIONS' && found.ticketId === '*') return describeServer();
    const state = await this.#authorize(request, found.ticketId, route.access);
    return await route.handle({ request, state, traffic: this.traffic });
  }

  async #authorize(
    request: LabHttpRequest,
    ticketId: string,
    access: TicketAccess,
  ): Promise<TicketState> {
    const state = this.#tickets.authorize(ticketId, access);
    const { socket } = request;
    if (!this.#idleMs.has(socket)) this.#idleMs.set(socket, state.ticket.inactivityTimeoutMs);
    const served = state.connect(socket);
    this.traffic.sawConnections(state.connectionCount);
    await served;
    // The ticket may have ended while the connection waited.
    return this.#tickets.authorize(ticketId, access);
  }
}
