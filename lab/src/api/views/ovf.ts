/**
 * The configuration of a VM as OVF: written for exports, read for imports.
 * Source: oVirt contract: it lists disks, network cards, name, memory and snapshots. The automatic
 * snapshot of a hybrid backup is among them.
 */
import { z } from 'zod';
import { GIB, MIB } from '../../units.ts';
import type { AttachedDisk, Engine } from '../../state/core.ts';
import type { AttachmentRow, SnapshotRow, VmRow } from '../../state/rows.ts';
import { buildXml, parseXml, type XmlElement, type XmlValue } from '../http/xml.ts';

/** CIM resource types of hardware items. */
const RESOURCE_CPU = 3;
const RESOURCE_MEMORY = 4;
const RESOURCE_NIC = 10;
const RESOURCE_DISK = 17;
/** Type of the section with the VM's id and its operating system. */
const OS_SECTION = 'OperatingSystemSection_Type';
/** Elements that may occur more than once. */
const LISTS: readonly string[] = ['Section', 'Disk', 'Item'];

const NAMESPACES: XmlElement = {
  '@xmlns:ovf': 'http://schemas.dmtf.org/ovf/envelope/1/',
  '@xmlns:rasd':
    'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData',
  '@xmlns:xsi': 'http://www.w3.org/2001/XMLSchema-instance',
};

/** Attributes in the namespace of OVF. */
function attributes(fields: Readonly<Record<string, XmlValue>>): XmlElement {
  return Object.fromEntries(Object.entries(fields).map(([key, value]) => [`@ovf:${key}`, value]));
}

function fileElement({ disk }: AttachedDisk): XmlElement {
  const href = `${disk.id}/${disk.imageId}`;
  return attributes({ href, id: disk.imageId, size: disk.data.allocatedBytes() });
}

function diskElement({ disk, attachment }: AttachedDisk): XmlElement {
  return attributes({
    diskId: disk.imageId,
    fileRef: `${disk.id}/${disk.imageId}`,
    size: Math.ceil(disk.data.sizeBytes / GIB),
    actual_size: Math.ceil(disk.data.allocatedBytes() / GIB),
    'volume-format': disk.format.toUpperCase(),
    'volume-type': disk.sparse ? 'Sparse' : 'Preallocated',
    'disk-interface': attachment.interface,
    'disk-alias': disk.name,
    'pass-discard': attachment.passDiscard,
    boot: attachment.bootable,
  });
}

function hardwareItems(vm: VmRow, disks: readonly AttachedDisk[]): XmlElement[] {
  return [
    {
      'rasd:ResourceType': RESOURCE_CPU,
      'rasd:num_of_sockets': vm.sockets,
      'rasd:cpu_per_socket': vm.cores,
    },
    {
      'rasd:ResourceType': RESOURCE_MEMORY,
      'rasd:VirtualQuantity': Math.round(vm.memoryBytes / MIB),
    },
    ...disks.map(({ disk }) => ({
      'rasd:ResourceType': RESOURCE_DISK,
      'rasd:InstanceId': disk.imageId,
      'rasd:HostResource': `${disk.id}/${disk.imageId}`,
    })),
    ...vm.nics.map((nic) => ({
      'rasd:ResourceType': RESOURCE_NIC,
      'rasd:Name': nic.name,
      'rasd:ResourceSubType': nic.interface,
      'rasd:MACAddress': nic.mac,
    })),
  ];
}

function snapshotElement({ id, description, createdAt }: SnapshotRow): XmlElement {
  return {
    ...attributes({ id }),
    Type: 'REGULAR',
    Description: description,
    CreationDate: createdAt.toISOString(),
  };
}

function systemElement(engine: Engine, vm: VmRow, disks: readonly AttachedDisk[]): XmlElement {
  return {
    ...attributes({ id: 'out' }),
    '@xsi:type': 'ovf:VirtualSystem_Type',
    Name: vm.name,
    Description: vm.description,
    CreationDate: vm.createdAt.toISOString(),
    ClusterCompatibilityVersion: engine.compatibilityOf(vm).join('.'),
    BiosType: vm.biosType,
    Section: [
      {
        ...attributes({ id: vm.id }),
        '@xsi:type': `ovf:${OS_SECTION}`,
        Description: vm.osType,
      },
      { '@xsi:type': 'ovf:VirtualHardwareSection_Type', Item: hardwareItems(vm, disks) },
      {
        '@xsi:type': 'ovf:SnapshotsSection_Type',
        Snapshot: engine.snapshotsOf(vm.id).map(snapshotElement),
      },
    ],
  };
}

/** The OVF of a VM as it is now. */
export function ovfOf(engine: Engine, vm: VmRow): string {
  const disks = engine.attachedDisks(vm).filter(({ disk }) => disk.storageType === 'image');
  return buildXml('ovf:Envelope', {
    ...NAMESPACES,
    ...attributes({ version: '4.4.0.0' }),
    References: { File: disks.map(fileElement) },
    Section: { '@xsi:type': 'ovf:DiskSection_Type', Disk: disks.map(diskElement) },
    Content: systemElement(engine, vm, disks),
  });
}

/** A network card as an OVF has it. */
export interface OvfNic {
  readonly name: string;
  readonly interface: string;
  /** Empty when the OVF has none: the engine then allocates one. */
  readonly mac: string;
}

export interface OvfContent {
  readonly vmId: string | undefined;
  readonly name: string | undefined;
  readonly memoryBytes: number | undefined;
  readonly sockets: number | undefined;
  readonly cores: number | undefined;
  readonly osType: string | undefined;
  readonly attachments: readonly AttachmentRow[];
  readonly nics: readonly OvfNic[];
}

const text = z.string().optional().catch(undefined);
const number = z.coerce.number().optional().catch(undefined);

/** The parser gives an element without content as an empty text. */
function elementOf<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.preprocess((value) => (value === '' ? {} : value), z.object(shape));
}

const itemSchema = elementOf({
  ResourceType: number,
  VirtualQuantity: number,
  num_of_sockets: number,
  cpu_per_socket: number,
  Name: text,
  ResourceSubType: text,
  MACAddress: text,
});
const diskSchema = elementOf({
  '@fileRef': text,
  '@boot': text,
  '@pass-discard': text,
  '@disk-interface': text,
});
const sectionSchema = elementOf({
  '@type': text,
  '@id': text,
  Description: text,
  Disk: z.array(diskSchema).default([]),
  Item: z.array(itemSchema).default([]),
});
const sections = z.array(sectionSchema).default([]);
/** Names without their namespaces. A field that is missing or of another shape is left out. */
const ovfSchema = z.object({
  Envelope: z.object({ Section: sections, Content: elementOf({ Name: text, Section: sections }) }),
});

type OvfItem = z.infer<typeof itemSchema>;

function toAttachment(disk: z.infer<typeof diskSchema>): AttachmentRow[] {
  const diskId = disk['@fileRef']?.split('/')[0];
  if (!diskId) return [];
  return [
    {
      diskId,
      active: true,
      bootable: disk['@boot'] === 'true',
      readOnly: false,
      passDiscard: disk['@pass-discard'] === 'true',
      interface: disk['@disk-interface'] ?? 'virtio_scsi',
    },
  ];
}

function toNic(item: OvfItem): OvfNic {
  return {
    name: item.Name ?? 'nic',
    interface: item.ResourceSubType ?? 'virtio',
    mac: item.MACAddress ?? '',
  };
}

function readEnvelope(xml: string): z.infer<typeof ovfSchema>['Envelope'] | undefined {
  try {
    const tree = parseXml(xml, {
      attributeNamePrefix: '@',
      removeNSPrefix: true,
      isArray: (name) => LISTS.includes(name),
    });
    return ovfSchema.parse(tree).Envelope;
  } catch {
    return undefined;
  }
}

/** Reads an OVF. @returns undefined for any other text */
export function parseOvf(xml: string): OvfContent | undefined {
  const envelope = readEnvelope(xml);
  if (!envelope) return undefined;
  const { Name: name, Section: parts } = envelope.Content;
  const items = parts.flatMap(({ Item: list }) => list);
  const itemsOf = (type: number): OvfItem[] =>
    items.filter(({ ResourceType: ofItem }) => ofItem === type);
  const memoryMib = itemsOf(RESOURCE_MEMORY)[0]?.VirtualQuantity;
  const cpu = itemsOf(RESOURCE_CPU)[0];
  const os = parts.find((part) => part['@type']?.endsWith(OS_SECTION));
  return {
    vmId: os?.['@id'],
    name,
    memoryBytes: memoryMib === undefined ? undefined : memoryMib * MIB,
    sockets: cpu?.num_of_sockets,
    cores: cpu?.cpu_per_socket,
    osType: os?.Description,
    attachments: envelope.Section.flatMap(({ Disk: disks }) => disks.flatMap(toAttachment)),
    nics: itemsOf(RESOURCE_NIC).map(toNic),
  };
}
