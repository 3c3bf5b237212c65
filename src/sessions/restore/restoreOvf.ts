/**
 * Prepares a saved VM configuration for an import: without disks and snapshots. An engine attaches floating disks
 * whose ids are in the configuration, which would give the new VM the old one's disks.
 *
 * @see ovirt-engine ImportVmFromConfigurationCommand
 */
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { isSafeXml, type XmlLimits } from '../../core/xmlShape.ts';

/** A configuration has some 50 KiB; scripts and icons are texts in it. */
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
  // What is kept stays as it was written, references to characters too.
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

/** The configuration without its disks; undefined for a text that is no OVF. */
export function withoutDisks(ovf: string): string | undefined {
  if (!isSafeXml(ovf, LIMITS)) return undefined;
  try {
    const nodes = parser.parse(ovf) as Node[];
    if (!nodes.some((node) => localName(tagOf(node)) === 'Envelope')) return undefined;
    return builder.build(nodes.map(strip));
  } catch {
    // What the validator lets pass is not always what the parser takes, and elements may be nested without end.
    return undefined;
  }
}
