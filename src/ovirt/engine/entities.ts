/** Entities of the engine after decoding: units in names, missing values undefined. */

export interface Disk {
  readonly id: string;
  readonly alias: string;
  readonly description: string;
  /** Format of the active volume: `cow` or `raw`. */
  readonly format: string;
  /** Setting of the disk: `incremental` or `none`. */
  readonly backup: string;
  /** `full` or `incremental`. Valid only in the disks of a backup that is ready. */
  readonly backupMode: string | undefined;
  readonly qcowVersion: string | undefined;
  readonly sparse: boolean;
  /** Undefined for a LUN. */
  readonly virtualSizeBytes: number | undefined;
  /** Bytes that the whole volume chain takes on the storage. */
  readonly totalSizeBytes: number;
  /** `ok`, `locked`, `illegal`; undefined for a LUN. */
  readonly status: string | undefined;
  readonly storageType: string;
  readonly contentType: string;
  readonly shareable: boolean;
  readonly storageDomainIds: readonly string[];
}

export interface DiskAttachment {
  /** Id of the disk. */
  readonly id: string;
  readonly active: boolean;
  readonly bootable: boolean;
  readonly interface: string;
  readonly readOnly: boolean;
  /** With `follow=disk` only. */
  readonly disk: Disk | undefined;
}

/** A compatibility or product version. */
export interface Version {
  readonly major: number;
  readonly minor: number;
}

export interface Vm {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly status: string;
  readonly origin: string;
  readonly clusterId: string | undefined;
  /** Only while the VM runs, and for users who may see hosts. */
  readonly hostId: string | undefined;
  /** OVF text. Only with `all_content=true`. */
  readonly ovf: string | undefined;
  /** Only with `follow=disk_attachments.disk`. */
  readonly attachments: readonly DiskAttachment[] | undefined;
}

/** A network card of a VM. */
export interface Nic {
  readonly id: string;
  readonly name: string;
  /** MAC address; empty when the engine shows none. */
  readonly mac: string;
}

export interface Backup {
  readonly id: string;
  readonly phase: string;
  readonly description: string;
  readonly toCheckpointId: string | undefined;
  /** The automatic snapshot of a hybrid backup. */
  readonly snapshotId: string | undefined;
}

export interface Checkpoint {
  readonly id: string;
  /** `created`, `invalid`. */
  readonly state: string;
  readonly description: string;
  readonly createdAtMs: number | undefined;
  /** Disks that have a change map since then. Only with `follow=disks`. */
  readonly diskIds: readonly string[] | undefined;
}

export interface ImageTransfer {
  readonly id: string;
  readonly phase: string;
  readonly direction: string | undefined;
  readonly diskId: string | undefined;
  readonly hostId: string | undefined;
  /** Secret, because its path is the ticket. Undefined while there is no ticket. */
  readonly transferUrl: string | undefined;
  /** URL of the proxy on the engine. Secret like `transferUrl`. */
  readonly proxyUrl: string | undefined;
}

export interface Snapshot {
  readonly id: string;
  readonly description: string;
  readonly status: string;
}

/** One layer of a disk. */
export interface Volume {
  readonly id: string;
  readonly format: string;
}

export interface EngineEvent {
  readonly code: number;
  readonly description: string;
  readonly severity: string;
}

export interface StorageDomain {
  readonly id: string;
  readonly name: string;
  /** `data`, `iso`, `export` … */
  readonly type: string;
  readonly status: string | undefined;
  readonly availableBytes: number | undefined;
  /** `nfs`, `iscsi`, `fcp` … */
  readonly storageType: string;
}

export interface Cluster {
  readonly id: string;
  readonly name: string;
  readonly version: Version | undefined;
}

export interface ApiRoot {
  readonly productName: string;
  readonly version: Version & { readonly build: number };
  readonly fullVersion: string;
}

export interface Fault {
  readonly reason: string;
  readonly detail: string;
}
