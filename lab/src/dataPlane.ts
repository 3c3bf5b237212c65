/**
 * What the engine half of the lab asks of the half that serves image data. The control socket of the real
 * ovirt-imageio daemon has the same verbs, so that the daemon can take this place.
 */
import type { LabDisk, LabDiskFormat, LabTraffic, LabView } from './types.ts';

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
  /** Where the content is an image of QEMU: then a data plane serves that, and calls none of the above. */
  readonly image?: TargetImage | undefined;
}

/** An image file of QEMU, as its storage server is to open it, or what a running QEMU exports already. */
export interface TargetImage {
  /** Of an export: its unix socket. */
  readonly path: string;
  /** The format of a file; `export` for what is served already. */
  readonly format: 'qcow2' | 'raw' | 'export';
  /** Name of an export. */
  readonly exportName?: string | undefined;
  /** Bitmaps of the image whose union is dirty, or the one bitmap of an export; undefined for the zero context. */
  readonly bitmaps: readonly string[] | undefined;
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
  /** @throws whatever kept it from asking; the engine asks again */
  ticketStatus(ticketId: string): Promise<TicketStatus | undefined>;
  /** Renews the validity of a ticket; the engine does so as long as it watches the transfer. */
  extendTicket(ticketId: string): void;
  /** False when operations are still running: the caller tries again. */
  removeTicket(ticketId: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A data plane with what tests ask of it. */
export interface LabImageioPlane extends LabDataPlane {
  readonly traffic: LabTraffic;
  /** Tickets that exist; for what a client should have cleaned up. */
  ticketIds(): readonly string[];
  /** All tickets and connections are gone, the addresses stay. */
  restart(): Promise<void>;
}

/** A frozen view with the change map that a backup transfer may show. */
export interface FrozenView extends LabView {
  /** @param bitmaps - names whose union is dirty; undefined for the zero context. */
  extents(bitmaps: readonly string[] | undefined): ViewExtent[];
  /** Where the view is an image of QEMU. */
  image?(bitmaps: readonly string[] | undefined): TargetImage;
  /** The engine does not serve this view any more: what was written meanwhile is merged into it. */
  release?(): void;
}

/** What a backup asks of the frozen moment besides the content. */
export interface FreezeMarks {
  /** Bitmaps whose union the backup will read; none for a full one. */
  readonly bases: readonly string[];
  /** A new bitmap, which records from this moment on. */
  readonly bitmap: string | undefined;
}

/** The content of a disk, as the engine handles it. */
export interface DiskContent extends LabDisk {
  /**
   * The present content and bitmaps, closed to everything that comes later. The new bitmap begins in the same
   * step: no guest write is in both or in neither.
   */
  freeze(marks?: FreezeMarks): FrozenView;
  /** Removes a bitmap; the next older one takes over what it recorded. */
  removeBitmap(name: string): void;
  dropBitmaps(): void;
  /** Whether a host can serve the union of these bitmaps: all of them are there and none is broken. */
  canServe(names: readonly string[]): boolean;
  /** What the ticket of an upload writes to. */
  uploadTarget(): TicketTarget;
  /** Gives back what uploads have allocated; for a disk that is deleted. */
  releaseStorage(): void;
}

/** What a disk is made of. */
export interface DiskContentSpec {
  readonly id: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly format: LabDiskFormat;
  readonly sparse: boolean;
}

export interface LabServerIdentity {
  readonly keyPem: string;
  readonly certPem: string;
}

export interface LabAuthority {
  readonly caPem: string;
  /** A server certificate for 127.0.0.1 and localhost. */
  issue(): LabServerIdentity;
}

/** Takes the place of the lab's own disks and imageio: real files and a real daemon. */
export interface LabBackend {
  createContent(spec: DiskContentSpec): DiskContent;
  /** Its certificates come from the lab's CA, as on a real installation. */
  startImageio(authority: LabAuthority): Promise<LabImageioPlane>;
}
