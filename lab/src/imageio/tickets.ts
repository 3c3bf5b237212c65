/**
 * Tickets of imageio: who may do what, since when a ticket is idle, what it has transferred, and which
 * connections use it. Completed operations and OPTIONS restart both clocks, `extents` does not (imageio:
 * `auth.py`); the server behind a ticket talks to eight connections and lets the others wait (qemu-nbd).
 */
import type { Socket } from 'node:net';
import type { Ticket, TicketStatus } from '../dataPlane.ts';
import { forbidden } from './errors.ts';
import { RangeSet } from '../disks/rangeSet.ts';

/** Advertised by imageio as max_readers and max_writers; enforced by qemu-nbd. */
export const MAX_CONNECTIONS = 8;

export type TicketAccess = 'read' | 'write';

/** A running operation; `end` has to be called once. */
export interface TicketOperation {
  /** @param doneBytes - how far it came from `offsetBytes`, whether it succeeded or not. */
  end(offsetBytes: number, doneBytes: number): void;
}

export class TicketState {
  readonly ticket: Ticket;
  readonly #lifeMs: number;
  readonly #covered = new RangeSet();
  readonly #running = new Map<TicketOperation, Socket>();
  readonly #served = new Set<Socket>();
  /** Connections beyond the limit, in the order of their coming. */
  readonly #waiting = new Map<Socket, () => void>();
  #lastUseMs: number;
  #expiresAtMs: number;
  #isCancelled = false;

  constructor(ticket: Ticket, lifeMs: number) {
    this.ticket = ticket;
    this.#lifeMs = lifeMs;
    this.#lastUseMs = performance.now();
    this.#expiresAtMs = this.#lastUseMs + lifeMs;
  }

  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  get connectionCount(): number {
    return this.#served.size + this.#waiting.size;
  }

  status(): TicketStatus {
    const active = this.#running.size > 0;
    return {
      active,
      idleMs: active ? 0 : performance.now() - this.#lastUseMs,
      transferredBytes: this.#covered.count,
    };
  }

  /** @throws ImageioError 403 */
  assertAllows(access: TicketAccess): void {
    const { transferId, mode } = this.ticket;
    if (this.#isCancelled) throw forbidden(`Transfer=${transferId} was canceled`);
    if (performance.now() > this.#expiresAtMs) throw forbidden(`Transfer=${transferId} expired`);
    // A write ticket may read too, to verify what was uploaded.
    if (access === 'write' && mode === 'read') {
      throw forbidden(`Transfer=${transferId} forbids ${access}`);
    }
  }

  /** What the engine does with a ticket that is about to expire. */
  extend(): void {
    this.#expiresAtMs = performance.now() + this.#lifeMs;
  }

  /** Restarts both clocks. */
  touch(): void {
    this.#lastUseMs = performance.now();
    this.extend();
  }

  begin(socket: Socket): TicketOperation {
    const operation: TicketOperation = {
      end: (offsetBytes, doneBytes) => {
        this.#running.delete(operation);
        this.#covered.add(offsetBytes, offsetBytes + doneBytes);
        this.touch();
      },
    };
    this.#running.set(operation, socket);
    return operation;
  }

  /** Resolves when a connection is among those that are served, which may be never. */
  connect(socket: Socket): Promise<void> {
    if (this.#served.has(socket) || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(socket, resolve);
      socket.once('close', () => this.#disconnect(socket));
      this.#serveNext();
    });
  }

  /**
   * Ends the ticket for all: later requests are refused, running ones stop at their next piece, idle
   * connections are closed.
   *
   * @returns whether nothing runs any more.
   */
  cancel(): boolean {
    this.#isCancelled = true;
    const busy = new Set(this.#running.values());
    for (const socket of [...this.#served, ...this.#waiting.keys()]) {
      // The end of an answer may still be on its way out.
      if (!busy.has(socket)) socket.destroySoon();
    }
    return busy.size === 0;
  }

  #disconnect(socket: Socket): void {
    this.#waiting.delete(socket);
    this.#served.delete(socket);
    this.#serveNext();
  }

  #serveNext(): void {
    for (const [socket, resolve] of this.#waiting) {
      if (this.#served.size >= MAX_CONNECTIONS) return;
      this.#waiting.delete(socket);
      this.#served.add(socket);
      resolve();
    }
  }
}

export class TicketStore {
  readonly #lifeMs: number;
  readonly #tickets = new Map<string, TicketState>();

  constructor(lifeMs: number) {
    this.#lifeMs = lifeMs;
  }

  add(ticket: Ticket): void {
    this.#tickets.set(ticket.id, new TicketState(ticket, this.#lifeMs));
  }

  get(ticketId: string): TicketState | undefined {
    return this.#tickets.get(ticketId);
  }

  /** Forgets a ticket, as a restart does; whoever works with it may finish. */
  delete(ticketId: string): void {
    this.#tickets.delete(ticketId);
  }

  clear(): void {
    this.#tickets.clear();
  }

  /** Connections to all tickets. */
  get connectionCount(): number {
    return [...this.#tickets.values()].reduce((sum, state) => sum + state.connectionCount, 0);
  }

  ids(): readonly string[] {
    return [...this.#tickets.keys()];
  }

  /** @throws ImageioError 403 */
  authorize(ticketId: string, access: TicketAccess): TicketState {
    const state = this.#tickets.get(ticketId);
    if (!state) throw forbidden(`No such ticket ${ticketId}`);
    state.assertAllows(access);
    return state;
  }
}
