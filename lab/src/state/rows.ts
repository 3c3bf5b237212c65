/**
 * The rows of the simulated engine's database: plain mutable records, one type per entity.
 * Only engineState.ts holds them; phases and statuses are named as the API shows them.
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
  /** Hosts older than 4.4.5 cannot back up a running VM. */
  readonly version: readonly [number, number, number];
  readonly hardwareId: string;
}

/** One volume of a disk's chain below the active one. */
export interface VolumeRow {
  readonly id: string;
  readonly snapshotId: string;
  readonly format: LabDiskFormat;
  /** Content as of the snapshot. */
  readonly view: FrozenView;
}

/** An exclusive lock of the engine, apart from the status that the API shows. */
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
  /** Set by each backup that touches the disk; stale afterwards. */
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
  readonly name: string;
  readonly interface: string;
  readonly mac: string;
}

export interface VmRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  status: LabVmStatus;
  /** Undefined: the version of the cluster. */
  readonly customCompatibility: readonly [number, number] | undefined;
  readonly clusterId: string;
  readonly origin: string;
  readonly previewsSnapshot: boolean;
  readonly memoryBytes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly osType: string;
  readonly biosType: string;
  readonly createdAt: Date;
  attachments: AttachmentRow[];
  readonly nics: readonly NicRow[];
  /** Another operation of the engine holds the VM (a snapshot is being made, …). */
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
  /** Name of the new bitmaps; undefined for a legacy backup of raw disks only. */
  readonly toCheckpointId: string | undefined;
  readonly hostId: string | undefined;
  snapshotId: string | undefined;
  readonly requiresConsistency: boolean;
  readonly isForeign: boolean;
  /** The API hides disks and checkpoint until the backup is ready. */
  wasReady: boolean;
  /** A hybrid backup was told to stop. */
  isStopped: boolean;
  /** Ends as failed whatever happens next. */
  isAborting: boolean;
  readonly diskIds: readonly string[];
  readonly modes: ReadonlyMap<string, 'full' | 'incremental'>;
  /** Frozen content by disk id; kept after the end for the tests. */
  readonly views: Map<string, FrozenView>;
  /** Bitmaps whose union is dirty, by disk id of incremental disks; fixed when the view is frozen. */
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
  /** Polls in a row that saw the ticket idle for too long, or everything read and nothing going on. */
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
