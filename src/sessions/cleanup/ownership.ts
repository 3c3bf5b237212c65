/**
 * Decides which objects on the engine are ours. The description of a backup names the repository's
 * id, and its checkpoint inherits the description. Chain metadata and journals name further ids.
 * All other objects belong to others and are not touched.
 */
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { BackupError } from '../../core/errors.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../ovirt/engine/engineErrors.ts';
import type { Backup, Checkpoint } from '../../ovirt/engine/entities.ts';
import { isBackupOver } from '../../ovirt/lifecycle/backupPhases.ts';
import { pollUntil } from '../../ovirt/poll.ts';
import type { RestorePoint } from '../../repository/restorePoint.ts';

const PRODUCT = 'ovirt-cbt';

/** Description of a session's backup. */
export function backupDescription(repositoryId: string, sessionId: string): string {
  return `${PRODUCT} ${repositoryId} ${sessionId}`;
}

/**
 * Description of VMs and disks that a restore makes. It tells them from others with the same name.
 */
export function restoreDescription(sessionId: string): string {
  return `Restored by ${PRODUCT}, session ${sessionId}`;
}

export function isOwnDescription(description: string, repositoryId: string): boolean {
  return description.startsWith(`${PRODUCT} ${repositoryId} `);
}

/** True for a description of another repository. A copy has points of the one it was made from. */
function isOfOtherRepository(description: string, repositoryId: string): boolean {
  return description.startsWith(`${PRODUCT} `) && !isOwnDescription(description, repositoryId);
}

export interface UnfinishedBackups {
  readonly own: readonly Backup[];
  readonly foreign: readonly Backup[];
}

export async function unfinishedBackups(
  engine: EngineApi,
  vmId: string,
  repositoryId: string,
): Promise<UnfinishedBackups> {
  const open = (await engine.backups(vmId)).filter((backup) => !isBackupOver(backup));
  const own = open.filter((backup) => isOwnDescription(backup.description, repositoryId));
  return { own, foreign: open.filter((backup) => !own.includes(backup)) };
}

export interface OwnCheckpoints {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly repositoryId: string;
  readonly points: readonly RestorePoint[];
  /** As read after the last backup of the VM. @defaultValue they are read now */
  readonly checkpoints?: readonly Checkpoint[] | undefined;
  readonly note: (message: SessionMessage) => void;
  readonly signal: AbortSignal;
}

/** Own checkpoints, except the base of the next session. */
export function supersededCheckpoints(
  checkpoints: readonly Checkpoint[],
  repositoryId: string,
  points: readonly RestorePoint[],
): Checkpoint[] {
  const base = points.at(-1)?.checkpointId;
  const recorded = new Set(points.map((point) => point.checkpointId));
  return checkpoints.filter(({ id, description }) => {
    if (id === base || isOfOtherRepository(description, repositoryId)) return false;
    return recorded.has(id) || isOwnDescription(description, repositoryId);
  });
}

/**
 * Removes own checkpoints that no later session needs, oldest first. When one cannot be removed,
 * SNP-204 is noted and the next session tries again.
 */
export async function removeSuperseded(own: OwnCheckpoints): Promise<void> {
  const { engine, vm, repositoryId, points } = own;
  const checkpoints = own.checkpoints ?? (await engine.checkpoints(vm.id));
  await removeCheckpoints(supersededCheckpoints(checkpoints, repositoryId, points), own);
}

/** Removes checkpoints in the given order. When one cannot be removed, SNP-204 is noted. */
export async function removeCheckpoints(
  checkpoints: readonly Checkpoint[],
  { engine, vm, note, signal }: Pick<OwnCheckpoints, 'engine' | 'vm' | 'note' | 'signal'>,
): Promise<void> {
  for (const { id } of checkpoints) {
    try {
      await removeCheckpoint(engine, vm.id, id, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BackupError)) throw error;
      note(sessionMessage('SNP-204', { checkpoint: id, vm: vm.name, reason: error.message }));
      return;
    }
  }
}

async function removeCheckpoint(
  engine: EngineApi,
  vmId: string,
  checkpointId: string,
  signal: AbortSignal,
): Promise<void> {
  const { timings } = engine;
  try {
    await engine.deleteCheckpoint(vmId, checkpointId);
  } catch (error) {
    if (faultKind(error) !== 'not-found') throw error;
  }
  await pollUntil(
    async () => {
      const left = await engine.checkpoints(vmId);
      return left.some((one) => one.id === checkpointId) ? undefined : true;
    },
    {
      timings,
      deadlineMs: timings.checkpointRemovedMs,
      what: `removal of checkpoint ${checkpointId}`,
      signal,
      waitsFirst: true,
    },
  );
}
