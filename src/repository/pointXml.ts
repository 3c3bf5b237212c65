/**
 * XML forms of restore points: the .vbm of a chain holds all of them, summary.xml in each container
 * holds one.
 */
import { XMLBuilder, XMLParser } from 'fast-xml-parser';
import { z } from 'zod';
import { BackupError, RepositoryError } from '../core/errors.ts';
import { isSafeXml, type XmlLimits } from './xmlShape.ts';
import { boundedText } from './names.ts';
import {
  checkMetadata,
  checkPoint,
  type DiskPoint,
  fileNameSchema,
  MAX_NAME_CHARS,
  MAX_REASON_CHARS,
  type RestorePoint,
  type VmIdentity,
  vmSchema,
} from './restorePoint.ts';

export interface ChainMetadata {
  readonly vm: VmIdentity;
  /** In the order of their creation. Parents come before their children. */
  readonly points: readonly RestorePoint[];
  /**
   * Containers that no point needs and that must be deleted, see obsoleteFiles.ts. Only in the
   * .vbm.
   */
  readonly obsoleteFiles?: readonly string[] | undefined;
  /**
   * Token of the last session that took the lock of another one over, in a bucket. It makes the
   * content a new one, see store/s3/lock.ts. Only in the .vbm.
   */
  readonly lockToken?: number | undefined;
}

const FORMAT = 1;
const PRODUCT = 'ovirt-cbt';
const ATTRIBUTE = '@';
/** A point has about 400 B, and each disk of it 300 B. */
const LIMITS: XmlLimits = { maxChars: 16 * 1024 * 1024, maxTagChars: 64 * 1024 };
/** Most bytes of a .vbm. A chain of 1000 points with ten disks has about 3.5 MiB. */
export const MAX_VBM_BYTES: number = 16 * 1024 * 1024;

const builder = new XMLBuilder({
  format: true,
  ignoreAttributes: false,
  attributeNamePrefix: ATTRIBUTE,
  suppressBooleanAttributes: false,
});
const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: ATTRIBUTE,
  parseAttributeValue: false,
  trimValues: false,
  isArray: (name) => name === 'Point' || name === 'Disk' || name === 'Obsolete',
});

type Attributes = Record<string, unknown>;

function capital(key: string): string {
  return `${ATTRIBUTE}${key.charAt(0).toUpperCase()}${key.slice(1)}`;
}

function toAttributes(fields: object): Attributes {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => typeof value !== 'object' && value !== undefined)
      .map(([key, value]) => [capital(key), String(value)]),
  );
}

const NUMBERS = new Set([
  'number',
  'blockSizeBytes',
  'fileBytes',
  'sizeBytes',
  'readBytes',
  'changedBytes',
  'storedBytes',
]);

const FLAGS = new Set(['bootable', 'changedWhileRead']);

/** Converts plain decimal digits. Any other value stays as it is, and the schema refuses it. */
function toNumber(value: unknown): unknown {
  return typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
}

function convert(key: string, value: unknown): unknown {
  if (NUMBERS.has(key)) return toNumber(value);
  return FLAGS.has(key) && (value === 'true' || value === 'false') ? value === 'true' : value;
}

function fromAttributes(node: unknown): Attributes {
  if (typeof node !== 'object' || node === null) return {};
  const fields: Attributes = {};
  for (const [name, value] of Object.entries(node)) {
    if (!name.startsWith(ATTRIBUTE)) continue;
    const key = name.charAt(1).toLowerCase() + name.slice(2);
    fields[key] = convert(key, value);
  }
  return fields;
}

/** A name as its readers accept it: an engine may give one that is empty or very long. */
function nameOf(name: string, id: string): string {
  return boundedText(name, MAX_NAME_CHARS) || id;
}

function diskNode(disk: DiskPoint): Attributes {
  const alias = nameOf(disk.alias, disk.diskId);
  return toAttributes({ ...disk, alias, reason: boundedText(disk.reason, MAX_REASON_CHARS) });
}

function pointNode(point: RestorePoint): Attributes {
  return { ...toAttributes(point), Disk: point.disks.map(diskNode) };
}

function pointFrom(node: unknown, what: string): RestorePoint {
  const disks = (node as { Disk?: unknown[] }).Disk ?? [];
  return checkPoint({ ...fromAttributes(node), disks: disks.map(fromAttributes) }, what);
}

function parse(text: string, what: string): Attributes {
  if (!isSafeXml(text, LIMITS)) throw notWellFormed(what);
  try {
    return parser.parse(text) as Attributes;
  } catch (error) {
    // The validator accepts some texts that the parser refuses: a processing instruction without
    // its end.
    throw notWellFormed(what, error);
  }
}

function notWellFormed(what: string, cause?: unknown): RepositoryError {
  return new RepositoryError('REPOSITORY_METADATA_INVALID', `${what}: is not well-formed XML`, {
    cause,
    hint: 'run "ovirt-cbt rescan" to rebuild the chain metadata from the containers',
  });
}

const rootSchema = z.object({
  Vm: z.unknown(),
  Point: z.array(z.unknown()).default([]),
  Obsolete: z.array(z.unknown()).default([]),
  '@LockToken': z
    .string()
    .regex(/^\d{1,15}$/)
    .optional(),
});
/** Files with these names are deleted, so a name must not lead out of the folder. */
const obsoleteSchema = z.object({ fileName: fileNameSchema });

function decode(text: string, rootName: string, what: string): ChainMetadata {
  const root = checkMetadata(rootSchema, parse(text, what)[rootName], what);
  const obsoleteFiles = root.Obsolete.map(
    (node) => checkMetadata(obsoleteSchema, fromAttributes(node), what).fileName,
  );
  const { '@LockToken': token } = root;
  return {
    vm: checkMetadata(vmSchema, fromAttributes(root.Vm), what),
    points: root.Point.map((node) => pointFrom(node, what)),
    ...(obsoleteFiles.length > 0 && { obsoleteFiles }),
    ...(token !== undefined && { lockToken: Number(token) }),
  };
}

function encode(rootName: string, metadata: ChainMetadata, attributes: Attributes): string {
  const { id, name } = metadata.vm;
  const root = {
    ...attributes,
    Vm: toAttributes({ id, name: nameOf(name, id) }),
    Point: metadata.points.map(pointNode),
    Obsolete: (metadata.obsoleteFiles ?? []).map((fileName) => toAttributes({ fileName })),
  };
  return `<?xml version="1.0" encoding="utf-8"?>\n${builder.build({ [rootName]: root })}`;
}

export function encodeVbm(metadata: ChainMetadata): string {
  const { lockToken } = metadata;
  const attributes = toAttributes({ format: FORMAT, product: PRODUCT, lockToken });
  return encode('BackupMeta', metadata, attributes);
}

/**
 * Refuses text that names a point or a container twice: deleting it for one point would take it
 * from the other.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID`
 */
export function decodeVbm(text: string, what: string): ChainMetadata {
  const metadata = decode(text, 'BackupMeta', what);
  const { points } = metadata;
  const named = new Set(points.flatMap(({ pointId, fileName }) => [`/${pointId}`, fileName]));
  if (named.size === 2 * points.length) return metadata;
  throw new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${what}: names a restore point or a container twice`,
    { hint: 'run "ovirt-cbt rescan" to rebuild the chain metadata from the containers' },
  );
}

function notReadable(what: string, reason: string, cause?: unknown): RepositoryError {
  return new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${what}: this session could not read its own metadata again (${reason}); nothing was committed`,
    {
      cause,
      hint: 'use fewer disks or remove restore points with "ovirt-cbt prune"; otherwise report it',
    },
  );
}

/** Reads metadata back before it is committed. Otherwise nobody could use the restore point. */
function readBack(
  text: string,
  what: string,
  read: (text: string, what: string) => unknown,
): string {
  try {
    read(text, what);
    return text;
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    throw notReadable(what, error.message, error);
  }
}

/**
 * Like {@link encodeVbm}. The text was read back.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when no reader would accept it
 */
export function encodeReadableVbm(metadata: ChainMetadata, what: string): string {
  const text = encodeVbm(metadata);
  if (Buffer.byteLength(text) > MAX_VBM_BYTES) {
    throw notReadable(what, `it has more than ${MAX_VBM_BYTES} B`);
  }
  return readBack(text, what, decodeVbm);
}

/** The root element `OibSummary` is the one that forensic tools search for. */
export function encodeSummary(vm: VmIdentity, point: RestorePoint): string {
  return encode('OibSummary', { vm, points: [point] }, {});
}

/**
 * Like {@link encodeSummary}. The text was read back.
 *
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` when no reader would accept it
 */
export function encodeReadableSummary(vm: VmIdentity, point: RestorePoint, what: string): string {
  return readBack(encodeSummary(vm, point), what, decodeSummary);
}

/** @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID` */
export function decodeSummary(
  text: string,
  what: string,
): { readonly vm: VmIdentity; readonly point: RestorePoint } {
  const { vm, points } = decode(text, 'OibSummary', what);
  const [point] = points;
  if (!point || points.length > 1) {
    throw new RepositoryError('REPOSITORY_METADATA_INVALID', `${what}: names no single point`);
  }
  return { vm, point };
}
