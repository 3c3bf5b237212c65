/** Sessions that have a place, and whether the limits allow one more. */

/** A session, with what limits count. */
export interface GatedSession {
  /** Id of the VM, or its name where the id is unknown. */
  readonly vm: string;
  /** Storage domains that it reads from. */
  readonly domainIds: readonly string[];
  /** Hypervisor host of the VM; undefined while it is down, or where the engine hides it. */
  readonly hostId: string | undefined;
}

export interface GateLimits {
  /** Sessions of the engine at once. */
  readonly parallelVms: number | undefined;
  /** Sessions at once that read from the same storage domain. */
  readonly perStorageDomain: number | undefined;
  /** Sessions at once that read from VMs on the same host. */
  readonly perHost: number | undefined;
}

/** Counts by key. Keys without any are forgotten. */
class Counts {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  change(key: string, by: 1 | -1): void {
    const count = this.of(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}

/** Sessions that have a place. */
export class PlacedSessions {
  readonly #vms = new Set<string>();
  readonly #domains = new Counts();
  readonly #hosts = new Counts();

  /** A VM has one session at a time. */
  has(vm: string): boolean {
    return this.#vms.has(vm);
  }

  isFull({ parallelVms = Infinity }: GateLimits): boolean {
    return this.#vms.size >= parallelVms;
  }

  /** True when one more session on these domains and this host is within the limits. */
  hasRoom({ domainIds, hostId }: Omit<GatedSession, 'vm'>, limits: GateLimits): boolean {
    const { perStorageDomain = Infinity, perHost = Infinity } = limits;
    if (hostId !== undefined && this.#hosts.of(hostId) >= perHost) return false;
    return domainIds.every((id) => this.#domains.of(id) < perStorageDomain);
  }

  add(session: GatedSession): void {
    this.#vms.add(session.vm);
    this.#change(session, 1);
  }

  remove(session: GatedSession): void {
    this.#vms.delete(session.vm);
    this.#change(session, -1);
  }

  #change({ domainIds, hostId }: GatedSession, by: 1 | -1): void {
    for (const id of domainIds) this.#domains.change(id, by);
    if (hostId !== undefined) this.#hosts.change(hostId, by);
  }
}
