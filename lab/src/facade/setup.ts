/** Turns the specifications of a lab into rows of its engine. */
import { randomUUID } from 'node:crypto';
import { LabError } from '../errors.ts';
import { GIB, TIB } from '../units.ts';
import type { Engine } from '../state/core.ts';
import { attachDisk, createDisk } from '../state/disks/store.ts';
import type { ClusterRow, DiskRow, HostRow, StorageDomainRow, VmRow } from '../state/rows.ts';
import { LabStorage } from '../disks/labDisk.ts';
import type { LabDiskSpec, LabStorageDomainSpec, LabVmSpec } from '../types.ts';

const DEFAULT_DOMAINS: readonly LabStorageDomainSpec[] = [
  { name: 'data', type: 'nfs' },
  { name: 'block', type: 'iscsi' },
];

/** VMs of these versions have the version of their cluster. All others have their own. */
export function createClusters(): ClusterRow[] {
  return [
    { id: randomUUID(), name: 'Default', major: 4, minor: 7 },
    { id: randomUUID(), name: 'Legacy', major: 4, minor: 6 },
  ];
}

function hostRow(name: string, version: HostRow['version']): HostRow {
  return { id: randomUUID(), name, version, hardwareId: randomUUID() };
}

/** In addition the last host, which is too old to back up a VM that is up. */
export function createHosts(count = 2): HostRow[] {
  const hosts = Array.from({ length: count }, (_, k) => hostRow(`host${k + 1}`, [4, 50, 5]));
  return [...hosts, hostRow('oldhost', [4, 3, 11])];
}

export function createDomains(
  specs: readonly LabStorageDomainSpec[] = DEFAULT_DOMAINS,
): StorageDomainRow[] {
  return specs.map(({ name, type, availableBytes }) => ({
    id: randomUUID(),
    name,
    type: type ?? 'nfs',
    storage: new LabStorage(availableBytes ?? TIB),
  }));
}

function domainFor(engine: Engine, name: string | undefined): StorageDomainRow {
  const domain = engine.domains.find((candidate) => candidate.name === (name ?? candidate.name));
  if (!domain) throw new LabError('LAB_NOT_FOUND', `the lab has no storage domain ${name}`);
  return domain;
}

/** Gives a disk a snapshot of the user over a raw volume. In the API the disk looks like qcow2. */
function putOverRawBase(engine: Engine, vm: VmRow, disk: DiskRow): void {
  const snapshotId = randomUUID();
  engine.snapshots.set(snapshotId, {
    id: snapshotId,
    vmId: vm.id,
    description: `Before a change of ${disk.name}`,
    status: 'ok',
    createdAt: new Date(),
    withMemory: false,
  });
  disk.volumes.push({ id: randomUUID(), snapshotId, format: 'raw', view: disk.data.freeze() });
}

export function addLabDisk(engine: Engine, vm: VmRow, spec: LabDiskSpec): DiskRow {
  const disk = createDisk(engine, {
    id: spec.id,
    name: spec.name,
    sizeBytes: spec.sizeBytes,
    format: spec.format ?? 'cow',
    sparse: spec.sparse,
    backup: spec.backup,
    qcowVersion: spec.qcowVersion,
    storageType: spec.storageType,
    contentType: spec.contentType,
    shareable: spec.shareable,
    hidesHoles: spec.hidesHoles,
    domain: domainFor(engine, spec.storageDomain),
  });
  if (spec.rawBase) putOverRawBase(engine, vm, disk);
  attachDisk(vm, {
    diskId: disk.id,
    active: spec.active ?? true,
    bootable: spec.bootable ?? vm.attachments.length === 0,
    readOnly: spec.readOnly ?? false,
    passDiscard: false,
    interface: spec.interface ?? 'virtio_scsi',
  });
  return disk;
}

function placeOf(
  engine: Engine,
  version: readonly [number, number],
): Pick<VmRow, 'clusterId' | 'customCompatibility'> {
  const [major, minor] = version;
  const cluster = engine.clusters.find((row) => row.major === major && row.minor === minor);
  if (cluster) return { clusterId: cluster.id, customCompatibility: undefined };
  return { clusterId: engine.clusters[0]?.id ?? '', customCompatibility: version };
}

export function addLabVm(engine: Engine, spec: LabVmSpec): VmRow {
  const macPrefix = `56:6f:1a:00:${engine.vms.size.toString(16).padStart(2, '0')}`;
  const vm: VmRow = {
    id: spec.id ?? randomUUID(),
    name: spec.name,
    description: '',
    status: spec.status ?? 'up',
    ...placeOf(engine, spec.compatibility ?? [4, 7]),
    hostId: engine.nextHost().id,
    origin: spec.origin ?? 'ovirt',
    previewsSnapshot: spec.previewsSnapshot ?? false,
    tags: spec.tags ?? [],
    memoryBytes: GIB,
    sockets: 1,
    cores: 2,
    osType: 'rhel_9x64',
    biosType: 'q35_sea_bios',
    createdAt: new Date(),
    attachments: [],
    nics: (spec.nics ?? []).map((name, index) => ({
      id: randomUUID(),
      name,
      interface: 'virtio',
      mac: `${macPrefix}:${index.toString(16).padStart(2, '0')}`,
    })),
    operation: undefined,
  };
  engine.vms.set(vm.id, vm);
  for (const disk of spec.disks) addLabDisk(engine, vm, disk);
  return vm;
}
