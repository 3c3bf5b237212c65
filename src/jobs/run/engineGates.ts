/**
 * Limits that all jobs of a process share: sessions of an engine, of a VM, and of a storage domain.
 * Each job asks with its own limits, and all sessions count.
 */
import type { EngineConfig } from '../jobFile.ts';

/** A session that wants to start. */
export interface GatedSession {
  /** Id of the VM, or its name where the id is unknown. */
  readonly vm: string;
  /** Storage domains that it reads from. */
  readonly domainIds: readonly string[];
}

export interface GateLimits {
  /** Sessions of the engine at once. */
  readonly parallelVms: number | undefined;
  /** Sessions at once that read from the same storage domain. */
  readonly perStorageDomain: number | undefined;
}

/** Sessions of one engine that run in this process. */
export class EngineGate {
  readonly #vms = new Set<string>();
  readonly #domains = new Map<string, number>();
  #wake: () => void = () => {};
  #change: Promise<void>;

  constructor() {
    this.#change = this.#nextChange();
  }

  /** Settles when a session leaves. */
  get change(): Promise<void> {
    return this.#change;
  }

  /** @returns false when the session has to wait: a VM has one session at a time. */
  tryEnter({ vm, domainIds }: GatedSession, limits: GateLimits): boolean {
    const { parallelVms = Infinity, perStorageDomain = Infinity } = limits;
    if (this.#vms.size >= parallelVms || this.#vms.has(vm)) return false;
    if (domainIds.some((id) => this.#countOf(id) >= perStorageDomain)) return false;
    this.#vms.add(vm);
    for (const id of domainIds) this.#domains.set(id, this.#countOf(id) + 1);
    return true;
  }

  leave({ vm, domainIds }: GatedSession): void {
    this.#vms.delete(vm);
    for (const id of domainIds) this.#domains.set(id, this.#countOf(id) - 1);
    const wake = this.#wake;
    this.#change = this.#nextChange();
    wake();
  }

  #countOf(domainId: string): number {
    return this.#domains.get(domainId) ?? 0;
  }

  async #nextChange(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** The gates of all engines. The jobs of a process share one object. */
export class EngineGates {
  readonly #gates = new Map<string, EngineGate>();

  /** Two names of one engine in the job file share a gate. */
  of({ url }: Pick<EngineConfig, 'url'>): EngineGate {
    const key = (URL.canParse(url) ? new URL(url).href : url).replace(/\/+$/, '');
    const known = this.#gates.get(key);
    if (known) return known;
    const gate = new EngineGate();
    this.#gates.set(key, gate);
    return gate;
  }
}
