/**
 * Storage domains, the data center, clusters, hosts and events as the API shows them.
 * Source: oVirt contract: sizes of storage domains are whole GiB.
 */
import { randomUUID } from 'node:crypto';
import { GIB } from '../../units.ts';
import type { Engine } from '../../state/core.ts';
import type { ClusterRow, EventRow, HostRow, StorageDomainRow } from '../../state/rows.ts';
import { entity, reference, type WireRecord, WireList } from '../http/wire.ts';

interface NamedRow {
  readonly id: string;
  readonly name: string;
}

/** The installation has one data center. */
export const DATA_CENTER: NamedRow = { id: randomUUID(), name: 'Default' };

/** Bytes that the images of a domain occupy. */
function usedBytesOf(engine: Engine, domain: StorageDomainRow): number {
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
 * A storage domain. The API shows the status of an attached one below its data center only (oVirt
 * contract).
 */
export function storageDomainView(engine: Engine, domain: StorageDomainRow): WireRecord {
  const usedBytes = usedBytesOf(engine, domain);
  return entity({
    id: domain.id,
    path: `storagedomains/${domain.id}`,
    fields: {
      name: domain.name,
      type: 'data',
      master: domain === engine.domains[0],
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

export function dataCenterView(): WireRecord {
  return entity({
    id: DATA_CENTER.id,
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

export function clusterView(cluster: ClusterRow): WireRecord {
  return entity({
    id: cluster.id,
    path: `clusters/${cluster.id}`,
    fields: {
      name: cluster.name,
      version: { major: cluster.major, minor: cluster.minor },
      data_center: reference(DATA_CENTER.id, 'datacenters'),
    },
    links: ['networks', 'permissions'],
  });
}

export function hostView(engine: Engine, host: HostRow): WireRecord {
  const [major, minor, build] = host.version;
  return entity({
    id: host.id,
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

export function eventView(event: EventRow): WireRecord {
  return entity({
    id: event.id,
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
