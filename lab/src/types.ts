/**
 * What the lab looks like from outside: an oVirt engine (HTTPS, own CA, SSO, REST) and an ovirt-imageio
 * daemon on another port, in this process, over sparse disks with checkpoints and copy-on-write frozen views.
 */

/** How the bytes of a disk are kept: qcow2 (`cow`, may carry bitmaps) or `raw` (never does). */
export type LabDiskFormat = 'cow' | 'raw';

export interface LabDiskSpec {
  readonly name: string;
  /** @defaultValue a new UUID */
  readonly id?: string | undefined;
  readonly sizeBytes: number;
  /** @defaultValue cow */
  readonly format?: LabDiskFormat | undefined;
  /** The user's wish for change tracking. @defaultValue incremental for cow, none for raw */
  readonly backup?: 'none' | 'incremental' | undefined;
  /** @defaultValue qcow2_v3 for cow */
  readonly qcowVersion?: 'qcow2_v2' | 'qcow2_v3' | undefined;
  /** A cow active volume over a raw base: looks like cow, but its bitmaps vanish with the last snapshot. */
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
  /** Raw storage that cannot tell holes from data (block domain): its zero extents are one data extent. @defaultValue false */
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
  /** Compatibility of the VM: [4, 7] backs up by snapshot (hybrid), [4, 6] live or cold. @defaultValue [4, 7] */
  readonly compatibility?: readonly [number, number] | undefined;
  readonly origin?: string | undefined;
  /** The VM previews a snapshot: the engine refuses backups. */
  readonly previewsSnapshot?: boolean | undefined;
  readonly disks: readonly LabDiskSpec[];
  readonly nics?: readonly string[] | undefined;
}

export interface LabStorageDomainSpec {
  readonly name: string;
  /** @defaultValue nfs */
  readonly type?: 'nfs' | 'iscsi' | 'fcp' | undefined;
  /** Room for guest data; uploads beyond it fail with ENOSPC. @defaultValue 1 TiB */
  readonly availableBytes?: number | undefined;
}

export interface LabOptions {
  /** Factor on all delays of the engine; 1 is a real engine's pace. @defaultValue 0.002 */
  readonly timeScale?: number | undefined;
  /** Port of the engine on 127.0.0.1. @defaultValue any free one */
  readonly port?: number | undefined;
  /** @defaultValue admin@internal */
  readonly username?: string | undefined;
  /** @defaultValue a random one */
  readonly password?: string | undefined;
  /** @defaultValue one NFS domain `data`, one iSCSI domain `block` */
  readonly storageDomains?: readonly LabStorageDomainSpec[] | undefined;
  /** Seconds a token lives without a call, before scaling. @defaultValue 1800 */
  readonly sessionIdleSeconds?: number | undefined;
}

/** An immutable content of a disk at one moment. */
export interface LabView {
  readonly sizeBytes: number;
  /** Bytes at `offsetBytes`; zeros where nothing was written. */
  read(offsetBytes: number, lengthBytes: number): Buffer;
  /** SHA-256 (hex) of the whole content. */
  digest(): string;
  /** Bytes in 64 KiB granules that hold data. */
  allocatedBytes(): number;
}

/** A disk as the guest and the test see it. */
export interface LabDisk extends LabView {
  readonly id: string;
  readonly name: string;
  /** A guest write: marks the granules in all active bitmaps. */
  write(offsetBytes: number, bytes: Uint8Array): void;
  /** A write that no change map sees: from outside of the VM, or by a fault of the host. */
  writeUntracked(offsetBytes: number, bytes: Uint8Array): void;
  /** A guest discard or write of zeros: dirty, and zero. */
  zero(offsetBytes: number, lengthBytes: number): void;
  /** The administrator extends (or, in the lab only, cuts) the disk. */
  resize(sizeBytes: number): void;
  /** A frozen copy of the present content. */
  snapshot(): LabView;
  /** What a host crash leaves: all bitmaps of the disk are in use; transfers that need them cannot be created. */
  breakBitmaps(): void;
}

export interface LabVm {
  readonly id: string;
  readonly name: string;
  status: LabVmStatus;
  readonly disks: readonly LabDisk[];
  disk(nameOrId: string): LabDisk;
  addDisk(spec: LabDiskSpec): LabDisk;
  /** Detach: bitmaps and membership in checkpoints are lost; the disk stays as a floating one. */
  detachDisk(nameOrId: string): void;
  /** Attach a floating disk of the lab. */
  attachDisk(nameOrId: string): void;
  /** Ids of the VM's checkpoints, oldest first. */
  checkpointIds(): readonly string[];
  /** A commit to an older snapshot: `invalid` marks all checkpoints, `removed` drops them. */
  revertSnapshot(leaves: 'invalid' | 'removed'): void;
  /** Starts a backup as another product would, with all active image disks. @returns the backup id. */
  startForeignBackup(): string;
  /** The foreign product ends its backup. */
  endForeignBackup(backupId: string): void;
  /**
   * Content of a disk at the frozen view of a backup, by backup or checkpoint id. Kept after the backup has ended.
   */
  frozenView(backupOrCheckpointId: string, diskNameOrId: string): LabView;
}

/** Which requests a fault meets. All given conditions must hold. */
export interface LabMatch {
  readonly server?: 'engine' | 'imageio' | undefined;
  readonly method?: string | undefined;
  /** Against the path with query, without origin. */
  readonly path?: RegExp | undefined;
  /** Engine: phase of the backup or transfer the path names. */
  readonly phase?: string | undefined;
  /** Disk that the ticket or transfer belongs to. */
  readonly diskId?: string | undefined;
  /** The n-th matching request, from 1; all without it. */
  readonly nth?: number | undefined;
  /** How often the fault fires. @defaultValue 1 with `nth`, else always */
  readonly times?: number | undefined;
  /** Chance to fire, 0 to 1; drawn from the seeded generator of `lab.faults`. @defaultValue 1 */
  readonly probability?: number | undefined;
}

/** What happens to a request that a fault meets. Actions combine where that makes sense. */
export interface LabAction {
  /** Answer this instead of doing the work. */
  readonly status?: number | undefined;
  /** Body of that answer: text as it is, an object as JSON. */
  readonly body?: string | object | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Wait before the work; in real milliseconds. */
  readonly delayMs?: number | undefined;
  /** Cut the connection after this many bytes of the body of the true answer; 0 right before its head (the work is done). */
  readonly cutAfterBytes?: number | undefined;
  /** Cut the connection before any work is done. */
  readonly reset?: boolean | undefined;
  /** Never answer; the work is not done. */
  readonly hang?: boolean | undefined;
  /** Imageio: forget the ticket first, as a restart of the daemon does. */
  readonly dropTicket?: boolean | undefined;
  /** Engine: move the backup or transfer that the path names to this phase first. */
  readonly flipPhase?: string | undefined;
  /** Imageio, extents: alter the true list. */
  readonly corruptExtents?: ((extents: object[]) => object[]) | undefined;
  /** Called before the work; for guest writes at a chosen moment. */
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
  /** Seeds the generator behind `probability`. */
  seed(seed: number): void;
  /** How often a fault fired. */
  fired(fault: LabFault): number;
  /** Sum over all faults ever added. */
  readonly firedCount: number;
}

/** Switches for behaviour of the engine that is no single request. */
export interface LabBehaviour {
  /** Hybrid: the merge of the snapshot fails; `succeeded`, event 10813, snapshot stays. */
  mergeFails: boolean;
  /** Backups go to `failed` before they are ready. */
  backupFails: boolean;
  /** Backups never leave `starting`. */
  backupHangs: boolean;
  /** Transfers never leave `initializing`. */
  transferHangs: boolean;
  /** POST of a backup with `from_checkpoint_id` fails as a failed redefine: 400 `[]`, all checkpoints gone, event 10791. */
  redefineFails: boolean;
  /** `disks?follow` and the like answer 500. */
  followFails: boolean;
  /** Finished entities vanish at once, as on engines up to 4.4.6. */
  forgetsFinished: boolean;
  /** Bodies of created disks never leave `locked`. */
  diskCreateHangs: boolean;
  /** Verification of every upload fails. */
  uploadVerifyFails: boolean;
  /** Removing a checkpoint fails: 400 `[]`, state `invalid`. */
  checkpointRemoveFails: boolean;
  /** Old imageio: OPTIONS is 405 and extents are unknown. */
  oldImageio: boolean;
  /** The user may not act on transfers (finalize, cancel: 403). */
  forbidsTransferActions: boolean;
  /** The user lacks the right to back up disks (403). */
  forbidsBackup: boolean;
  /** transfer_url names a port that refuses connections, so that only proxy_url works. */
  directUrlUnreachable: boolean;
  /** The guest cannot be frozen: an event says so; with require_consistency a live backup fails. */
  freezeFails: boolean;
}

/** One request as the lab saw it. No bodies, no credentials; the ticket id of the path is there. */
export interface LabRequest {
  readonly server: 'engine' | 'imageio';
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly correlationId: string | undefined;
  readonly atMs: number;
}

/** Bytes that imageio served, for assertions on traffic. */
export interface LabTraffic {
  /** By disk id: body bytes of successful GETs of the image, as requested. */
  readonly readBytes: ReadonlyMap<string, number>;
  readonly writtenBytes: ReadonlyMap<string, number>;
  readonly zeroedBytes: ReadonlyMap<string, number>;
  /** Highest number of open connections to one ticket. */
  readonly maxConnections: number;
  /** Connections that are open to tickets now. */
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
   * What a client has to have cleaned up: unfinished backups (foreign ones excepted) and transfers, tickets,
   * locked disks, automatic snapshots, one line each. Empty when the engine is as it should be.
   */
  leftovers(): readonly string[];
  /** Restarts imageio: all tickets and connections are gone. */
  restartImageio(): Promise<void>;
  /** Ends all REST sessions, as an idle timeout does. */
  expireTokens(): void;
  /** Secrets that must never show up anywhere: password, tokens, ticket ids. */
  secrets(): readonly string[];
  close(): Promise<void>;
}
