/** A restore point: one shape, stored in the .vbm and inside each container. */
import { z } from 'zod';
import { MAX_BLOCK_BYTES } from '../container/format/layout.ts';
import { RepositoryError } from '../core/errors.ts';
import type { DiskMode } from '../flow/records.ts';

/** One disk at a restore point. */
export interface DiskPoint {
  /** Name of the disk's item in the container. */
  readonly diskId: string;
  /** Name for people: file name of the image, or alias of an oVirt disk. */
  readonly alias: string;
  readonly sizeBytes: number;
  /** Form in the container: a whole file map, or patch records on the parent. */
  readonly content: 'full' | 'increment';
  /** Of the session that made the point. A merge keeps mode, reason and bytes read. */
  readonly mode: DiskMode;
  /** Reason for the mode, in words. */
  readonly reason: string;
  readonly readBytes: number;
  /** Plain bytes of the blocks that the container records as data. */
  readonly changedBytes: number;
  /** Bytes of their stored form. A block that is stored already counts as 0. */
  readonly storedBytes: number;
  /** Only for disks of an engine. A restore gives these properties to the new disk. */
  readonly format?: 'cow' | 'raw' | undefined;
  readonly interface?: string | undefined;
  readonly bootable?: boolean | undefined;
  /**
   * True when the image was modified while it was read (DSK-112): the point may mix older and newer
   * blocks. Otherwise absent.
   */
  readonly changedWhileRead?: boolean | undefined;
}

export interface RestorePoint {
  readonly pointId: string;
  /**
   * Counts the points of a VM from 1, across its chains. It stays when the point becomes a full, or
   * when older points are removed. Older versions began at 1 again with each chain.
   */
  readonly number: number;
  readonly type: 'full' | 'increment';
  /** Same for all points of a chain: the point id of its first full. */
  readonly chainId: string;
  /** Empty for a full. */
  readonly parentPointId: string;
  readonly fileName: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
  /** Engine checkpoint of this point; empty for images. */
  readonly checkpointId: string;
  readonly blockSizeBytes: number;
  /** Size of the container. 0 inside the container itself, because it is not known yet. */
  readonly fileBytes: number;
  /**
   * Time until which nobody may delete the container: ISO 8601, UTC. Absent without a lock, and
   * inside the container itself.
   */
  readonly lockedUntil?: string | undefined;
  readonly disks: readonly DiskPoint[];
}

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const identifier = z.string().min(1).max(100);

/**
 * Most UTF-16 units of the name of a VM or a disk. oVirt's database allows 255 characters for both;
 * others may allow more.
 */
export const MAX_NAME_CHARS = 1024;
/** The same in a journal, and for disks that a restore makes: the engine allows no more. */
export const MAX_JOURNAL_NAME_CHARS = 255;
/** Most UTF-16 units of the reason for a mode. */
export const MAX_REASON_CHARS = 1000;
/** Most disks of a restore point. */
export const MAX_DISKS = 1000;

const diskSchema: z.ZodType<DiskPoint> = z.object({
  diskId: identifier,
  alias: z.string().min(1).max(MAX_NAME_CHARS),
  sizeBytes: count,
  content: z.enum(['full', 'increment']),
  mode: z.enum(['full', 'incremental', 'compare']),
  reason: z.string().max(MAX_REASON_CHARS),
  readBytes: count,
  changedBytes: count,
  storedBytes: count,
  format: z.enum(['cow', 'raw']).optional(),
  interface: z
    .string()
    .regex(/^[a-z_]{1,40}$/)
    .optional(),
  bootable: z.boolean().optional(),
  changedWhileRead: z.boolean().optional(),
});

/** A name without a folder part, so that the path stays in the VM folder. */
export const fileNameSchema: z.ZodType<string> = z
  .string()
  .regex(/^[^/\0]+\.(vbk|vib)$/)
  .max(255);

const pointSchema: z.ZodType<RestorePoint> = z.object({
  pointId: identifier,
  number: z.number().int().positive(),
  type: z.enum(['full', 'increment']),
  chainId: identifier,
  parentPointId: z.string().max(100),
  fileName: fileNameSchema,
  createdAt: z.iso.datetime(),
  checkpointId: z.string().max(100),
  blockSizeBytes: count.min(512).max(MAX_BLOCK_BYTES),
  fileBytes: count,
  lockedUntil: z.iso.datetime().optional(),
  disks: z.array(diskSchema).max(MAX_DISKS),
});

export interface VmIdentity {
  readonly id: string;
  readonly name: string;
}

export const vmSchema: z.ZodType<VmIdentity> = z.object({
  id: z.string().min(1).max(100),
  name: z.string().min(1).max(MAX_NAME_CHARS),
});

/**
 * Checks data that came from a file.
 *
 * @param what - where the data came from, for the message.
 * @throws {@link RepositoryError} `REPOSITORY_METADATA_INVALID`
 */
export function checkMetadata<T>(schema: z.ZodType<T>, data: unknown, what: string): T {
  const result = schema.safeParse(data);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new RepositoryError(
    'REPOSITORY_METADATA_INVALID',
    `${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`,
    { hint: 'run "ovirt-cbt rescan" to rebuild the chain metadata from the containers' },
  );
}

export function checkPoint(data: unknown, what: string): RestorePoint {
  return checkMetadata(pointSchema, data, what);
}

/** Item name of a disk's fingerprint index. */
export function fingerprintItemName(diskId: string): string {
  return `fingerprints_${diskId}`;
}

/** Item name of the VM's configuration. */
export function ovfItemName(vmId: string): string {
  return `${vmId}.ovf`;
}

/**
 * Points from the full of `point`'s chain up to `point`, oldest first.
 *
 * @throws {@link RepositoryError} `CHAIN_PARENT_MISSING`
 */
export function chainTo(points: readonly RestorePoint[], point: RestorePoint): RestorePoint[] {
  const byId = new Map(points.map((known) => [known.pointId, known]));
  const chain: RestorePoint[] = [];
  let at: RestorePoint | undefined = point;
  while (at) {
    if (chain.includes(at)) break;
    chain.unshift(at);
    if (at.type === 'full') return chain;
    at = byId.get(at.parentPointId);
  }
  throw new RepositoryError(
    'CHAIN_PARENT_MISSING',
    `restore point ${point.pointId}: its parent ${chain[0]?.parentPointId} is not in the repository`,
    { hint: 'copy the missing file back and run "ovirt-cbt rescan"' },
  );
}
