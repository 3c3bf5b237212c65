/**
 * Tickets of imageio: access, idle time, transferred bytes, connections. Completed operations and
 * OPTIONS restart both clocks, `extents` does not (imageio: `auth.py`). At most eight connections
 * are served, the others wait (qemu-nbd).
 */
import type { Socket } from 'node:net';
import type { Ticket, TicketStatus } from '../dataPlane.ts';
import { forbidden } from './errors.ts';
import { RangeSet } from '../disks/rangeSet.ts';

/** imageio reports it as max_readers and max_writers. qemu-nbd enforces it. */
export const MAX_CONNECTIONS = 8;

export type TicketAccess = 'read' | 'write';

/** An operation in progress. The caller calls `end` once. */
export interface TicketOperation {
  /** @param doneBytes - bytes done from `offsetBytes` on, whether it succeeded or not */
  end(offsetBytes: number, doneBytes: number): void;
}

export class TicketState {
  readonly ticket: Ticket;
  readonly #lifeMs: number;
  readonly #covered = new RangeSet();
  readonly #running = new Map<TicketOperation, Socket>();
  readonly #served = new Set<Socket>();
  /** Connections beyond the limit, first come first served. */
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
    // A write ticket may also read, to verify an upload.
    if (access === 'write' && mode === 'read') {
      throw forbidden(`Transfer=${transferId} forbids ${access}`);
    }
  }

  /** Renews the validity, as the engine does at every poll. */
  extend(): void {
    this.#expiresAtMs = performance.now() + this.#lifeMs;
  }

  /** Restarts idle time and validity. */
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

  /** Resolves when the connection is served. That may never happen. */
  connect(socket: Socket): Promise<void> {
    if (this.#served.has(socket) || socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.set(socket, resolve);
      socket.once('close', () => this.#disconnect(socket));
      this.#serveNext();
    });
  }

  /**
   * Ends the ticket. Later requests are refused, operations in progress stop at their next piece,
   * idle connections are closed.
   * @returns true when no operation is in progress
   */
  cancel(): boolean {
    this.#isCancelled = true;
    const busy = new Set(this.#running.values());
    for (const socket of [...this.#served, ...this.#waiting.keys()]) {
      // The end of an answer may not have been sent yet.
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

  /** Forgets a ticket, as a restart does. Operations in progress may finish. */
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
