/**
 * Facts of the summary.xml in a container of others: what the file is, what it builds on, and which
 * VMs it holds. Everything is optional, because programs and versions differ.
 */
import { XMLParser } from 'fast-xml-parser';
import { isSafeXml, type XmlLimits } from '../xmlShape.ts';

/** Id of something in a file, and of what it builds on in the file before. Empty: not told. */
export interface IdLink {
  readonly id: string;
  readonly parentId: string;
}

export interface SummaryVm {
  /** Folder of the VM in the container; empty when it is not told. */
  readonly folder: string;
  readonly name: string;
  /** Id of the machine, the same in all files. */
  readonly objectId: string;
  /** State of the machine in this file. */
  readonly link: IdLink;
  /** ISO 8601, UTC; empty when it is not told. */
  readonly createdAt: string;
}

export interface ForeignSummary {
  readonly storage: IdLink;
  readonly vms: readonly SummaryVm[];
  /** Items that the summary lists; undefined when it lists none. */
  readonly fileNames: ReadonlySet<string> | undefined;
}

/** One tag can hold the description of all disks of a machine. */
const LIMITS: XmlLimits = { maxChars: 16 * 1024 * 1024, maxTagChars: 4 * 1024 * 1024 };
const ROOT = 'OibSummary';
const ZERO_GUID = /^[0-]*$/;

type Node = Readonly<Record<string, unknown>>;

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseAttributeValue: false,
  isArray: (name) => name === 'OIB' || name === 'File',
});

function nodeOf(value: unknown): Node {
  return typeof value === 'object' && value !== null ? (value as Node) : {};
}

function listOf(value: unknown): readonly Node[] {
  return Array.isArray(value) ? value.map(nodeOf) : [];
}

function text(node: Node, name: string): string {
  const value = node[`@${name}`];
  return typeof value === 'string' ? value : '';
}

/** A GUID in one form: some programs put braces around it. The GUID of zeros means none. */
function guid(node: Node, name: string): string {
  const value = text(node, name).toLowerCase().replaceAll(/[{}]/g, '');
  return ZERO_GUID.test(value) ? '' : value;
}

function linkOf(node: Node): IdLink {
  return { id: guid(node, 'Id'), parentId: guid(node, 'LinkId') };
}

/** From `MM/dd/yyyy HH:mm:ss`. */
function timeOf(node: Node): string {
  const parts = /^(\d\d)\/(\d\d)\/(\d{4}) (\d\d:\d\d:\d\d)$/.exec(text(node, 'CreationTimeUtc'));
  if (!parts) return '';
  const [, month, day, year, time] = parts;
  const date = new Date(`${year}-${month}-${day}T${time}.000Z`);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
}

function vmOf(node: Node): SummaryVm {
  return {
    folder: text(node, 'InsideDir').replaceAll(/^\/+|\/+$/g, ''),
    name: text(node, 'DisplayName') || text(node, 'VmName'),
    objectId: guid(node, 'ObjectId'),
    link: linkOf(node),
    createdAt: timeOf(node),
  };
}

/** Undefined for a text that is no such summary. */
export function readForeignSummary(xml: string): ForeignSummary | undefined {
  if (!isSafeXml(xml, LIMITS)) return undefined;
  let parsed: Node;
  try {
    parsed = nodeOf(parser.parse(xml));
  } catch {
    // The validator accepts some texts that the parser refuses.
    return undefined;
  }
  if (!(ROOT in parsed)) return undefined;
  const root = nodeOf(parsed[ROOT]);
  const names = listOf(nodeOf(root['OibFiles'])['File']).map((file) => text(file, 'FileName'));
  return {
    storage: linkOf(nodeOf(root['Storage'])),
    vms: listOf(root['OIB']).map(vmOf),
    fileNames: names.length > 0 ? new Set(names) : undefined,
  };
}
