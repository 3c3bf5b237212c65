/** Calls to the engine, one method each. `engineClient.ts` sends them. */
import type {
  ApiRoot,
  Backup,
  Checkpoint,
  Cluster,
  Disk,
  DiskAttachment,
  EngineEvent,
  ImageTransfer,
  Snapshot,
  StorageDomain,
  Vm,
  Volume,
} from './entities.ts';
import { EngineClient, type EngineClientOptions } from './engineClient.ts';
import type { EngineSettings } from '../connection.ts';
import type {
  CreateDisk,
  CreateTransfer,
  CreateVm,
  PostEvent,
  StartBackup,
  TransferAction,
} from './engineRequests.ts';
import { EngineFaultError } from './engineErrors.ts';
import type { OvirtTimings } from '../timings.ts';
import { wire } from './decoders.ts';

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const PLAIN_NAME = /^[\w.-]+$/;

/** Name under which our events are shown in the engine. */
const EVENT_ORIGIN = 'ovirt-cbt';

/** A name for the engine's search language; the result may match more names. */
function quoted(name: string): string {
  return PLAIN_NAME.test(name) ? name : `"${name.replaceAll('"', '')}"`;
}

/** Facts that one login has learnt of its engine. All APIs of the login share them. */
interface KnownFacts {
  root?: ApiRoot;
  /** Links that the engine has refused to follow. */
  readonly notFollowed: Set<string>;
}

export class EngineApi {
  readonly client: EngineClient;
  readonly #known: KnownFacts;

  constructor(client: EngineClient, known: KnownFacts = { notFollowed: new Set() }) {
    this.client = client;
    this.#known = known;
  }

  /** @throws as {@link EngineClient.connect} */
  static async connect(
    settings: EngineSettings,
    options?: EngineClientOptions,
  ): Promise<EngineApi> {
    return new EngineApi(await EngineClient.connect(settings, options));
  }

  /** As {@link EngineClient.withOwnCorrelation}. */
  withOwnCorrelation(): EngineApi {
    return new EngineApi(this.client.withOwnCorrelation(), this.#known);
  }

  /** As {@link EngineClient.withCorrelation}. */
  withCorrelation(options: EngineClientOptions): EngineApi {
    return new EngineApi(this.client.withCorrelation(options), this.#known);
  }

  /** As {@link EngineClient.withSignal}. */
  withSignal(signal: AbortSignal): EngineApi {
    return new EngineApi(this.client.withSignal(signal), this.#known);
  }

  get timings(): OvirtTimings {
    return this.client.timings;
  }

  async close(): Promise<void> {
    await this.client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Product and version. Asked once for each login. */
  async root(): Promise<ApiRoot> {
    this.#known.root ??= await this.client.get('', wire.apiRoot);
    return this.#known.root;
  }

  /**
   * VMs with exactly this name, or the one with this id. The engine's search alone would also find
   * names in another case, and expand wildcards.
   */
  async findVms(nameOrId: string): Promise<Vm[]> {
    if (UUID.test(nameOrId)) {
      const vm = await this.client.find(`/vms/${nameOrId.toLowerCase()}`, wire.vm);
      return vm ? [vm] : [];
    }
    const query = { search: `name=${quoted(nameOrId)}`, max: '100' };
    const vms = await this.client.get('/vms', wire.vms, { query });
    return vms.filter((vm) => vm.name === nameOrId);
  }

  /** VMs that a search finds, at most `max`. */
  async searchVms(search: string, max: number): Promise<Vm[]> {
    return await this.client.get('/vms', wire.vms, { query: { search, max: String(max) } });
  }

  /** As {@link searchVms}, with the disks of each VM where the engine follows links. */
  async searchVmsWithDisks(search: string, max: number): Promise<Vm[]> {
    const readMs = this.timings.restSlowReadMs;
    const query = { search, max: String(max) };
    return await this.#following(
      'disk_attachments.disk',
      (follow) => this.client.get('/vms', wire.vms, { query: { ...query, ...follow }, readMs }),
      'vms',
    );
  }

  async vm(vmId: string): Promise<Vm | undefined> {
    return await this.client.find(`/vms/${vmId}`, wire.vm);
  }

  /**
   * The VM with its configuration (OVF) and, where the engine follows links, its disks. During a
   * backup the configuration would list the backup's snapshot.
   */
  async vmWithContent(vmId: string): Promise<Vm | undefined> {
    return await this.#following('disk_attachments.disk', (follow) =>
      this.client.find(`/vms/${vmId}`, wire.vm, { query: { all_content: 'true', ...follow } }),
    );
  }

  /** Attachments of the VM, with their disks where the engine follows links. */
  async attachments(vmId: string): Promise<DiskAttachment[]> {
    return await this.#following('disk', (query) =>
      this.client.get(`/vms/${vmId}/diskattachments`, wire.diskAttachments, { query }),
    );
  }

  /**
   * Reads with links followed. Engines answer 500 when one entity has no such link: then it is read
   * again without, and the link is not followed again from there.
   */
  async #following<T>(
    link: string,
    read: (query: { readonly follow?: string }) => Promise<T>,
    from = '',
  ): Promise<T> {
    const { notFollowed } = this.#known;
    const known = `${from} ${link}`;
    if (notFollowed.has(known)) return await read({});
    try {
      return await read({ follow: link });
    } catch (error) {
      if (!(error instanceof EngineFaultError) || error.status !== 500) throw error;
    }
    notFollowed.add(known);
    return await read({});
  }

  /** Layers of a disk; undefined when the engine knows none for it. */
  async volumes(diskId: string): Promise<Volume[] | undefined> {
    return await this.client.find(`/disks/${diskId}/disksnapshots`, wire.volumes);
  }

  async checkpoints(vmId: string): Promise<Checkpoint[]> {
    return (await this.client.find(`/vms/${vmId}/checkpoints`, wire.checkpoints)) ?? [];
  }

  /** Checkpoints, with their disks where the engine follows links. */
  async checkpointsWithDisks(vmId: string): Promise<Checkpoint[]> {
    const path = `/vms/${vmId}/checkpoints`;
    const found = await this.#following('disks', (query) =>
      this.client.find(path, wire.checkpoints, { query }),
    );
    return found ?? [];
  }

  /** Ids of the disks that have a change map since this checkpoint. */
  async checkpointDiskIds(vmId: string, checkpoint: Checkpoint): Promise<Set<string>> {
    // An empty list may also come from an engine that followed the link badly.
    if (checkpoint.diskIds?.length) return new Set(checkpoint.diskIds);
    const path = `/vms/${vmId}/checkpoints/${checkpoint.id}/disks`;
    const disks = (await this.client.find(path, wire.disks)) ?? [];
    return new Set(disks.map((disk) => disk.id));
  }

  async deleteCheckpoint(vmId: string, checkpointId: string): Promise<void> {
    await this.client.delete(`/vms/${vmId}/checkpoints/${checkpointId}`);
  }

  async backups(vmId: string): Promise<Backup[]> {
    return (await this.client.find(`/vms/${vmId}/backups`, wire.backups)) ?? [];
  }

  async backup(vmId: string, backupId: string, signal?: AbortSignal): Promise<Backup | undefined> {
    return await this.client.find(`/vms/${vmId}/backups/${backupId}`, wire.backup, { signal });
  }

  async backupDisks(vmId: string, backupId: string): Promise<Disk[]> {
    return await this.client.get(`/vms/${vmId}/backups/${backupId}/disks`, wire.disks);
  }

  /** No id is sent: a restarted engine would treat a backup with an id of ours as abandoned. */
  async startBackup(vmId: string, start: StartBackup, signal: AbortSignal): Promise<Backup> {
    const { diskIds, fromCheckpointId, description, requireConsistency } = start;
    const body = {
      description,
      ...(fromCheckpointId ? { from_checkpoint_id: fromCheckpointId } : {}),
      disks: { disk: diskIds.map((id) => ({ id })) },
    };
    const query: Record<string, string> = requireConsistency ? { require_consistency: 'true' } : {};
    const readMs = this.timings.restSlowReadMs;
    return await this.client.post(`/vms/${vmId}/backups`, body, wire.backup, {
      query,
      readMs,
      signal,
    });
  }

  async finalizeBackup(vmId: string, backupId: string): Promise<void> {
    await this.client.post(`/vms/${vmId}/backups/${backupId}/finalize`, {}, wire.anything);
  }

  async transfers(): Promise<ImageTransfer[]> {
    return await this.client.get('/imagetransfers', wire.transfers);
  }

  async transfer(transferId: string, signal?: AbortSignal): Promise<ImageTransfer | undefined> {
    return await this.client.find(`/imagetransfers/${transferId}`, wire.transfer, { signal });
  }

  async createTransfer(wanted: CreateTransfer, signal: AbortSignal): Promise<ImageTransfer> {
    const body = {
      disk: { id: wanted.diskId },
      ...(wanted.backupId ? { backup: { id: wanted.backupId } } : {}),
      direction: wanted.direction,
      format: 'raw',
      inactivity_timeout: wanted.inactivityTimeoutSeconds,
      timeout_policy: wanted.timeoutPolicy,
    };
    const readMs = this.timings.restSlowReadMs;
    return await this.client.post('/imagetransfers', body, wire.transfer, { readMs, signal });
  }

  /** The engine always answers 200. Only the phase of the transfer tells the outcome. */
  async transferAction(transferId: string, action: TransferAction): Promise<void> {
    await this.client.post(`/imagetransfers/${transferId}/${action}`, {}, wire.anything);
  }

  async snapshot(vmId: string, snapshotId: string): Promise<Snapshot | undefined> {
    return await this.client.find(`/vms/${vmId}/snapshots/${snapshotId}`, wire.snapshot);
  }

  async deleteSnapshot(vmId: string, snapshotId: string): Promise<void> {
    await this.client.delete(`/vms/${vmId}/snapshots/${snapshotId}`);
  }

  /** Events of this client's calls, newest first. */
  async ownEvents(): Promise<EngineEvent[]> {
    const query = { search: `correlation_id=${this.client.correlationId}`, max: '50' };
    return await this.client.get('/events', wire.events, { query });
  }

  async postEvent(event: PostEvent): Promise<void> {
    const body = {
      origin: EVENT_ORIGIN,
      severity: event.severity,
      custom_id: event.customId,
      description: event.description,
      vm: { id: event.vmId },
    };
    await this.client.post('/events', body, wire.anything);
  }

  async disk(diskId: string): Promise<Disk | undefined> {
    return await this.client.find(`/disks/${diskId}`, wire.disk);
  }

  async createDisk(wanted: CreateDisk): Promise<Disk> {
    const body = {
      name: wanted.name,
      description: wanted.description,
      format: wanted.format,
      sparse: wanted.sparse,
      backup: wanted.incremental ? 'incremental' : 'none',
      provisioned_size: wanted.virtualSizeBytes,
      ...(wanted.initialSizeBytes === undefined ? {} : { initial_size: wanted.initialSizeBytes }),
      content_type: 'data',
      storage_domains: { storage_domain: [{ id: wanted.storageDomainId }] },
    };
    return await this.client.post('/disks', body, wire.disk);
  }

  /** Disks with exactly this name. Names of disks need not be unique. */
  async findDisks(name: string): Promise<Disk[]> {
    const query = { search: `name=${quoted(name)}`, max: '100' };
    const disks = await this.client.get('/disks', wire.disks, { query });
    return disks.filter((disk) => disk.alias === name);
  }

  async deleteDisk(diskId: string): Promise<void> {
    await this.client.delete(`/disks/${diskId}`);
  }

  async storageDomains(): Promise<StorageDomain[]> {
    return await this.client.get('/storagedomains', wire.storageDomains);
  }

  async clusters(): Promise<Cluster[]> {
    return await this.client.get('/clusters', wire.clusters);
  }

  async createVm(wanted: CreateVm): Promise<Vm> {
    const { name, description, clusterId, ovf } = wanted;
    const source =
      ovf === undefined
        ? { template: { name: 'Blank' } }
        : {
            initialization: {
              regenerate_ids: true,
              configuration: { type: 'ovf', data: ovf },
            },
          };
    const body = { name, description, cluster: { id: clusterId }, ...source };
    const readMs = this.timings.restSlowReadMs;
    return await this.client.post('/vms', body, wire.vm, { readMs });
  }

  /** Attaches a disk and activates it. */
  async attachDisk(
    vmId: string,
    disk: { readonly id: string; readonly interface: string; readonly bootable: boolean },
  ): Promise<void> {
    const { id, bootable } = disk;
    const body = { disk: { id }, interface: disk.interface, bootable, active: true };
    await this.client.post(`/vms/${vmId}/diskattachments`, body, wire.anything);
  }

  /** Removes a VM and keeps its disks. */
  async deleteVm(vmId: string): Promise<void> {
    await this.client.delete(`/vms/${vmId}`, { query: { detach_only: 'true' } });
  }
}
