/** Requests to the engine. `EngineApi` translates them into JSON. */

export interface StartBackup {
  readonly diskIds: readonly string[];
  readonly fromCheckpointId: string | undefined;
  readonly description: string;
  readonly requireConsistency: boolean;
}

export interface CreateTransfer {
  readonly diskId: string;
  readonly backupId?: string | undefined;
  readonly direction: 'download' | 'upload';
  readonly inactivityTimeoutSeconds: number;
  readonly timeoutPolicy: 'cancel' | 'pause';
}

/** A new disk for a restore. @see ovirt-engine AddDiskCommand for the allowed combinations */
export interface CreateDisk {
  readonly name: string;
  readonly description: string;
  readonly format: 'cow' | 'raw';
  readonly sparse: boolean;
  readonly incremental: boolean;
  readonly virtualSizeBytes: number;
  /** For a thin qcow2 disk on block storage: it does not grow during an upload. */
  readonly initialSizeBytes: number | undefined;
  readonly storageDomainId: string;
}

export interface PostEvent {
  readonly severity: 'normal' | 'warning' | 'error';
  readonly customId: number;
  readonly description: string;
  readonly vmId: string;
}

export type TransferAction = 'finalize' | 'cancel' | 'resume';

/** A new VM for a restore. */
export interface CreateVm {
  readonly name: string;
  readonly description: string;
  readonly clusterId: string;
  /** OVF text of the saved configuration. Without it the VM gets default hardware. */
  readonly ovf: string | undefined;
}
