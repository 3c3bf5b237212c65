/**
 * Prepares a saved VM configuration for an import: removes disks and snapshots. The engine attaches
 * floating disks whose ids are in the configuration. So the new VM would get disks of the old one.
 *
 * @see ovirt-engine ImportVmFromConfigurationCommand
 */
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { isSafeXml, type XmlLimits } from '../../core/xmlShape.ts';

/** A configuration has about 50 KiB. Scripts and icons are texts in it, so it can be larger. */
const LIMITS: XmlLimits = { maxChars: 16 * 1024 * 1024, maxTagChars: 1024 * 1024 };
const ATTRIBUTES = ':@';
const PREFIX = '@';
/** CIM resource type of a disk. */
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

function isDiskItem(node: Node): boolean {
  return childrenOf(node).some(
    (child) => localName(tagOf(child)) === 'ResourceType' && textOf(child).trim() === DISK_RESOURCE,
  );
}

function isKept(node: Node): boolean {
  const name = localName(tagOf(node));
  if (name === 'File' || name === 'Disk') return false;
  if (name === 'Section') return !isDroppedSection(node);
  return name !== 'Item' || !isDiskItem(node);
}

function strip(node: Node): Node {
  const tag = tagOf(node);
  if (!Array.isArray(node[tag])) return node;
  return { ...node, [tag]: childrenOf(node).filter(isKept).map(strip) };
}

/** The configuration without disks and snapshots; undefined for a text that is no OVF. */
export function withoutDisks(ovf: string): string | undefined {
  if (!isSafeXml(ovf, LIMITS)) return undefined;
  try {
    const nodes = parser.parse(ovf) as Node[];
    if (!nodes.some((node) => localName(tagOf(node)) === 'Envelope')) return undefined;
    return builder.build(nodes.map(strip));
  } catch {
    // The parser refuses some texts that pass `isSafeXml`. Deep nesting can exhaust the stack.
    return undefined;
  }
}
