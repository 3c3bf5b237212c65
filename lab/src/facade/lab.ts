/** The object that startLab gives, over parts that are up already. */
import { LabError } from '../errors.ts';
import type { LabImageioPlane } from '../dataPlane.ts';
import type { Engine } from '../state/core.ts';
import { EngineLabVm, findDisk } from './vm.ts';
import { leftoversOf } from './leftovers.ts';
import { addLabVm } from './setup.ts';
import type { SsoSessions } from '../api/http/sso.ts';
import type { LabServer } from '../http/server.ts';
import type {
  Lab,
  LabBehaviour,
  LabDisk,
  LabFaults,
  LabRequest,
  LabTraffic,
  LabVm,
  LabVmSpec,
} from '../types.ts';

/** Parts of a lab that is up. */
export interface LabParts {
  readonly username: string;
  readonly password: string;
  readonly caPem: string;
  readonly faults: LabFaults;
  readonly behaviour: LabBehaviour;
  readonly requests: readonly LabRequest[];
  readonly secrets: ReadonlySet<string>;
  readonly engine: Engine;
  readonly sessions: SsoSessions;
  readonly server: LabServer;
  readonly imageio: LabImageioPlane;
}

export class EngineLab implements Lab {
  readonly username: string;
  readonly password: string;
  readonly caPem: string;
  readonly faults: LabFaults;
  readonly behaviour: LabBehaviour;
  readonly requests: readonly LabRequest[];
  readonly url: string;
  readonly #parts: LabParts;
  /** One object per VM, so that two calls return the same one. */
  readonly #vms = new Map<string, LabVm>();

  constructor(parts: LabParts) {
    this.#parts = parts;
    this.username = parts.username;
    this.password = parts.password;
    this.caPem = parts.caPem;
    this.faults = parts.faults;
    this.behaviour = parts.behaviour;
    this.requests = parts.requests;
    this.url = `${parts.server.origin}/ovirt-engine`;
  }

  get traffic(): LabTraffic {
    return this.#parts.imageio.traffic;
  }

  get vms(): readonly LabVm[] {
    return [...this.#parts.engine.vms.keys()].map((id) => this.#labVm(id));
  }

  addVm(spec: LabVmSpec): LabVm {
    return this.#labVm(addLabVm(this.#parts.engine, spec).id);
  }

  vm(nameOrId: string): LabVm {
    const vm = this.vms.find(({ id, name }) => id === nameOrId || name === nameOrId);
    if (!vm) throw new LabError('LAB_NOT_FOUND', `the lab has no VM ${nameOrId}`);
    return vm;
  }

  disk(nameOrId: string): LabDisk {
    return findDisk(this.#parts.engine, nameOrId).data;
  }

  hasDisk(nameOrId: string): boolean {
    return [...this.#parts.engine.disks.values()].some(
      ({ id, name }) => id === nameOrId || name === nameOrId,
    );
  }

  events(): ReturnType<Lab['events']> {
    return this.#parts.engine.log.events.map(({ code, description, origin }) => ({
      code,
      description,
      origin,
    }));
  }

  leftovers(): readonly string[] {
    return leftoversOf(this.#parts.engine, this.#parts.imageio.ticketIds());
  }

  async restartImageio(): Promise<void> {
    await this.#parts.imageio.restart();
  }

  expireTokens(): void {
    this.#parts.sessions.expireAll();
  }

  secrets(): readonly string[] {
    return [...this.#parts.secrets];
  }

  async close(): Promise<void> {
    this.#parts.engine.scheduler.close();
    await Promise.all([this.#parts.server.close(), this.#parts.imageio.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #labVm(id: string): LabVm {
    const known = this.#vms.get(id);
    if (known) return known;
    const row = this.#parts.engine.vms.get(id);
    if (!row) throw new LabError('LAB_NOT_FOUND', `the lab has no VM ${id}`);
    const vm = new EngineLabVm(this.#parts.engine, row);
    this.#vms.set(id, vm);
    return vm;
  }
}
