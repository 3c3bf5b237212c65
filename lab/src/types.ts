/**
 * The lab from outside: an oVirt engine (HTTPS, own CA, SSO, REST) and an ovirt-imageio daemon on
 * another port, both in this process. Disks are sparse, with checkpoints and copy-on-write frozen
 * views.
 */

/** Format of a disk: qcow2 (`cow`), which may have bitmaps, or `raw`, which has none. */
export type LabDiskFormat = 'cow' | 'raw';

export interface LabDiskSpec {
  readonly name: string;
  /** @defaultValue a new UUID */
  readonly id?: string | undefined;
  readonly sizeBytes: number;
  /** @defaultValue cow */
  readonly format?: LabDiskFormat | undefined;
  /** Change tracking, as the user has set it. @defaultValue incremental for cow, none for raw */
  readonly backup?: 'none' | 'incremental' | undefined;
  /** @defaultValue qcow2_v3 for cow */
  readonly qcowVersion?: 'qcow2_v2' | 'qcow2_v3' | undefined;
  /**
   * A cow active volume over a raw base. The disk looks like cow, but loses its bitmaps with the
   * last snapshot.
   */
  readonly rawBase?: boolean | undefined;
  readonly sparse?: boolean | undefined;
  readonly bootable?: boolean | undefined;
  /** Plugged into the VM. @defaultValue true */
  readonly active?: boolean | undefined;
  readonly readOnly?: boolean | undefined;
  readonly shareable?: boolean | undefined;
  /** @defaultValue image */
  readonly storageType?: 'image' | 'lun' | undefined;
  /** @defaultValue data */
  readonly contentType?: string | undefined;
  /** @defaultValue virtio_scsi */
  readonly interface?: string | undefined;
  /** Name of the storage domain. @defaultValue the lab's first one */
  readonly storageDomain?: string | undefined;
  /**
   * Storage that cannot tell holes from data (raw on a block domain): the whole disk is one data
   * extent. @defaultValue false
   */
  readonly hidesHoles?: boolean | undefined;
}

export type LabVmStatus =
  | 'up'
  | 'down'
  | 'paused'
  | 'migrating'
  | 'powering_up'
  | 'suspended'
  | 'image_locked';

export interface LabVmSpec {
  readonly name: string;
  /** @defaultValue a new UUID */
  readonly id?: string | undefined;
  /** @defaultValue up */
  readonly status?: LabVmStatus | undefined;
  /**
   * Compatibility version of the VM. From [4, 7] on, backups use a snapshot (hybrid). Below, they
   * are live or cold. @defaultValue [4, 7]
   */
  readonly compatibility?: readonly [number, number] | undefined;
  readonly origin?: string | undefined;
  /** The VM previews a snapshot, so the engine refuses backups. */
  readonly previewsSnapshot?: boolean | undefined;
  /** Searches find the VM by them: `tag=gold`. */
  readonly tags?: readonly string[] | undefined;
  readonly disks: readonly LabDiskSpec[];
  readonly nics?: readonly string[] | undefined;
}

export interface LabStorageDomainSpec {
  readonly name: string;
  /** @defaultValue nfs */
  readonly type?: 'nfs' | 'iscsi' | 'fcp' | undefined;
  /** Free space for uploads; beyond it they fail with ENOSPC. @defaultValue 1 TiB */
  readonly availableBytes?: number | undefined;
}

export interface LabOptions {
  /** Factor on all delays of the engine; 1 is the pace of a real engine. @defaultValue 0.002 */
  readonly timeScale?: number | undefined;
  /** Port of the engine on 127.0.0.1. @defaultValue any free one */
  readonly port?: number | undefined;
  /** @defaultValue admin@internal */
  readonly username?: string | undefined;
  /** @defaultValue a random one */
  readonly password?: string | undefined;
  /** @defaultValue one NFS domain `data`, one iSCSI domain `block` */
  readonly storageDomains?: readonly LabStorageDomainSpec[] | undefined;
  /** Hypervisor hosts. New VMs are on one after the other. @defaultValue 2 */
  readonly hosts?: number | undefined;
  /** Time that a token lives without a call, before scaling. @defaultValue 1800 */
  readonly sessionIdleSeconds?: number | undefined;
}

/** Content of a disk at one moment. It never changes. */
export interface LabView {
  readonly sizeBytes: number;
  /** Bytes at `offsetBytes`; zeros where nothing was written. */
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** SHA-256 (hex) of the whole content. */
  digest(): string;
  /** Bytes in 64 KiB granules that hold data. */
  allocatedBytes(): number;
}

/** A disk for guests and tests. */
export interface LabDisk extends LabView {
  readonly id: string;
  readonly name: string;
  /** A write of the guest. It marks its granules in the newest bitmap. */
  write(offsetBytes: number, bytes: Uint8Array): void;
  /** A write that no bitmap records, such as one from outside of the VM. */
  writeUntracked(offsetBytes: number, bytes: Uint8Array): void;
  /** A discard of the guest, or a write of zeros: the range is zero and dirty. */
  zero(offsetBytes: number, lengthBytes: number): void;
  /** The administrator extends the disk. The lab can also shrink it. */
  resize(sizeBytes: number): void;
  /** A frozen copy of the present content. */
  snapshot(): LabView;
  /**
   * The effect of a host crash: all bitmaps of the disk are broken. Transfers that need them fail.
   */
  breakBitmaps(): void;
}

export interface LabVm {
  readonly id: string;
  readonly name: string;
  status: LabVmStatus;
  readonly disks: readonly LabDisk[];
  /** Network cards with their MAC addresses. */
  readonly nics: readonly { readonly name: string; readonly mac: string }[];
  disk(nameOrId: string): LabDisk;
  addDisk(spec: LabDiskSpec): LabDisk;
  /**
   * Detaches a disk. Its bitmaps and its place in checkpoints are lost. The disk stays, attached to
   * no VM.
   */
  detachDisk(nameOrId: string): void;
  /** Attaches a disk that is attached to no VM. */
  attachDisk(nameOrId: string): void;
  /** Ids of the VM's checkpoints, oldest first. */
  checkpointIds(): readonly string[];
  /**
   * Commits an older snapshot. `invalid` marks all checkpoints as invalid, `removed` removes them.
   */
  revertSnapshot(leaves: 'invalid' | 'removed'): void;
  /** Starts a backup of all active image disks, as another product would. @returns the backup id */
  startForeignBackup(): string;
  /** The foreign product ends its backup. */
  endForeignBackup(backupId: string): void;
  /**
   * Content of a disk at the frozen moment of a backup. Available after the end of the backup too.
   */
  frozenView(backupOrCheckpointId: string, diskNameOrId: string): LabView;
}

/** Conditions on a request. All that are given must hold. */
export interface LabMatch {
  readonly server?: 'engine' | 'imageio' | undefined;
  readonly method?: string | undefined;
  /** Matched with the path and query, without origin. */
  readonly path?: RegExp | undefined;
  /** Engine: phase of the backup or transfer in the path. */
  readonly phase?: string | undefined;
  /** Disk of the ticket or transfer. */
  readonly diskId?: string | undefined;
  /** Fires from the n-th matching request on; counts from 1. Without it: from the first one. */
  readonly nth?: number | undefined;
  /** How many times the fault fires. @defaultValue 1 with `nth`, otherwise no limit */
  readonly times?: number | undefined;
  /** Chance to fire, 0 to 1, from the seeded generator of `lab.faults`. @defaultValue 1 */
  readonly probability?: number | undefined;
}

/** Effect of a fault on a request. Actions can be combined. */
export interface LabAction {
  /** Answers with this status; the work is not done. */
  readonly status?: number | undefined;
  /** Body of that answer. Text is sent unchanged, an object as JSON. */
  readonly body?: string | object | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Wait before the work, in real milliseconds. */
  readonly delayMs?: number | undefined;
  /**
   * Cuts the connection after this many bytes of the true answer's body. 0: before its head. The
   * work is done.
   */
  readonly cutAfterBytes?: number | undefined;
  /** Cuts the connection. The work is not done. */
  readonly reset?: boolean | undefined;
  /** Never answers. The work is not done. */
  readonly hang?: boolean | undefined;
  /** Imageio: forgets the ticket first, as a restart of the daemon does. */
  readonly dropTicket?: boolean | undefined;
  /** Engine: first moves the backup or transfer in the path to this phase. */
  readonly flipPhase?: string | undefined;
  /** Imageio: alters the true list of extents. */
  readonly corruptExtents?: ((extents: object[]) => object[]) | undefined;
  /** Called before the work, for example to write to a disk at that moment. */
  readonly run?: ((lab: Lab) => void | Promise<void>) | undefined;
}

export interface LabFault {
  readonly match: LabMatch;
  readonly action: LabAction;
}

export interface LabFaults {
  add(match: LabMatch, action: LabAction): LabFault;
  remove(fault: LabFault): void;
  clear(): void;
  /** Seeds the generator of `probability`. */
  seed(seed: number): void;
  /** How many times a fault fired. */
  fired(fault: LabFault): number;
  /** Sum over all faults ever added. */
  readonly firedCount: number;
}

/** Switches for behaviour that is not tied to one request. All are off at first. */
export interface LabBehaviour {
  /**
   * Hybrid: the merge of the snapshot fails. The backup is `succeeded`, with event 10813, and the
   * snapshot stays.
   */
  mergeFails: boolean;
  /** Backups go to `failed` before they are ready. */
  backupFails: boolean;
  /** Backups never leave `starting`. */
  backupHangs: boolean;
  /** Transfers never leave `initializing`. */
  transferHangs: boolean;
  /**
   * POST of a backup with `from_checkpoint_id` fails like a failed redefine: 400 `[]`, all
   * checkpoints removed, event 10791.
   */
  redefineFails: boolean;
  /** A call with `follow` is answered with 500. */
  followFails: boolean;
  /** The user may not see hosts, so VMs show none. */
  hidesHosts: boolean;
  /** Finished backups and transfers disappear at once, as on engines up to 4.4.6. */
  forgetsFinished: boolean;
  /** Created disks never leave `locked`. */
  diskCreateHangs: boolean;
  /** The verification of every upload fails. */
  uploadVerifyFails: boolean;
  /** Removing a checkpoint fails: 400 `[]`. Its state is `invalid`. */
  checkpointRemoveFails: boolean;
  /** An old imageio: OPTIONS is 405, extents and checksums are 404. */
  oldImageio: boolean;
  /** The user may not end transfers: finalize, cancel and resume are 403. */
  forbidsTransferActions: boolean;
  /** The user may not back up disks: 403. */
  forbidsBackup: boolean;
  /** `transfer_url` names a port that refuses connections. Only `proxy_url` works. */
  directUrlUnreachable: boolean;
  /**
   * The guest cannot be frozen: an event says so. With `require_consistency` a live backup fails.
   */
  freezeFails: boolean;
  /** The MAC pool allows one address on several network cards. Otherwise it is refused. */
  allowsDuplicateMacs: boolean;
}

/** One request. It has no body and no credentials, but the path contains the ticket id. */
export interface LabRequest {
  readonly server: 'engine' | 'imageio';
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly correlationId: string | undefined;
  readonly atMs: number;
}

/** Bytes that imageio served. */
export interface LabTraffic {
  /** By disk id: body bytes of successful GETs of the image. */
  readonly readBytes: ReadonlyMap<string, number>;
  readonly writtenBytes: ReadonlyMap<string, number>;
  readonly zeroedBytes: ReadonlyMap<string, number>;
  /** Highest number of open connections to one ticket. */
  readonly maxConnections: number;
  /** Connections to tickets that are open now. */
  readonly openConnections: number;
  reset(): void;
}

export interface Lab extends AsyncDisposable {
  /** `https://127.0.0.1:PORT/ovirt-engine` */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  /** Certificate of the lab's CA. */
  readonly caPem: string;
  readonly vms: readonly LabVm[];
  readonly faults: LabFaults;
  readonly behaviour: LabBehaviour;
  readonly traffic: LabTraffic;
  readonly requests: readonly LabRequest[];
  addVm(spec: LabVmSpec): LabVm;
  vm(nameOrId: string): LabVm;
  /** Any disk of the lab, attached or not. */
  disk(nameOrId: string): LabDisk;
  hasDisk(nameOrId: string): boolean;
  /** Events of the engine, oldest first. */
  events(): readonly {
    readonly code: number;
    readonly description: string;
    readonly origin: string;
  }[];
  /**
   * Things that a client must clean up, one line each: unfinished backups and transfers, tickets,
   * locked disks, automatic snapshots. Those of foreign backups do not count. Empty when nothing is
   * left.
   */
  leftovers(): readonly string[];
  /** Restarts imageio. All tickets and connections are lost. */
  restartImageio(): Promise<void>;
  /** Ends all REST sessions, as an idle timeout does. */
  expireTokens(): void;
  /** Password, tokens and ticket ids. They must not appear in any output. */
  secrets(): readonly string[];
  close(): Promise<void>;
}
