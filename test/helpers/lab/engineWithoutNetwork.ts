/**
 * The lab's engine without a network, with the clock of the test: for phases that are too short to
 * be seen over HTTPS. Needs fake timers.
 */
import { PassThrough } from 'node:stream';
import { vi } from 'vitest';
import { MIB } from '../../../src/core/units.ts';
import type { LabDataPlane, Ticket, TicketStatus } from '../../../lab/src/dataPlane.ts';
import { Engine } from '../../../lab/src/state/core.ts';
import { EngineHttp } from '../../../lab/src/api/http/engineHttp.ts';
import { EngineLabVm } from '../../../lab/src/facade/vm.ts';
import { Router } from '../../../lab/src/api/http/router.ts';
import { ENGINE_ROUTES } from '../../../lab/src/api/routes/allRoutes.ts';
import { EngineScheduler } from '../../../lab/src/state/scheduler.ts';
import {
  addLabVm,
  createClusters,
  createDomains,
  createHosts,
} from '../../../lab/src/facade/setup.ts';
import { SsoSessions } from '../../../lab/src/api/http/sso.ts';
import { createBehaviour } from '../../../lab/src/facade/start.ts';
import type { LabVm, LabVmSpec } from '../../../lab/src/index.ts';
import type { LabHttpRequest } from '../../../lab/src/http/server.ts';
import type { LabHttpResponse } from '../../../lab/src/http/response.ts';
import type { Json } from './engineClient.ts';

const IDLE: TicketStatus = { active: false, idleMs: 0, transferredBytes: 0 };

export class FakePlane implements LabDataPlane {
  readonly directOrigin = 'https://direct';
  readonly proxyOrigin = 'https://proxy';
  readonly tickets = new Map<string, Ticket>();
  readonly extended: string[] = [];
  status: TicketStatus = IDLE;
  isBusy = false;
  addTicket = vi.fn(async (ticket: Ticket): Promise<void> => {
    this.tickets.set(ticket.id, ticket);
  });

  async ticketStatus(ticketId: string): Promise<TicketStatus | undefined> {
    return this.tickets.has(ticketId) ? this.status : undefined;
  }

  extendTicket(ticketId: string): void {
    this.extended.push(ticketId);
  }

  async removeTicket(ticketId: string): Promise<boolean> {
    if (!this.isBusy) this.tickets.delete(ticketId);
    return !this.isBusy;
  }

  async close(): Promise<void> {
    this.tickets.clear();
  }
}

export interface BenchAnswer {
  readonly status: number;
  readonly json: Json;
}

export class EngineBench {
  readonly plane = new FakePlane();
  readonly engine: Engine;
  readonly #http: EngineHttp;
  #token = '';

  constructor() {
    this.engine = new Engine({
      scheduler: new EngineScheduler(1),
      behaviour: createBehaviour(),
      domains: createDomains(),
      clusters: createClusters(),
      hosts: createHosts(),
      plane: this.plane,
      recordSecret: () => undefined,
    });
    this.#http = new EngineHttp({
      engine: this.engine,
      sessions: new SsoSessions({
        username: 'me@here',
        password: 'secret',
        idleMs: Number.POSITIVE_INFINITY,
        recordSecret: (token) => {
          this.#token = token;
        },
      }),
      router: new Router(ENGINE_ROUTES),
      caPem: '',
    });
  }

  /** A VM with one small disk `root`, unless told otherwise. */
  addVm(spec: Partial<LabVmSpec> = {}): LabVm {
    const disks = [{ name: 'root', sizeBytes: MIB }];
    return new EngineLabVm(this.engine, addLabVm(this.engine, { name: 'vm', disks, ...spec }));
  }

  /** Moves the engine's clock on. */
  async pass(seconds: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(seconds * 1000);
  }

  async call(method: string, path: string, body?: object): Promise<BenchAnswer> {
    if (this.#token === '') await this.#login();
    const text = body === undefined ? '' : JSON.stringify(body);
    const answer = await this.#send(method, `/ovirt-engine/api${path}`, text);
    return { status: answer.status, json: JSON.parse((answer.body as string) ?? '{}') as Json };
  }

  async get(path: string): Promise<Json> {
    const { status, json } = await this.call('GET', path);
    if (status !== 200) throw new Error(`${path} answered ${status}`);
    return json;
  }

  /** Phases of an entity, read every quarter of a second. */
  async phasesUntil(path: string, last: string): Promise<string[]> {
    const seen: string[] = [];
    for (let look = 0; look < 1000; look++) {
      const { phase } = await this.get(path);
      if (seen.at(-1) !== phase) seen.push(phase as string);
      if (phase === last) return seen;
      await this.pass(0.25);
    }
    throw new Error(`${path} was ${seen.join(', ')}, never ${last}`);
  }

  close(): void {
    this.engine.scheduler.close();
  }

  async #login(): Promise<void> {
    const form = { grant_type: 'password', scope: 'ovirt-app-api', username: 'me@here' };
    const body = new URLSearchParams({ ...form, password: 'secret' }).toString();
    await this.#send('POST', '/ovirt-engine/sso/oauth/token', body);
  }

  async #send(method: string, rawPath: string, body: string): Promise<LabHttpResponse> {
    const [path = '', query = ''] = rawPath.split('?');
    const request: LabHttpRequest = {
      method,
      path,
      rawPath,
      query: new URLSearchParams(query),
      headers: { accept: 'application/json', authorization: `Bearer ${this.#token}` },
      body: Buffer.from(body),
      socket: new PassThrough() as unknown as LabHttpRequest['socket'],
      corruptExtents: undefined,
    };
    return await this.#http.handle(request);
  }
}
