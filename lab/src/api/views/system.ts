/**
 * Things of the installation as the API shows them: storage domains, data center, clusters, hosts, networks,
 * events and jobs. Source: oVirt contract; sizes of storage domains have a granularity of 1 GiB.
 */
import { randomUUID } from 'node:crypto';
import { GIB } from '../../units.ts';
import type { Engine } from '../../state/core.ts';
import type { ClusterRow, EventRow, HostRow, JobRow, StorageDomainRow } from '../../state/rows.ts';
import { entity, reference, type WireEntity, WireList } from '../http/wire.ts';

export interface NamedRow {
  readonly id: string;
  readonly name: string;
}

/** The installation has one data center and one network. */
export const DATA_CENTER: NamedRow = { id: randomUUID(), name: 'Default' };
export const NETWORK: NamedRow = { id: randomUUID(), name: 'ovirtmgmt' };
export const VNIC_PROFILE: NamedRow = { id: randomUUID(), name: 'ovirtmgmt' };

/** Bytes that the images of a domain occupy. */
export function usedBytesOf(engine: Engine, domain: StorageDomainRow): number {
  let usedBytes = 0;
  for (const disk of engine.disks.values()) {
    if (disk.domainId === domain.id && disk.storageType === 'image') {
      usedBytes += disk.data.allocatedBytes();
    }
  }
  return usedBytes;
}

function toGibibytes(bytes: number): number {
  return Math.floor(bytes / GIB) * GIB;
}

/**
 * @param status - shown below a data center only; the list of the whole system has it for unattached
 * domains alone.
 */
export function storageDomainView(
  engine: Engine,
  domain: StorageDomainRow,
  status?: 'active',
): WireEntity {
  const usedBytes = usedBytesOf(engine, domain);
  return entity({
    type: 'storage_domain',
    row: domain,
    path: `storagedomains/${domain.id}`,
    fields: {
      name: domain.name,
      type: 'data',
      master: domain === engine.domains[0],
      status,
      available: toGibibytes(domain.storage.availableBytes),
      used: toGibibytes(usedBytes),
      committed: toGibibytes(usedBytes),
      backup: false,
      storage_format: 'v5',
      storage: { type: domain.type },
      data_centers: new WireList('data_center', [reference(DATA_CENTER.id, 'datacenters')]),
    },
    links: ['disks', 'vms', 'permissions'],
  });
}

export function dataCenterView(): WireEntity {
  return entity({
    type: 'data_center',
    row: DATA_CENTER,
    path: `datacenters/${DATA_CENTER.id}`,
    fields: {
      name: DATA_CENTER.name,
      description: 'The default Data Center',
      local: false,
      status: 'up',
      storage_format: 'v5',
      version: { major: 4, minor: 7 },
    },
    links: ['storagedomains', 'clusters', 'networks'],
  });
}

export function clusterView(cluster: ClusterRow): WireEntity {
  return entity({
    type: 'cluster',
    row: cluster,
    path: `clusters/${cluster.id}`,
    fields: {
      name: cluster.name,
      version: { major: cluster.major, minor: cluster.minor },
      data_center: reference(DATA_CENTER.id, 'datacenters'),
    },
    links: ['networks', 'permissions'],
  });
}

export function hostView(engine: Engine, host: HostRow): WireEntity {
  const [major, minor, build] = host.version;
  return entity({
    type: 'host',
    row: host,
    path: `hosts/${host.id}`,
    fields: {
      name: host.name,
      address: '127.0.0.1',
      status: 'up',
      version: { major, minor, build, full_version: `${major}.${minor}.${build}` },
      hardware_information: { uuid: host.hardwareId },
      cluster: reference(engine.clusters[0]?.id, 'clusters'),
    },
    links: ['nics', 'storage'],
  });
}

export function vnicProfileView(): WireEntity {
  return entity({
    type: 'vnic_profile',
    row: VNIC_PROFILE,
    path: `vnicprofiles/${VNIC_PROFILE.id}`,
    fields: { name: VNIC_PROFILE.name, network: reference(NETWORK.id, 'networks') },
  });
}

export function eventView(event: EventRow): WireEntity {
  return entity({
    type: 'event',
    row: event,
    path: `events/${event.id}`,
    fields: {
      index: Number(event.id),
      code: event.code,
      severity: event.severity,
      time: event.time,
      description: event.description,
      correlation_id: event.correlationId,
      origin: event.origin,
      custom_id: event.customId,
      vm: reference(event.vmId, 'vms'),
    },
  });
}

export function jobView(job: JobRow): WireEntity {
  return entity({
    type: 'job',
    row: job,
    path: `jobs/${job.id}`,
    fields: {
      description: job.description,
      status: job.status,
      auto_cleared: true,
      external: false,
      start_time: job.startedAt,
      end_time: job.endedAt,
      last_updated: job.endedAt ?? job.startedAt,
      correlation_id: job.correlationId,
    },
    links: ['steps'],
    actions: ['clear', 'end'],
  });
}
