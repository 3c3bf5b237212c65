/** Backups that a session meets on the engine: left ones of ours, and those of others. */
import { BackupError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../ovirt/engine/engineErrors.ts';
import type { Vm } from '../../ovirt/engine/entities.ts';
import type { StoreLock } from '../../store/store.ts';
import { type CleanupContext, endOwnBackup } from './engineCleanup.ts';
import { unfinishedBackups } from './ownership.ts';

/**
 * Ends backups with our marker that no journal knows: its folder may have been restored from a
 * copy.
 *
 * @param ownerId - id in the description of our backups.
 * @param lock - of the VM's folder. Without it a backup may be that of another session.
 * @throws {@link RepositoryError} `REPOSITORY_LOCKED`
 */
export async function removeOwnLeftBackups(
  context: CleanupContext,
  ownerId: string,
  lock: Pick<StoreLock, 'assertHeld'>,
): Promise<void> {
  const { engine, vm, note } = context;
  const { own } = await unfinishedBackups(engine, vm.id, ownerId);
  for (const backup of own) {
    await lock.assertHeld();
    if ((await endOwnBackup(context, backup.id)).wasOpen) {
      note(sessionMessage('JOB-606', { what: `backup ${backup.id} of ${vm.name}` }));
    }
  }
}

export interface FailedOn {
  readonly engine: EngineApi;
  readonly vm: Vm;
  readonly note: (message: SessionMessage) => void;
  /** Id in the description of our backups. */
  readonly ownerId: string;
}

/** Adds the session message that belongs to some errors. */
export async function noteFailure(error: unknown, failed: FailedOn): Promise<void> {
  const { vm, note } = failed;
  const kind = faultKind(error);
  if (kind === 'snapshot-preview') note(sessionMessage('SNP-202', { vm: vm.name }));
  if (kind === 'hosted-engine') note(sessionMessage('JOB-604', { vm: vm.name }));
  if (kind === 'vm-state') note(sessionMessage('JOB-602', { vm: vm.name, state: vm.status }));
  if (kind === 'vm-busy') await noteForeignBackup(failed);
  if (error instanceof BackupError && error.code === 'TRANSFER_TICKET_GONE') {
    const { alias = '?', diskId = '?' } = error.details;
    note(sessionMessage('XFER-303', { alias: String(alias), id: String(diskId) }));
  }
}

async function noteForeignBackup({ engine, vm, note, ownerId }: FailedOn): Promise<void> {
  const signal = AbortSignal.timeout(engine.timings.connectMs);
  const open = await unfinishedBackups(engine.withSignal(signal), vm.id, ownerId).catch(() => {});
  const [foreign] = open?.foreign ?? [];
  if (foreign) note(sessionMessage('SNP-203', { vm: vm.name, backup: foreign.id }));
}
