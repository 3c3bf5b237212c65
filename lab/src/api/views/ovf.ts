/**
 * The configuration of a VM as OVF: written for exports, read back for imports.
 * Source: oVirt contract: it lists disks, network cards, name and memory, and a snapshot that exists at that
 * moment, the automatic one of a hybrid backup included.
 */
import { GIB, MIB } from '../../units.ts';
import type { AttachedDisk, Engine } from '../../state/core.ts';
import type { AttachmentRow, NicRow, SnapshotRow, VmRow } from '../../state/rows.ts';

/** CIM resource types of hardware items. */
const RESOURCE_CPU = 3;
const RESOURCE_MEMORY = 4;
const RESOURCE_NIC = 10;
const RESOURCE_DISK = 17;

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
};

function escapeXml(text: string): string {
  return text.replaceAll(/[&<>"]/g, (char) => ESCAPES[char] ?? char);
}

function unescapeXml(text: string): string {
  return text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&apos;', "'")
    .replaceAll('&amp;', '&');
}

function tag(
  name: string,
  attributes: Readonly<Record<string, string | number | boolean>>,
): string {
  const text = Object.entries(attributes)
    .map(([key, value]) => ` ovf:${key}="${escapeXml(String(value))}"`)
    .join('');
  return `<${name}${text}/>`;
}

function element(name: string, value: string | number): string {
  return `<${name}>${escapeXml(String(value))}</${name}>`;
}

function fileTag({ disk }: AttachedDisk): string {
  const href = `${disk.id}/${disk.imageId}`;
  return tag('File', { href, id: disk.imageId, size: disk.data.allocatedBytes() });
}

function diskTag({ disk, attachment }: AttachedDisk): string {
  return tag('Disk', {
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

function item(resourceType: number, ...elements: readonly string[]): string {
  return `<Item>${element('rasd:ResourceType', resourceType)}${elements.join('')}</Item>`;
}

function hardwareItems(vm: VmRow, disks: readonly AttachedDisk[]): string {
  const memoryMib = Math.round(vm.memoryBytes / MIB);
  const cpu = [
    element('rasd:num_of_sockets', vm.sockets),
    element('rasd:cpu_per_socket', vm.cores),
  ];
  return [
    item(RESOURCE_CPU, ...cpu),
    item(RESOURCE_MEMORY, element('rasd:VirtualQuantity', memoryMib)),
    ...disks.map(({ disk }) =>
      item(
        RESOURCE_DISK,
        element('rasd:InstanceId', disk.imageId),
        element('rasd:HostResource', `${disk.id}/${disk.imageId}`),
      ),
    ),
    ...vm.nics.map((nic) =>
      item(
        RESOURCE_NIC,
        element('rasd:Name', nic.name),
        element('rasd:ResourceSubType', nic.interface),
        element('rasd:MACAddress', nic.mac),
      ),
    ),
  ].join('');
}

function snapshotElement(snapshot: SnapshotRow): string {
  const content = [
    element('Type', 'REGULAR'),
    element('Description', snapshot.description),
    element('CreationDate', snapshot.createdAt.toISOString()),
  ];
  return `<Snapshot ovf:id="${snapshot.id}">${content.join('')}</Snapshot>`;
}

/** The OVF of a VM as it is now. */
export function ovfOf(engine: Engine, vm: VmRow): string {
  const disks = engine.attachedDisks(vm).filter(({ disk }) => disk.storageType === 'image');
  const [major, minor] = engine.compatibilityOf(vm);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1/"',
    ' xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"',
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ovf:version="4.4.0.0">',
    `<References>${disks.map(fileTag).join('')}</References>`,
    `<Section xsi:type="ovf:DiskSection_Type">${disks.map(diskTag).join('')}</Section>`,
    '<Content ovf:id="out" xsi:type="ovf:VirtualSystem_Type">',
    element('Name', vm.name),
    element('Description', vm.description),
    element('CreationDate', vm.createdAt.toISOString()),
    element('ClusterCompatibilityVersion', `${major}.${minor}`),
    element('BiosType', vm.biosType),
    `<Section ovf:id="${vm.id}" xsi:type="ovf:OperatingSystemSection_Type">`,
    element('Description', vm.osType),
    '</Section><Section xsi:type="ovf:VirtualHardwareSection_Type">',
    hardwareItems(vm, disks),
    '</Section><Section xsi:type="ovf:SnapshotsSection_Type">',
    engine.snapshotsOf(vm.id).map(snapshotElement).join(''),
    '</Section></Content></ovf:Envelope>',
  ].join('');
}

export interface OvfContent {
  readonly vmId: string | undefined;
  readonly name: string | undefined;
  readonly memoryBytes: number | undefined;
  readonly sockets: number | undefined;
  readonly cores: number | undefined;
  readonly osType: string | undefined;
  readonly attachments: readonly AttachmentRow[];
  readonly nics: readonly Pick<NicRow, 'name' | 'interface' | 'mac'>[];
}

function textOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text === undefined ? undefined : unescapeXml(text);
}

function numberOf(xml: string, name: string): number | undefined {
  const text = textOf(xml, name);
  return text === undefined ? undefined : Number(text);
}

function attributeOf(xml: string, name: string): string | undefined {
  const text = new RegExp(`\\bovf:${name}="([^"]*)"`).exec(xml)?.[1];
  return text === undefined ? undefined : unescapeXml(text);
}

function toAttachment(diskXml: string): AttachmentRow[] {
  const diskId = attributeOf(diskXml, 'fileRef')?.split('/')[0];
  if (!diskId) return [];
  return [
    {
      diskId,
      active: true,
      bootable: attributeOf(diskXml, 'boot') === 'true',
      readOnly: false,
      passDiscard: attributeOf(diskXml, 'pass-discard') === 'true',
      interface: attributeOf(diskXml, 'disk-interface') ?? 'virtio_scsi',
    },
  ];
}

/** Reads an OVF. @returns undefined when it is none. */
export function parseOvf(xml: string): OvfContent | undefined {
  if (!/<(ovf:)?Envelope\b/.test(xml)) return undefined;
  const items = [...xml.matchAll(/<Item>(.*?)<\/Item>/gs)].map(([, content = '']) => content);
  const itemsOf = (type: number): string[] =>
    items.filter((content) => numberOf(content, 'rasd:ResourceType') === type);
  const [cpu = ''] = itemsOf(RESOURCE_CPU);
  const memoryMib = numberOf(itemsOf(RESOURCE_MEMORY)[0] ?? '', 'rasd:VirtualQuantity');
  const os = /<Section\b([^>]*)OperatingSystemSection_Type[^>]*>(.*?)<\/Section>/s.exec(xml);
  return {
    vmId: attributeOf(os?.[1] ?? '', 'id'),
    name: textOf(xml, 'Name'),
    memoryBytes: memoryMib === undefined ? undefined : memoryMib * MIB,
    sockets: numberOf(cpu, 'rasd:num_of_sockets'),
    cores: numberOf(cpu, 'rasd:cpu_per_socket'),
    osType: textOf(os?.[2] ?? '', 'Description'),
    attachments: [...xml.matchAll(/<Disk\b[^>]*>/g)].flatMap(([text]) => toAttachment(text)),
    nics: itemsOf(RESOURCE_NIC).map((content) => ({
      name: textOf(content, 'rasd:Name') ?? 'nic',
      interface: textOf(content, 'rasd:ResourceSubType') ?? 'virtio',
      mac: textOf(content, 'rasd:MACAddress') ?? '',
    })),
  };
}
