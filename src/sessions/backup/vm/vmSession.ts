/**
 * A backup session of one VM of an engine. The order of its steps is that of docs/ovirt-flow.md.
 */
import type { BackupVmOptions, VmChain, VmContext, VmTask } from './vmContext.ts';
import type { StoredPoint } from '../storePoint.ts';
import { isOutdated, taskWithoutCheckpoint } from './replan.ts';
import { randomUUID } from 'node:crypto';
import { BackupError, UsageError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import { faultKind } from '../../../ovirt/engine/engineErrors.ts';
import type { Vm } from '../../../ovirt/engine/entities.ts';
import {
  BACKUP_JOURNAL,
  Journal,
  leftBackupJournal,
  removeJournal,
} from '../../../repository/journal.ts';
import { boundedText } from '../../../repository/names.ts';
import { MAX_JOURNAL_NAME_CHARS } from '../../../repository/restorePoint.ts';
import type { VmFolder } from '../../../repository/vmFolder.ts';
import { keepReportOf } from '../../history/keepReport.ts';
import { checkSpace } from '../../shared/freeSpace.ts';
import { chooseBlockSize, chooseParent } from '../parent/parentChoice.ts';
import { prepareChain } from '../../shared/prepareChain.ts';
import { endOpenSteps, isSettled } from '../../cleanup/engineCleanup.ts';
import { noteFailure, removeOwnLeftBackups } from '../../cleanup/leftBackups.ts';
import { type OwnCheckpoints, removeSuperseded } from '../../cleanup/ownership.ts';
import type { SessionReport } from '../../shared/report.ts';
import { SessionProgress } from '../../shared/progress.ts';
import { SessionLog } from '../../shared/sessionLog.ts';
import { postSessionEvent } from '../../shared/sessionEvents.ts';
import { awaitBackupState, checkVersion, readBase, readDisks, requireVm } from './vmInventory.ts';
import { type EngineDisk, judgeEmptyPlan, nothingToRead, planVm, type VmPlan } from './vmPlan.ts';
import { BackupAttempt } from './backupAttempt.ts';

/** Facts that tell which checkpoints of ours are superseded. */
type KnownCheckpoints = Pick<OwnCheckpoints, 'points' | 'checkpoints'>;

class VmSession {
  readonly #context: VmContext;
  readonly #options: BackupVmOptions;

  constructor(context: VmContext) {
    this.#context = context;
    this.#options = context.options;
  }

  async run(): Promise<SessionReport> {
    const { engine, session, progress } = this.#context;
    const { note } = session;
    progress.phase('preparing');
    const { signal, codecs } = this.#options;
    if (!codecs.lz4.isNative) note(sessionMessage('ENV-801', { reason: codecs.lz4.reason }));
    await checkVersion(engine, note);
    const vm = await requireVm(engine, this.#options.vm);
    progress.nameVm(vm);
    const folder = await this.#openFolder(vm);
    const kept = { ...this.#context, type: 'backup', vmName: vm.name, signal } as const;
    return await keepReportOf(folder, kept, () => this.#backup(vm, folder));
  }

  async #backup(vm: Vm, folder: VmFolder): Promise<SessionReport> {
    const { engine, session } = this.#context;
    const { note } = session;
    const { repository, signal, codecs } = this.#options;
    await using lock = await folder.lock();
    const metadata = await prepareChain(folder, { id: vm.id, name: vm.name }, codecs, note);
    const leftSnapshotIds = await this.#recover(vm, folder);
    await removeOwnLeftBackups({ engine, vm, note, signal }, repository.id, lock);
    const task = await this.#plan({ vm, folder, metadata }, await this.#readVm(vm));
    const journal = await this.#startJournal(vm, folder, leftSnapshotIds);
    const chain = { repositoryRoot: repository.root, vm, folder, metadata, lock, journal };
    try {
      const { report, points, checkpoints } = await this.#store(chain, task);
      await this.#afterCommit(chain, report, { points, checkpoints });
      return report;
    } catch (error) {
      await this.#afterFailure(chain, error);
      await noteFailure(error, { engine, vm, note: session.note, ownerId: repository.id });
      throw error;
    } finally {
      await (isSettled(journal.entries) ? journal.remove() : journal.keep());
    }
  }

  async #openFolder(vm: Vm): Promise<VmFolder> {
    const { repository } = this.#options;
    const known = await repository.vmById(vm.id);
    if (known) return known;
    const namesakes = (await repository.vmFolders()).filter((folder) => folder.vmId !== vm.id);
    for (const other of namesakes) {
      if (!(await other.isNamed(vm.name))) continue;
      const fields = { vm: vm.name, old: other.vmId, id: vm.id };
      this.#context.session.note(sessionMessage('JOB-603', fields));
    }
    return await repository.createVm({ id: vm.id, name: vm.name });
  }

  /** Cleans up after a session that was killed. @returns snapshots that still exist. */
  async #recover(vm: Vm, folder: VmFolder): Promise<readonly string[]> {
    const left = await leftBackupJournal(folder.place);
    if (!left) return [];
    const { engine, session } = this.#context;
    const context = { engine, vm, note: session.note, signal: this.#options.signal };
    const { found, leftSnapshotIds } = await endOpenSteps(context, left.entries);
    for (const what of found) session.note(sessionMessage('JOB-606', { what }));
    // This session may fail before it has a journal of its own: these ids must survive that.
    if (leftSnapshotIds.length > 0)
      await (await this.#startJournal(vm, folder, leftSnapshotIds)).keep();
    else await removeJournal(folder.place, left.fileName);
    return leftSnapshotIds;
  }

  /**
   * Waits until the VM can be backed up. The last answer has its state, its disks and its
   * configuration. During a backup the configuration would list the backup's own snapshot.
   */
  async #readVm(vm: Vm): Promise<Vm> {
    const { engine, session } = this.#context;
    const ask = (): Promise<Vm | undefined> => engine.vmWithContent(vm.id);
    return await awaitBackupState(engine, vm, ask, session.note, this.#options.signal);
  }

  /**
   * Reads the VM's disks and its last checkpoint, and decides how each disk is read.
   *
   * @param now - as {@link #readVm} gives it.
   */
  async #plan(chain: Pick<VmChain, 'vm' | 'folder' | 'metadata'>, now: Vm): Promise<VmTask> {
    const { vm, folder, metadata } = chain;
    const { engine, session } = this.#context;
    const { mode, codecs, repository } = this.#options;
    const { ovf } = now;
    const disks = await readDisks(engine, now, this.#options.disks);
    const choice = await chooseParent(folder, metadata, { mode, codecs, note: session.note });
    const { parent, fullReason } = choice;
    const base = await readBase(engine, vm.id, parent?.point.checkpointId ?? '');
    const plan = planVm(disks, vm.name, parent?.point, { base, fullReason });
    for (const message of plan.messages) session.note(message);
    const empty = judgeEmptyPlan(plan, disks, vm.name, metadata.points.at(-1));
    if (empty instanceof UsageError) throw empty;
    if (empty && ovf === undefined) throw nothingToRead(vm.name);
    if (empty) session.note(empty);
    const allocatedBytes = allocatedOf(disks, plan);
    const blockSizeBytes = chooseBlockSize(parent, this.#options.blockSizeBytes, allocatedBytes);
    if (!parent) await checkSpace(repository.store, allocatedBytes, session.note);
    return { plan, parent, blockSizeBytes, allocatedBytes, ovf };
  }

  async #startJournal(
    vm: Vm,
    folder: VmFolder,
    leftSnapshotIds: readonly string[],
  ): Promise<Journal> {
    const { sessionId } = this.#context;
    const vmName = boundedText(vm.name, MAX_JOURNAL_NAME_CHARS);
    return await Journal.create(
      folder.place,
      BACKUP_JOURNAL,
      { kind: 'backup', sessionId, vmId: vm.id, vmName },
      leftSnapshotIds.map((snapshotId) => ({ step: 'snapshot-left', snapshotId })),
    );
  }

  /**
   * Stores the VM. An attempt whose plan did not hold is repeated: once with a new plan, and once
   * without the checkpoint.
   */
  async #store(chain: VmChain, planned: VmTask): Promise<StoredPoint & KnownCheckpoints> {
    const { session } = this.#context;
    let task = planned;
    let wasPlannedAgain = false;
    for (let number = 1; ; number++) {
      try {
        const attempt = new BackupAttempt(this.#context, chain, task, number);
        return { ...(await attempt.run()), checkpoints: attempt.checkpoints };
      } catch (error) {
        if (isOutdated(error) && !wasPlannedAgain) {
          wasPlannedAgain = true;
          session.log.warn({ kind: faultKind(error) }, 'the disks have changed, planning again');
          task = await this.#plan(chain, await this.#readVm(chain.vm));
          continue;
        }
        const next = taskWithoutCheckpoint(task, chain.vm.name, error);
        if (!next) throw error;
        session.note(next.message);
        task = next.task;
      }
    }
  }

  /** The point is safe: nothing here may fail the session. */
  async #afterCommit(
    chain: VmChain,
    report: SessionReport,
    known: KnownCheckpoints,
  ): Promise<void> {
    const { vm } = chain;
    await this.#dropCheckpoints(chain, known);
    const modes = report.disks.map((disk) => `${disk.alias} ${disk.mode}`).join(', ');
    const text = `Backup of ${vm.name}: restore point ${report.pointNumber} (${report.pointType}) committed: ${modes}`;
    await postSessionEvent(this.#context.engine, vm.id, this.#severity(), text);
  }

  /** The old base stays. A checkpoint of the failed session is of no use. */
  async #afterFailure(chain: VmChain, error: unknown): Promise<void> {
    const { vm, metadata } = chain;
    await this.#dropCheckpoints(chain, { points: metadata.points });
    const code = error instanceof BackupError ? error.code : 'INTERNAL';
    const text = `Backup of ${vm.name} failed (${code})`;
    await postSessionEvent(this.#context.engine, vm.id, 'error', text);
  }

  /** Without the lock the newest checkpoint may be that of another session. */
  async #dropCheckpoints({ vm, lock }: VmChain, known: KnownCheckpoints): Promise<void> {
    if (!(await lock.isHeld())) return;
    const { engine, session } = this.#context;
    const signal = AbortSignal.timeout(engine.timings.cleanupMs / 2);
    const own = {
      engine: engine.withSignal(signal),
      vm,
      repositoryId: this.#options.repository.id,
      ...known,
      note: session.note,
      signal,
    };
    await removeSuperseded(own).catch((error: unknown) => {
      session.log.warn({ reason: String(error) }, 'superseded checkpoints were not removed');
    });
  }

  #severity(): 'normal' | 'warning' {
    const { messages } = this.#context.session;
    return messages.some((message) => message.level !== 'info') ? 'warning' : 'normal';
  }
}

/**
 * Backs up one VM.
 *
 * @throws a {@link BackupError}; the restore points before it stay as they were
 */
export async function backupVm(options: BackupVmOptions): Promise<SessionReport> {
  const sessionId = randomUUID();
  const { logger, signal } = options;
  const session = new SessionLog(options, { sessionId, vmName: options.vm });
  const times = { startedAt: new Date(), startedAtMs: performance.now() };
  const progress = new SessionProgress(options, session.log, { sessionId, vmName: options.vm });
  const own = { logger, signal, correlationId: sessionId, onWait: progress.onWait };
  const engine = options.engine.withCorrelation(own);
  const context = { sessionId, ...times, session, progress, options, engine };
  return await progress.session(() => new VmSession(context).run());
}

function allocatedOf(disks: readonly EngineDisk[], plan: VmPlan): number {
  return disks
    .filter((disk) => plan.planned.some((planned) => planned.diskId === disk.diskId))
    .reduce((sum, disk) => sum + disk.allocatedBytes, 0);
}
