/** The parent and the block size of a session. */
import { BackupError, RepositoryError, UsageError } from '../../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import { formatBytes, GIB, MIB } from '../../../core/units.ts';
import type { BlockCodecs } from '../../../compute/blockCodecs.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import type { RestorePoint } from '../../../repository/restorePoint.ts';
import type { VmFolder } from '../../../repository/vmFolder.ts';
import { nothingToBuildOn } from '../../shared/startRepository.ts';
import { healingMessage } from './damageRecord.ts';
import { type CheckedParent, tryOpenParent } from './parentPoint.ts';

export type SessionMode = 'auto' | 'full' | 'incremental';

/** A full with more data gets larger blocks, which keeps its metadata small. */
const LARGE_FULL_BYTES = 128 * GIB;

/** A checked parent, or the reason for a full. */
export interface ParentChoice {
  readonly parent: CheckedParent | undefined;
  readonly fullReason: string;
}

type Note = (message: SessionMessage) => void;

/**
 * Chooses the restore point that a session builds on.
 *
 * In mode `auto` a damaged parent gives message REPO-501 and a new full.
 *
 * @throws {@link RepositoryError} `CHAIN_PARENT_MISSING`, `CHAIN_PARENT_DAMAGED` in mode
 *   `incremental`; `REPOSITORY_IO` when the system cannot read a file of the chain
 */
export async function chooseParent(
  folder: VmFolder,
  metadata: ChainMetadata,
  options: { readonly mode: SessionMode; readonly codecs: BlockCodecs; readonly note: Note },
): Promise<ParentChoice> {
  const { mode, codecs, note } = options;
  const newest = metadata.points.at(-1);
  if (mode === 'incremental' && !newest) throw nothingToBuildOn(folder.folder);
  if (mode === 'full' || !newest) {
    const fullReason = newest ? 'full requested' : 'first restore point';
    return { parent: undefined, fullReason };
  }
  const parent = await tryOpenParent(folder.place, metadata, newest, codecs);
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
 * Block size of a session: that of its chain. A full takes the wanted size, or one that fits its
 * data.
 *
 * @throws {@link UsageError} `USAGE_INVALID_OPTION` when the chain has another block size
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
