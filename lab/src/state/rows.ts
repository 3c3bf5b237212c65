/**
 * Rows of the simulated engine's database: plain mutable records, one type per entity. Only Engine
 * (core.ts) holds them. Phases and statuses have the names of the API.
 */
import type { DiskContent, FrozenView } from '../dataPlane.ts';
import type { EngineTimer } from './scheduler.ts';
import type { LabStorage } from '../disks/labDisk.ts';
import type { LabDiskFormat, LabVmStatus } from '../types.ts';

export interface StorageDomainRow {
  readonly id: string;
  readonly name: string;
  readonly type: 'nfs' | 'iscsi' | 'fcp';
  readonly storage: LabStorage;
}

export interface ClusterRow {
  readonly id: string;
  readonly name: string;
  readonly major: number;
  readonly minor: number;
}

export interface HostRow {
  readonly id: string;
  readonly name: string;
  /** Hosts older than 4.4.5 cannot back up a VM that is up. */
  readonly version: readonly [number, number, number];
  readonly hardwareId: string;
}

/** A volume of a disk below the active one. */
export interface VolumeRow {
  readonly id: string;
  readonly snapshotId: string;
  readonly format: LabDiskFormat;
  /** Content at the time of the snapshot. */
  readonly view: FrozenView;
}

/** An exclusive lock inside the engine. The API shows only the status of a disk. */
export interface DiskLock {
  readonly kind: 'transfer' | 'backup' | 'operation';
  readonly ownerId: string;
}

export interface DiskRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  format: LabDiskFormat;
  sparse: boolean;
  backup: 'none' | 'incremental';
  qcowVersion: 'qcow2_v2' | 'qcow2_v3' | undefined;
  status: 'ok' | 'locked' | 'illegal';
  readonly storageType: 'image' | 'lun';
  readonly contentType: string;
  readonly shareable: boolean;
  readonly wipeAfterDelete: boolean;
  readonly domainId: string;
  readonly initialSizeBytes: number;
  /** Id of the active volume. */
  imageId: string;
  /** Mode in the last backup of the disk. Not reset after it. */
  backupMode: 'full' | 'incremental' | undefined;
  lock: DiskLock | undefined;
  /** Older volumes, base first. */
  readonly volumes: VolumeRow[];
  readonly data: DiskContent;
}

export interface AttachmentRow {
  readonly diskId: string;
  active: boolean;
  readonly bootable: boolean;
  readonly readOnly: boolean;
  readonly passDiscard: boolean;
  readonly interface: string;
}

export interface NicRow {
  readonly id: string;
  readonly name: string;
  readonly interface: string;
  mac: string;
}

export interface VmRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  status: LabVmStatus;
  /** Undefined when the VM has the version of its cluster. */
  readonly customCompatibility: readonly [number, number] | undefined;
  readonly clusterId: string;
  /** Host that runs the VM, or would run it, see `hostOf`. */
  readonly hostId: string;
  readonly origin: string;
  readonly previewsSnapshot: boolean;
  readonly tags: readonly string[];
  readonly memoryBytes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly osType: string;
  readonly biosType: string;
  readonly createdAt: Date;
  attachments: AttachmentRow[];
  readonly nics: readonly NicRow[];
  /** Name of an operation that holds the VM, such as `snapshot`. */
  operation: string | undefined;
}

export interface SnapshotRow {
  readonly id: string;
  readonly vmId: string;
  readonly description: string;
  status: 'ok' | 'locked';
  readonly createdAt: Date;
  readonly withMemory: boolean;
}

export interface CheckpointRow {
  readonly id: string;
  readonly vmId: string;
  parentId: string | undefined;
  state: 'created' | 'invalid';
  readonly createdAt: Date;
  readonly description: string;
  /** Disks that have a bitmap of this checkpoint's name. */
  readonly diskIds: Set<string>;
}

export type BackupKind = 'hybrid' | 'live' | 'cold';

export type BackupPhase =
  | 'initializing'
  | 'starting'
  | 'ready'
  | 'finalizing'
  | 'succeeded'
  | 'failed';

export interface BackupRow {
  readonly id: string;
  readonly vmId: string;
  readonly kind: BackupKind;
  readonly description: string;
  phase: BackupPhase;
  readonly createdAt: Date;
  modifiedAt: Date;
  readonly fromCheckpointId: string | undefined;
  /** Also the name of the new bitmaps. Undefined for a legacy backup of raw disks only. */
  readonly toCheckpointId: string | undefined;
  readonly hostId: string | undefined;
  snapshotId: string | undefined;
  readonly requiresConsistency: boolean;
  readonly isForeign: boolean;
  /** The backup has been `ready`. The API hides disks and checkpoint before that. */
  wasReady: boolean;
  /** A stop was accepted. A hybrid backup acts on it later. */
  isStopped: boolean;
  /** The backup will end as `failed`. */
  isAborting: boolean;
  readonly diskIds: readonly string[];
  readonly modes: ReadonlyMap<string, 'full' | 'incremental'>;
  /** Frozen content by disk id. Kept after the end, for tests. */
  readonly views: Map<string, FrozenView>;
  /**
   * Names of the bitmaps whose union is dirty, by disk id. Incremental disks only; set at the
   * frozen moment.
   */
  readonly dirtyNames: Map<string, readonly string[]>;
  readonly correlationId: string;
  timer: EngineTimer | undefined;
}

export type TransferPhase =
  | 'initializing'
  | 'transferring'
  | 'resuming'
  | 'paused_user'
  | 'paused_system'
  | 'cancelled_user'
  | 'cancelled_system'
  | 'finalizing_success'
  | 'finalizing_failure'
  | 'finalizing_cleanup'
  | 'finished_success'
  | 'finished_failure'
  | 'finished_cleanup';

export interface TransferRow {
  readonly id: string;
  readonly diskId: string;
  readonly backupId: string | undefined;
  /** Id of the volume of a snapshot. */
  readonly volumeId: string | undefined;
  readonly direction: 'upload' | 'download';
  readonly format: LabDiskFormat;
  phase: TransferPhase;
  readonly hostId: string;
  readonly inactivitySeconds: number;
  readonly policy: 'legacy' | 'pause' | 'cancel';
  readonly shallow: boolean;
  readonly sizeBytes: number;
  ticketId: string | undefined;
  isActive: boolean;
  transferredBytes: number;
  /** Successive polls that found the ticket idle for too long. */
  idlePolls: number;
  donePolls: number;
  pollSeconds: number;
  /** The storage of an upload ran full. */
  ranFull: boolean;
  readonly correlationId: string;
  timer: EngineTimer | undefined;
}

export interface EventRow {
  readonly id: string;
  readonly code: number;
  readonly severity: 'normal' | 'warning' | 'error' | 'alert';
  readonly description: string;
  readonly origin: string;
  readonly customId: number;
  readonly correlationId: string | undefined;
  readonly vmId: string | undefined;
  readonly time: Date;
}
