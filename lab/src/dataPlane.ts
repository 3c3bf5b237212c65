/**
 * The interface between the engine and the part that serves image data. The control socket of the
 * real ovirt-imageio daemon has the same operations. Tests can put that daemon in its place.
 */
import type { LabDisk, LabDiskFormat, LabTraffic, LabView } from './types.ts';

/**
 * A range of a disk: whole 64 KiB granules, except that the last granule of the disk may be short.
 */
export interface ViewExtent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly zero: boolean;
  readonly hole: boolean;
  /** Only in the dirty context. */
  readonly dirty?: boolean | undefined;
}

/** Content behind a ticket: a frozen view of a backup, or a disk that is written. */
export interface TicketTarget {
  readonly diskId: string;
  readonly sizeBytes: number;
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** Ascending and without gaps, to the end of the disk. Neighbours with equal flags are merged. */
  extents(context: 'zero' | 'dirty'): ViewExtent[];
  /** Absent for a read-only target. @throws an Error with code ENOSPC when the storage is full */
  write?(offsetBytes: number, bytes: Uint8Array): void;
  zero?(offsetBytes: number, lengthBytes: number): void;
  /**
   * Set when the content is an image of QEMU. The data plane then serves that image and calls none
   * of the methods above.
   */
  readonly image?: TargetImage | undefined;
}

/** An image for QEMU's storage server: a file, or an export of a QEMU that is up. */
export interface TargetImage {
  /** Path of the file, or of the unix socket of an export. */
  readonly path: string;
  /** Format of a file, or `export`. */
  readonly format: 'qcow2' | 'raw' | 'export';
  /** Name of an export. */
  readonly exportName?: string | undefined;
  /**
   * Bitmaps of the file whose union is dirty, or the one bitmap of an export. Undefined in the zero
   * context.
   */
  readonly bitmaps: readonly string[] | undefined;
}

export interface Ticket {
  /** Secret. The last part of the image URL. */
  readonly id: string;
  readonly transferId: string;
  readonly target: TicketTarget;
  readonly mode: 'read' | 'write';
  /** True when the dirty context is served. */
  readonly dirty: boolean;
  readonly inactivityTimeoutMs: number;
}

export interface TicketStatus {
  /** True while an operation is in progress. */
  readonly active: boolean;
  /** Time since the last completed operation or OPTIONS. */
  readonly idleMs: number;
  /** Bytes read or written. A byte counts once. */
  readonly transferredBytes: number;
}

export interface LabDataPlane {
  /** `https://127.0.0.1:PORT`, without path. */
  readonly directOrigin: string;
  readonly proxyOrigin: string;
  addTicket(ticket: Ticket): Promise<void>;
  /**
   * Undefined for an unknown ticket. @throws an Error when imageio cannot be asked; the engine asks
   * again
   */
  ticketStatus(ticketId: string): Promise<TicketStatus | undefined>;
  /** Renews the validity of a ticket. The engine does so at every poll of the transfer. */
  extendTicket(ticketId: string): void;
  /** False while operations are in progress: the caller tries again. */
  removeTicket(ticketId: string): Promise<boolean>;
  close(): Promise<void>;
}

/** A data plane, with what tests need in addition. */
export interface LabImageioPlane extends LabDataPlane {
  readonly traffic: LabTraffic;
  /** Ids of all tickets. */
  ticketIds(): readonly string[];
  /** Drops all tickets and connections. The addresses stay. */
  restart(): Promise<void>;
}

/** A frozen view with its change map. */
export interface FrozenView extends LabView {
  /** @param bitmaps - names whose union is dirty; undefined for the zero context. */
  extents(bitmaps: readonly string[] | undefined): ViewExtent[];
  /** Present when the view is an image of QEMU. */
  image?(bitmaps: readonly string[] | undefined): TargetImage;
  /** The engine serves this view no longer. Writes since then are merged into it. */
  release?(): void;
}

/** Facts of a backup at the frozen moment, without the content. */
export interface FreezeMarks {
  /** Bitmaps whose union the backup will read; empty for a full backup. */
  readonly bases: readonly string[];
  /** Name of a new bitmap, which records from this moment on. */
  readonly bitmap: string | undefined;
}

/** Content of a disk for the engine. */
export interface DiskContent extends LabDisk {
  /**
   * The present content and bitmaps; later writes do not change them. The new bitmap begins in the
   * same step. A guest write is in the view or in the new bitmap, never in both or neither.
   */
  freeze(marks?: FreezeMarks): FrozenView;
  /** Removes a bitmap. The next older one takes over its granules. */
  removeBitmap(name: string): void;
  dropBitmaps(): void;
  /** True when all these bitmaps exist and none is broken, so that a host can serve their union. */
  canServe(names: readonly string[]): boolean;
  /** Target of an upload's ticket. */
  uploadTarget(): TicketTarget;
  /** Frees the space that uploads have taken. For a disk that is deleted. */
  releaseStorage(): void;
}

/** Properties of a new disk. */
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

/** Replaces the lab's own disks and imageio by others, such as real files and a real daemon. */
export interface LabBackend {
  createContent(spec: DiskContentSpec): DiskContent;
  /** The certificates come from the lab's CA, as on a real installation. */
  startImageio(authority: LabAuthority): Promise<LabImageioPlane>;
}
