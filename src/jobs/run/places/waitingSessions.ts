/** VMs of a run that wait for a place, in order. */
import type { GatedSession, GateLimits, PlacedSessions } from './placedSessions.ts';

interface Waiter<Session> {
  readonly session: Session;
  readonly order: number;
}

/**
 * VMs that wait, in order. VMs with the same needs form a group, so a look at thousands of them
 * costs no more than one at their hosts and storage domains.
 */
export class WaitingSessions<Session extends GatedSession> {
  readonly #limits: GateLimits;
  /** No group is empty. */
  readonly #groups = new Map<string, Waiter<Session>[]>();
  #size: number;

  /** A VM on several storage domains comes first: it rarely finds a place in all of them later. */
  constructor(sessions: readonly Session[], limits: GateLimits) {
    this.#limits = limits;
    this.#size = sessions.length;
    const isByDomain = limits.perStorageDomain !== undefined;
    const ordered = isByDomain
      ? sessions.toSorted((a, b) => b.domainIds.length - a.domainIds.length)
      : sessions;
    for (const [order, session] of ordered.entries()) this.#add({ session, order });
  }

  get size(): number {
    return this.#size;
  }

  /** The first VM that the limits allow. It stays. */
  first(placed: PlacedSessions): Session | undefined {
    if (placed.isFull(this.#limits)) return undefined;
    let best: Waiter<Session> | undefined;
    for (const group of this.#groups.values()) {
      const [head] = group;
      if (!head || (best && head.order > best.order)) continue;
      if (!placed.hasRoom(head.session, this.#limits)) continue;
      const free = group.find(({ session }) => !placed.has(session.vm));
      if (free && (!best || free.order < best.order)) best = free;
    }
    return best?.session;
  }

  remove(session: Session): void {
    const key = this.#keyOf(session);
    const group = this.#groups.get(key) ?? [];
    const index = group.findIndex((waiter) => waiter.session === session);
    if (index < 0) return;
    group.splice(index, 1);
    this.#size--;
    if (group.length === 0) this.#groups.delete(key);
  }

  #add(waiter: Waiter<Session>): void {
    const key = this.#keyOf(waiter.session);
    const group = this.#groups.get(key);
    if (group) group.push(waiter);
    else this.#groups.set(key, [waiter]);
  }

  /** What is not limited makes no difference. */
  #keyOf({ domainIds, hostId }: Session): string {
    const { perStorageDomain, perHost } = this.#limits;
    const domains = perStorageDomain === undefined ? [] : domainIds.toSorted();
    return JSON.stringify([perHost === undefined ? '' : (hostId ?? ''), domains]);
  }
}
