/** What the product asks of an engine, before it is put into the wire's form. */

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

/** A disk to be made for a restore. @see ovirt-engine AddDiskCommand for the combinations that are allowed */
export interface CreateDisk {
  readonly name: string;
  readonly description: string;
  readonly format: 'cow' | 'raw';
  readonly sparse: boolean;
  readonly incremental: boolean;
  readonly virtualSizeBytes: number;
  /** Of a thin qcow2 on block storage, which does not grow during an upload. */
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

/** A VM to be made for a restore. */
export interface CreateVm {
  readonly name: string;
  readonly description: string;
  readonly clusterId: string;
  /** Saved configuration; without it the VM gets default hardware. */
  readonly ovf: string | undefined;
}
