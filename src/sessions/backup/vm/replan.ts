/** The next plan of a session whose attempt failed because its plan did not hold. */
import { BackupError } from '../../../core/errors.ts';
import { sessionMessage, type SessionMessage } from '../../../core/messages.ts';
import { faultKind } from '../../../ovirt/engine/engineErrors.ts';
import { isPlanOutdated } from '../../../ovirt/engine/faults.ts';
import type { VmTask } from './vmContext.ts';
import { ChangeMapBroken } from './vmDisks.ts';
import { withoutCheckpoint } from './vmPlan.ts';

/** True when disks were plugged or unplugged after the plan was made. */
export function isOutdated(error: unknown): boolean {
  const kind = faultKind(error);
  return kind !== undefined && isPlanOutdated(kind);
}

/** A task without checkpoint, and the message that says why. */
export interface TaskWithoutCheckpoint {
  readonly task: VmTask;
  readonly message: SessionMessage;
}

/**
 * The same task without its checkpoint, so that disks are compared instead.
 *
 * @returns undefined when the error does not concern the checkpoint, or the task has none.
 */
export function taskWithoutCheckpoint(
  task: VmTask,
  vmName: string,
  error: unknown,
): TaskWithoutCheckpoint | undefined {
  const { plan, parent } = task;
  const { fromCheckpointId: checkpoint } = plan;
  if (!checkpoint || !parent) return undefined;
  if (error instanceof ChangeMapBroken) {
    const { alias, diskId: id } = error.disk;
    const reason = 'change map broken, backup restarted without checkpoint';
    const message = sessionMessage('CBT-105', { alias, id, vm: vmName });
    return { task: { ...task, plan: withoutCheckpoint(plan, reason) }, message };
  }
  if (!(error instanceof BackupError) || error.code !== 'ENGINE_CHANGE_MAP_LOST') return undefined;
  const { createdAt: date, pointId: rp } = parent.point;
  const code = error.details['kind'] === 'checkpoint-invalid' ? 'CBT-104' : 'CBT-103';
  const message = sessionMessage(code, { checkpoint, date, rp });
  const reason = 'the engine refused the checkpoint';
  return { task: { ...task, plan: withoutCheckpoint(plan, reason) }, message };
}
