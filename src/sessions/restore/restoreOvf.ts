/**
 * Prepares a saved VM configuration for an import: removes disks, snapshots and the quota. The
 * engine attaches floating disks whose ids are in the configuration. So the new VM would get disks
 * of the old one. The quota may not exist any more. Without it the default quota applies.
 *
 * @see ovirt-engine ImportVmFromConfigurationCommand
 */
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { isSafeXml, type XmlLimits } from '../../repository/xmlShape.ts';

/** A configuration has about 50 KiB. Scripts and icons are texts in it, so it can be larger. */
const LIMITS: XmlLimits = { maxChars: 16 * 1024 * 1024, maxTagChars: 1024 * 1024 };
const ATTRIBUTES = ':@';
const PREFIX = '@';
/** CIM resource types of a network card and of a disk. */
const NIC_RESOURCE = '10';
const DISK_RESOURCE = '17';

/** One node as the parser keeps it: `{tag: children, ':@': attributes}`. */
type Node = Readonly<Record<string, unknown>>;

const FORMAT = {
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: PREFIX,
  suppressEmptyNode: true,
  suppressBooleanAttributes: false,
  // Keeps references to characters (`&#10;`) as they were written.
  processEntities: false,
} as const;
const parser = new XMLParser({
  ...FORMAT,
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
});
const builder = new XMLBuilder(FORMAT);

function tagOf(node: Node): string {
  return Object.keys(node).find((key) => key !== ATTRIBUTES) ?? '';
}

function childrenOf(node: Node): readonly Node[] {
  const children = node[tagOf(node)];
  return Array.isArray(children) ? (children as Node[]) : [];
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

function textOf(node: Node): string {
  return childrenOf(node)
    .map((child) => child['#text'])
    .filter((text) => typeof text === 'string')
    .join('');
}

/** A section that names disks or snapshots. */
function isDroppedSection(node: Node): boolean {
  const attributes = Object.entries((node[ATTRIBUTES] ?? {}) as Record<string, string>);
  return attributes.some(
    ([name, value]) =>
      localName(name.slice(PREFIX.length)) === 'type' &&
      /(DiskSection|SnapshotsSection)_Type$/.test(value),
  );
}

/** Text of the first child with this name, without spaces around it. */
function childText(node: Node, name: string): string | undefined {
  const child = childrenOf(node).find((one) => localName(tagOf(one)) === name);
  return child && textOf(child).trim();
}

function isItem(node: Node, resource: string): boolean {
  return localName(tagOf(node)) === 'Item' && childText(node, 'ResourceType') === resource;
}

function isKept(node: Node): boolean {
  const name = localName(tagOf(node));
  if (name === 'File' || name === 'Disk' || name === 'quota_id') return false;
  if (name === 'Section') return !isDroppedSection(node);
  return !isItem(node, DISK_RESOURCE);
}

/** The node without the children that are not kept, and their descendants alike. */
function strip(node: Node, isKeptIn: (child: Node, parent: Node) => boolean): Node {
  const tag = tagOf(node);
  if (!Array.isArray(node[tag])) return node;
  const kept = childrenOf(node).filter((child) => isKeptIn(child, node));
  return { ...node, [tag]: kept.map((child) => strip(child, isKeptIn)) };
}

function parse(ovf: string): readonly Node[] | undefined {
  if (!isSafeXml(ovf, LIMITS)) return undefined;
  const nodes = parser.parse(ovf) as Node[];
  return nodes.some((node) => localName(tagOf(node)) === 'Envelope') ? nodes : undefined;
}

function edit(ovf: string, isKeptIn: (child: Node, parent: Node) => boolean): string | undefined {
  try {
    return builder.build(parse(ovf)?.map((node) => strip(node, isKeptIn)) ?? []) || undefined;
  } catch {
    // The parser refuses some texts that pass `isSafeXml`. Deep nesting can exhaust the stack.
    return undefined;
  }
}

/** The configuration without disks, snapshots and quota; undefined for a text that is no OVF. */
export function withoutDisks(ovf: string): string | undefined {
  return edit(ovf, isKept);
}

/**
 * The configuration without MAC addresses. The engine allocates one for each card without one.
 * Undefined for a text that is no OVF.
 *
 * @see ovirt-engine ImportVmCommandBase, `shouldReassignMac`
 */
export function withoutMacs(ovf: string): string | undefined {
  return edit(
    ovf,
    (child, parent) => localName(tagOf(child)) !== 'MACAddress' || !isItem(parent, NIC_RESOURCE),
  );
}

/** A network card in a configuration. */
export interface SavedNic {
  readonly name: string;
  readonly mac: string;
}

function nicsIn(nodes: readonly Node[]): SavedNic[] {
  return nodes.flatMap((node) => {
    if (!isItem(node, NIC_RESOURCE)) return nicsIn(childrenOf(node));
    const mac = childText(node, 'MACAddress');
    return mac ? [{ name: childText(node, 'Name') ?? '', mac }] : [];
  });
}

/** Network cards that have a MAC address. None for a text that is no OVF. */
export function savedNics(ovf: string): readonly SavedNic[] {
  try {
    return nicsIn(parse(ovf) ?? []);
  } catch {
    return [];
  }
}
