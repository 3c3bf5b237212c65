/**
 * What the engine half of the lab asks of the half that serves image data. The control socket of the real
 * ovirt-imageio daemon has the same verbs, so that the daemon can take this place.
 */
import type { LabView } from './types.ts';

/** A range of a disk in 64 KiB granules (the last one may be short); offsets in bytes. */
export interface ViewExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
  readonly hole: boolean;
  /** Only in the dirty context. */
  readonly dirty?: boolean | undefined;
}

/** What a ticket gives access to: a frozen view of a backup, or a disk that is being written. */
export interface TicketTarget {
  readonly diskId: string;
  readonly sizeBytes: number;
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** Ascending, without gap, to the end; neighbours with equal flags merged. */
  extents(context: 'zero' | 'dirty'): ViewExtent[];
  /** Absent for a read-only target. @throws an Error with code ENOSPC when the storage is full */
  write?(offsetBytes: number, bytes: Uint8Array): void;
  zero?(offsetBytes: number, lengthBytes: number): void;
}

export interface Ticket {
  /** Secret; last part of the image URL. */
  readonly id: string;
  readonly transferId: string;
  readonly target: TicketTarget;
  readonly mode: 'read' | 'write';
  /** Whether the dirty context is served. */
  readonly dirty: boolean;
  readonly inactivityTimeoutMs: number;
}

export interface TicketStatus {
  /** Operations that run at this moment. */
  readonly active: boolean;
  /** Since the last completed operation or OPTIONS. */
  readonly idleMs: number;
  /** Covered byte ranges, counted once. */
  readonly transferredBytes: number;
}

export interface LabDataPlane {
  /** `https://127.0.0.1:PORT`, without path. */
  readonly directOrigin: string;
  readonly proxyOrigin: string;
  addTicket(ticket: Ticket): Promise<void>;
  ticketStatus(ticketId: string): TicketStatus | undefined;
  /** Renews the validity of a ticket; the engine does so as long as it watches the transfer. */
  extendTicket(ticketId: string): void;
  /** False when operations are still running: the caller tries again. */
  removeTicket(ticketId: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A frozen view with the change map that a backup transfer may show. */
export interface FrozenView extends LabView {
  /** @param bitmaps - names whose union is dirty; undefined for the zero context. */
  extents(bitmaps: readonly string[] | undefined): ViewExtent[];
}
