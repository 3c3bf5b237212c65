/** Decides what an image session makes: a full, or an increment on a parent that was opened and checked. */
import { BackupError, RepositoryError, UsageError } from '../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { formatBytes, GIB, MIB } from '../core/units.ts';
import type { RawImage } from '../devices/rawImageDevice.ts';
import type { BlockVerbs } from '../pipeline/blockVerbs.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import type { RestorePoint } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import { nameImages, planFull, planIncrement, type PlannedDisk } from './imagePlan.ts';
import { type CheckedParent, tryOpenParent } from './parentPoint.ts';

export type SessionMode = 'auto' | 'full' | 'incremental';

export interface SessionPlan {
  /** In the order of the images. */
  readonly planned: readonly PlannedDisk[];
  /** Undefined for a full. */
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
}

export interface PlanOptions {
  readonly mode: SessionMode;
  /** What the user asked for; undefined leaves the choice here. */
  readonly blockSizeBytes: number | undefined;
  readonly verbs: BlockVerbs;
  readonly note: (message: SessionMessage) => void;
}

/** From here on a full gets larger blocks, which keeps its metadata small. */
const LARGE_FULL_BYTES = 128 * GIB;

function fullPlan(
  planned: readonly PlannedDisk[],
  images: readonly RawImage[],
  wantedBytes: number | undefined,
): SessionPlan {
  const allocatedBytes = images.reduce((sum, image) => sum + image.allocatedBytes, 0);
  const byDefault = allocatedBytes > LARGE_FULL_BYTES ? 4 * MIB : MIB;
  return { planned, parent: undefined, blockSizeBytes: wantedBytes ?? byDefault };
}

/** A chain keeps the block size of its full. */
function chainBlockSize(parent: RestorePoint, wantedBytes: number | undefined): number {
  if (wantedBytes === undefined || wantedBytes === parent.blockSizeBytes) {
    return parent.blockSizeBytes;
  }
  throw new UsageError(
    'USAGE_INVALID_OPTION',
    `block size ${formatBytes(wantedBytes)}: the chain has blocks of ${formatBytes(parent.blockSizeBytes)}`,
    { hint: 'leave --block-size out, or start a new chain with --mode full' },
  );
}

function nothingToBuildOn(folder: VmFolder): RepositoryError {
  return new RepositoryError('CHAIN_PARENT_MISSING', `${folder.folder}: no restore point yet`, {
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

/**
 * Plans a session.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION`
 * @throws {@link RepositoryError} `CHAIN_PARENT_MISSING`, `CHAIN_PARENT_DAMAGED` in mode `incremental`; in
 *   mode `auto` a damaged parent is message REPO-501 and a new full
 */
export async function planImageSession(
  folder: VmFolder,
  metadata: ChainMetadata,
  images: readonly RawImage[],
  options: PlanOptions,
): Promise<SessionPlan> {
  const { mode, blockSizeBytes: wantedBytes, verbs, note } = options;
  const disks = nameImages(
    metadata.vm.id,
    images.map((image) => ({ path: image.path, sizeBytes: image.virtualSizeBytes })),
  );
  const newest = metadata.points.at(-1);
  if (mode === 'incremental' && !newest) throw nothingToBuildOn(folder);
  if (mode === 'full' || !newest) {
    const reason = newest ? 'full requested' : 'first restore point';
    return fullPlan(planFull(disks, reason), images, wantedBytes);
  }
  const parent = await tryOpenParent(folder.folder, metadata, newest, verbs);
  if (!(parent instanceof BackupError)) {
    const { planned, messages } = planIncrement(disks, newest);
    for (const message of messages) note(message);
    return { planned, parent, blockSizeBytes: chainBlockSize(newest, wantedBytes) };
  }
  if (mode === 'incremental') throw damagedParent(newest, parent);
  const reason = `${parent.message} (${parent.code})`;
  note(sessionMessage('REPO-501', { rp: newest.pointId, reason }));
  return fullPlan(planFull(disks, 'the chain does not verify'), images, wantedBytes);
}
