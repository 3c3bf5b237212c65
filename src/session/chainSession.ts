/** What sessions over images and over an engine share: the parent, the block size, the new point, the report. */
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { BackupError, RepositoryError, UsageError } from '../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { formatBytes, GIB, MIB } from '../core/units.ts';
import type { DiskMode } from '../pipeline/blocks.ts';
import type { BlockVerbs } from '../pipeline/blockVerbs.ts';
import { clearObsolete } from '../repository/obsoleteFiles.ts';
import { guardRepository } from '../repository/durableFile.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import type { DiskPoint, RestorePoint, VmIdentity } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import type { DiskResult } from './backupDisk.ts';
import { healingMessage } from './healing.ts';
import { type CheckedParent, tryOpenParent } from './parentPoint.ts';

export type SessionMode = 'auto' | 'full' | 'incremental';

/** Disks whose pipelines run at once; they share slab, workers and container. */
export const PARALLEL_DISKS = 2;

/** From here on a full gets larger blocks, which keeps its metadata small. */
const LARGE_FULL_BYTES = 128 * GIB;

/** How a disk is read and stored. */
export interface PlannedDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly sizeBytes: number;
  readonly mode: DiskMode;
  readonly content: DiskPoint['content'];
  readonly reason: string;
  /** The disk at the parent point, where it is compared with it. */
  readonly parentDisk: DiskPoint | undefined;
  /** Only for disks of an engine. */
  readonly hardware?: DiskHardware | undefined;
}

/** How a disk was stored and plugged in. */
export type DiskHardware = Pick<DiskPoint, 'format' | 'interface' | 'bootable'>;

/** A parent that was opened and checked, or the reason for a full. */
export interface ParentChoice {
  readonly parent: CheckedParent | undefined;
  readonly fullReason: string;
}

type Note = (message: SessionMessage) => void;

/** Cleans up files of a stopped session and loads the chain metadata. Only for the holder of the lock. */
export async function prepareChain(
  folder: VmFolder,
  vm: VmIdentity,
  verbs: BlockVerbs,
  note: Note,
): Promise<ChainMetadata> {
  for (const message of await folder.removeLeftovers()) note(message);
  const known = await folder.readMetadata();
  if (!known) {
    await folder.writeMetadata({ vm, points: [] });
    return { vm, points: [] };
  }
  const cleared = await clearObsolete(folder, known);
  const { metadata, messages } = await folder.adoptOrphans(cleared.metadata, verbs);
  for (const message of [...cleared.messages, ...messages]) note(message);
  return metadata;
}

/**
 * Chooses what a session builds on.
 *
 * @throws {@link RepositoryError} `CHAIN_PARENT_MISSING`, `CHAIN_PARENT_DAMAGED` in mode `incremental`; in
 *   mode `auto` a damaged parent is message REPO-501 and a new full
 */
export async function chooseParent(
  folder: VmFolder,
  metadata: ChainMetadata,
  options: { readonly mode: SessionMode; readonly verbs: BlockVerbs; readonly note: Note },
): Promise<ParentChoice> {
  const { mode, verbs, note } = options;
  const newest = metadata.points.at(-1);
  if (mode === 'incremental' && !newest) throw nothingToBuildOn(folder.folder);
  if (mode === 'full' || !newest) {
    const fullReason = newest ? 'full requested' : 'first restore point';
    return { parent: undefined, fullReason };
  }
  const parent = await tryOpenParent(folder.folder, metadata, newest, verbs);
  if (!(parent instanceof BackupError)) {
    const healing = healingMessage(parent);
    if (healing) note(healing);
    return { parent, fullReason: '' };
  }
  if (mode === 'incremental') throw damagedParent(newest, parent);
  const reason = `${parent.message} (${parent.code})`;
  note(sessionMessage('REPO-501', { rp: newest.pointId, reason }));
  return { parent: undefined, fullReason: 'the chain does not verify' };
}

/**
 * Block size of a session: that of the chain, or for a full what is wanted, or what its data suggests.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when a chain has another one
 */
export function chooseBlockSize(
  parent: CheckedParent | undefined,
  wantedBytes: number | undefined,
  allocatedBytes: number,
): number {
  if (!parent) return wantedBytes ?? (allocatedBytes > LARGE_FULL_BYTES ? 4 * MIB : MIB);
  const { blockSizeBytes } = parent.point;
  if (wantedBytes === undefined || wantedBytes === blockSizeBytes) return blockSizeBytes;
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `block size ${formatBytes(wantedBytes)}: the chain has blocks of ${formatBytes(blockSizeBytes)}`,
    { hint: 'leave --block-size out, or start a new chain with --mode full' },
  );
}

/** Bytes that this user may still write to the volume of a folder. */
export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await guardRepository(`look at ${folder}`, () => statfs(folder));
  return bavail * bsize;
}

/** A full may need as much as is allocated; an increment's size is not known beforehand. */
export async function checkSpace(root: string, needBytes: number, note: Note): Promise<void> {
  const freeBytes = await freeBytesOf(root);
  if (freeBytes >= needBytes) return;
  const [free, need] = [formatBytes(freeBytes), formatBytes(needBytes)];
  note(sessionMessage('REPO-503', { free, repo: root, need }));
}

/** A restore point before its disks are known. */
export async function draftPoint(
  folder: VmFolder,
  parent: RestorePoint | undefined,
  startedAt: Date,
  blockSizeBytes: number,
): Promise<Omit<RestorePoint, 'disks'>> {
  const type = parent ? 'increment' : 'full';
  const pointId = randomUUID();
  return {
    pointId,
    number: parent ? parent.number + 1 : 1,
    type,
    chainId: parent?.chainId ?? pointId,
    parentPointId: parent?.pointId ?? '',
    fileName: await folder.unusedContainerName(type, startedAt),
    createdAt: startedAt.toISOString(),
    checkpointId: '',
    blockSizeBytes,
    fileBytes: 0,
  };
}

/** A disk as its restore point remembers it. */
export function toDiskPoint(planned: PlannedDisk, result: DiskResult): DiskPoint {
  const { diskId, alias, sizeBytes, mode, reason, readBytes, changedBytes, storedBytes } =
    result.report;
  const counts = { readBytes, changedBytes, storedBytes };
  const { content, hardware } = planned;
  return { diskId, alias, sizeBytes, content, mode, reason, ...counts, ...hardware };
}

/** Mode `incremental` where there is no restore point. */
export function nothingToBuildOn(place: string): RepositoryError {
  return new RepositoryError('CHAIN_PARENT_MISSING', `${place}: no restore point yet`, {
    hint: 'run the first session with --mode auto or --mode full',
  });
}

function damagedParent(point: RestorePoint, cause: BackupError): RepositoryError {
  return new RepositoryError(
    'CHAIN_PARENT_DAMAGED',
    `parent restore point ${point.pointId} does not verify: ${cause.message}`,
    {
      cause,
      hint: 'run "ovirt-cbt verify"; start a new chain with --mode full, or restore the file from a copy',
    },
  );
}
