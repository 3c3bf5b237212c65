/** The end of an engine backup whose data was read: finalize, snapshot gone, next base. */
import { EngineError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { Checkpoint } from '../../../ovirt/engine/entities.ts';
import { ownTroubles } from '../../../ovirt/engine/eventTexts.ts';
import type { BackupEnd } from '../../../ovirt/lifecycle/backupPhases.ts';
import type { Journal } from '../../../repository/journal.ts';
import { checkSnapshot } from '../../cleanup/engineCleanup.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';
import type { EngineBackup } from './engineBackup.ts';

const FREEZE_FAILED = /fr(?:ee|o)ze/i;

/** An engine that does not end its backup in time leaves it `unfinished`. */
export type AttemptEnd = BackupEnd | 'unfinished';

export interface EndContext {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly session: SessionLog;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}

/** Only the engine's events tell that a guest could not be frozen. */
export async function noteFreeze({ engine, vm, session }: EndContext): Promise<void> {
  const reason = (await ownTroubles(engine)).find((text) => FREEZE_FAILED.test(text));
  if (reason) session.note(sessionMessage('FRZ-401', { vm: vm.name, reason }));
}

/**
 * Ends the backup and checks that its snapshot is gone. All data is here by now, so an engine that
 * does not end its backup costs no restore point. The journal keeps what is left.
 */
export async function releaseBackup(
  backup: EngineBackup,
  context: EndContext,
): Promise<AttemptEnd> {
  const { session, signal, vm } = context;
  let end: BackupEnd;
  try {
    end = await backup.finalize();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    const fields = { backup: backup.id, vm: vm.name, reason: error.message };
    session.note(sessionMessage('XFER-306', fields));
    return 'unfinished';
  }
  await noteSnapshot(backup, context).catch((error: unknown) => tolerate(error, context));
  return end;
}

async function noteSnapshot(backup: EngineBackup, context: EndContext): Promise<void> {
  const { engine, vm, session, journal, signal } = context;
  const { snapshotId } = backup;
  const cleanup = { engine, vm, note: session.note, signal };
  if (!snapshotId || !(await checkSnapshot(cleanup, snapshotId))) return;
  await journal.append({ step: 'snapshot-gone', snapshotId });
}

/** With all data here, a question that the engine does not answer costs no restore point. */
function tolerate(error: unknown, { session, signal }: EndContext): void {
  signal.throwIfAborted();
  if (!(error instanceof EngineError)) throw error;
  session.log.warn({ code: error.code }, 'the engine did not answer a question');
}

export interface NextBase {
  /** The checkpoint that the next session may start from; empty when there is none. */
  readonly checkpointId: string;
  /** The checkpoints of the VM after its backup; undefined when they were not read. */
  readonly checkpoints?: readonly Checkpoint[];
}

/**
 * The base of the next session. Its checkpoint must exist and hold a disk. A backup that ended as
 * failed gives none.
 */
export async function nextBase(
  backup: EngineBackup,
  end: AttemptEnd,
  context: EndContext,
): Promise<NextBase> {
  const { engine, vm, session } = context;
  const { toCheckpointId } = backup.ready;
  // The next session checks whether the engine made it.
  if (end === 'unfinished') return { checkpointId: toCheckpointId ?? '' };
  if (end === 'failed') {
    session.note(sessionMessage('SNP-205', { backup: backup.id, vm: vm.name, phase: end }));
    return { checkpointId: '' };
  }
  if (!toCheckpointId) return { checkpointId: '' };
  try {
    const checkpoints = await engine.checkpointsWithDisks(vm.id);
    const known = checkpoints.find((one) => one.id === toCheckpointId);
    if (known?.state !== 'created') return { checkpointId: '', checkpoints };
    const { size } = await engine.checkpointDiskIds(vm.id, known);
    return { checkpointId: size > 0 ? toCheckpointId : '', checkpoints };
  } catch (error) {
    tolerate(error, context);
    return { checkpointId: toCheckpointId };
  }
}
