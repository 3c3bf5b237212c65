/**
 * State of the simulated engine, and questions that several topics ask. It handles no request and
 * starts no timer. Each row is changed by the topic that owns it.
 */
import type { LabBackend, LabDataPlane } from '../dataPlane.ts';
import { invariant } from '../errors.ts';
import { EngineLog } from './events.ts';
import type {
  AttachmentRow,
  BackupRow,
  CheckpointRow,
  ClusterRow,
  DiskRow,
  HostRow,
  SnapshotRow,
  StorageDomainRow,
  TransferRow,
  VmRow,
} from './rows.ts';
import type { EngineScheduler } from './scheduler.ts';
import type { LabBehaviour } from '../types.ts';

export interface EngineParts {
  readonly scheduler: EngineScheduler;
  readonly behaviour: LabBehaviour;
  readonly domains: readonly StorageDomainRow[];
  readonly clusters: readonly ClusterRow[];
  readonly hosts: readonly HostRow[];
  readonly plane: LabDataPlane;
  /** Makes the disks. Without it the lab makes its own. */
  readonly backend?: LabBackend | undefined;
  /** Records a secret, for tests that search outputs for it. */
  readonly recordSecret: (secret: string) => void;
}

/** One attached disk with its attachment. */
export interface AttachedDisk {
  readonly attachment: AttachmentRow;
  readonly disk: DiskRow;
}

export function isBackupOver(backup: BackupRow): boolean {
  return backup.phase === 'succeeded' || backup.phase === 'failed';
}

export function isTransferOver(transfer: TransferRow): boolean {
  return transfer.phase === 'finished_success' || transfer.phase === 'finished_failure';
}

export class Engine {
  readonly scheduler: EngineScheduler;
  readonly behaviour: LabBehaviour;
  readonly plane: LabDataPlane;
  readonly backend: LabBackend | undefined;
  readonly recordSecret: (secret: string) => void;
  readonly log: EngineLog = new EngineLog();
  readonly domains: readonly StorageDomainRow[];
  readonly clusters: readonly ClusterRow[];
  readonly hosts: readonly HostRow[];
  readonly vms: Map<string, VmRow> = new Map();
  readonly disks: Map<string, DiskRow> = new Map();
  readonly snapshots: Map<string, SnapshotRow> = new Map();
  readonly checkpoints: Map<string, CheckpointRow> = new Map();
  readonly backups: Map<string, BackupRow> = new Map();
  /** All backups ever started, for their frozen views. */
  readonly backupHistory: BackupRow[] = [];
  readonly transfers: Map<string, TransferRow> = new Map();

  constructor(parts: EngineParts) {
    this.scheduler = parts.scheduler;
    this.behaviour = parts.behaviour;
    this.plane = parts.plane;
    this.backend = parts.backend;
    this.recordSecret = parts.recordSecret;
    this.domains = parts.domains;
    this.clusters = parts.clusters;
    this.hosts = parts.hosts;
  }

  /** Attached disks in the order of their attachment. */
  attachedDisks(vm: VmRow): AttachedDisk[] {
    return vm.attachments.flatMap((attachment) => {
      const disk = this.disks.get(attachment.diskId);
      return disk ? [{ attachment, disk }] : [];
    });
  }

  vmOfDisk(diskId: string): VmRow | undefined {
    return [...this.vms.values()].find((vm) =>
      vm.attachments.some((attachment) => attachment.diskId === diskId),
    );
  }

  attachmentOf(vm: VmRow, diskId: string): AttachmentRow | undefined {
    return vm.attachments.find((attachment) => attachment.diskId === diskId);
  }

  domainOf(disk: DiskRow): StorageDomainRow | undefined {
    return this.domains.find((domain) => domain.id === disk.domainId);
  }

  /** Major and minor: the VM's own version, or that of its cluster. */
  compatibilityOf(vm: VmRow): readonly [number, number] {
    if (vm.customCompatibility) return vm.customCompatibility;
    const cluster = this.clusters.find(({ id }) => id === vm.clusterId);
    return [cluster?.major ?? 4, cluster?.minor ?? 7];
  }

  /** Host that runs the VM, or would run it. VMs below compatibility 4.4 are on the oldest host. */
  hostOf(vm: VmRow): HostRow | undefined {
    const [major, minor] = this.compatibilityOf(vm);
    if (major === 4 && minor < 4) return this.hosts.at(-1);
    return this.hosts.find(({ id }) => id === vm.hostId);
  }

  /** Host of the next new VM: one after the other, without the oldest. */
  nextHost(): HostRow {
    const host = this.hosts[this.vms.size % (this.hosts.length - 1)];
    invariant(host, 'an engine has a host that is not old');
    return host;
  }

  unfinishedBackupOf(vmId: string): BackupRow | undefined {
    return [...this.backups.values()].find(
      (backup) => backup.vmId === vmId && !isBackupOver(backup),
    );
  }

  unfinishedTransferOfDisk(diskId: string): TransferRow | undefined {
    return [...this.transfers.values()].find(
      (transfer) => transfer.diskId === diskId && !isTransferOver(transfer),
    );
  }

  snapshotsOf(vmId: string): SnapshotRow[] {
    return [...this.snapshots.values()].filter((snapshot) => snapshot.vmId === vmId);
  }

  /** Checkpoints of a VM from root to leaf, by their parent links. */
  checkpointChain(vmId: string): CheckpointRow[] {
    const own = [...this.checkpoints.values()].filter((checkpoint) => checkpoint.vmId === vmId);
    const chain: CheckpointRow[] = [];
    let next = own.find((checkpoint) => checkpoint.parentId === undefined);
    while (next) {
      chain.push(next);
      const parentId: string = next.id;
      next = own.find((checkpoint) => checkpoint.parentId === parentId);
    }
    return chain;
  }
}
