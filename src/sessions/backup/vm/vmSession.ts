/** A backup session of one VM of an engine. Wiring only; the order of its steps is that of docs/ovirt-flow.md. */
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { BackupError, UsageError } from '../../../core/errors.ts';
import type { Logger } from '../../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../../core/messages.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import { faultKind } from '../../../ovirt/engine/engineErrors.ts';
import type { Vm } from '../../../ovirt/engine/entities.ts';
import type { BlockCodecs } from '../../../compute/blockCodecs.ts';
import { ChainLock } from '../../../repository/chainLock.ts';
import {
  BACKUP_JOURNAL,
  Journal,
  leftBackupJournal,
  removeJournal,
} from '../../../repository/journal.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import type { Repository } from '../../../repository/repository.ts';
import type { VmFolder } from '../../../repository/vmFolder.ts';
import type { DiskProgress } from '../../shared/progress.ts';
import { checkSpace } from '../../shared/freeSpace.ts';
import { chooseBlockSize, chooseParent, type SessionMode } from '../parent/parentChoice.ts';
import { prepareChain } from '../../shared/prepareChain.ts';
import {
  type CleanupContext,
  endOpenSteps,
  endOwnBackup,
  isSettled,
} from '../../cleanup/engineCleanup.ts';
import { removeSuperseded, unfinishedBackups } from '../../cleanup/ownership.ts';
import type { CheckedParent } from '../parent/parentPoint.ts';
import type { SessionReport } from '../../shared/report.ts';
import { SessionLog } from '../../shared/sessionLog.ts';
import { postSessionEvent } from '../../shared/sessionEvents.ts';
import {
  awaitBackupState,
  checkVersion,
  type DiskSelection,
  readBase,
  readDisks,
  requireVm,
} from './vmInventory.ts';
import { type EngineDisk, planVm, type VmPlan } from './vmPlan.ts';
import { BackupAttempt } from './backupAttempt.ts';

export interface BackupVmOptions {
  readonly engine: EngineApi;
  readonly repository: Repository;
  readonly codecs: BlockCodecs;
  /** Name or id. */
  readonly vm: string;
  readonly mode: SessionMode;
  readonly disks: DiskSelection;
  readonly blockSizeBytes?: number | undefined;
  readonly workers?: number | undefined;
  /** Data requests at once per disk. */
  readonly connections: number;
  readonly requireConsistency: boolean;
  readonly partialReads: boolean;
  /** Part of the blocks called unchanged that is read all the same, above 0 and at most 1. */
  readonly auditRatio?: number | undefined;
  readonly signal: AbortSignal;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onDiskStart?: ((progress: DiskProgress) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

/** What a session knows once it holds its chain. */
export interface VmChain {
  readonly vm: Vm;
  readonly folder: VmFolder;
  readonly metadata: ChainMetadata;
  readonly lock: ChainLock;
  readonly journal: Journal;
}

/** What is to be done. */
export interface VmTask {
  readonly plan: VmPlan;
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
  /** The VM's configuration; undefined when the engine does not give it. */
  readonly ovf: string | undefined;
}

export class VmSession {
  readonly sessionId: string = randomUUID();
  readonly startedAt: Date = new Date();
  readonly startedAtMs: number = performance.now();
  readonly options: BackupVmOptions;
  readonly session: SessionLog;
  readonly engine: EngineApi;

  constructor(options: BackupVmOptions) {
    this.options = options;
    this.session = new SessionLog(options, { sessionId: this.sessionId, vmName: options.vm });
    const { logger, signal } = options;
    this.engine = options.engine.withCorrelation({
      logger,
      signal,
      correlationId: this.sessionId,
    });
  }

  /** @throws a {@link BackupError}; the restore points before it stay as they were */
  async run(): Promise<SessionReport> {
    const { engine, options, session } = this;
    const { note } = session;
    const { repository, signal, codecs } = options;
    if (!codecs.lz4.isNative) note(sessionMessage('ENV-801', { reason: codecs.lz4.reason }));
    await checkVersion(engine, note);
    const vm = await requireVm(engine, options.vm);
    const folder = await this.#openFolder(vm);
    await using lock = await ChainLock.acquire(folder.folder);
    const metadata = await prepareChain(folder, { id: vm.id, name: vm.name }, codecs, note);
    const leftSnapshotIds = await this.#recover(vm, folder);
    await removeOwnLeftBackups({ engine, vm, note, signal }, repository.id);
    await awaitBackupState(engine, vm, note, signal);
    const task = await this.plan({ vm, folder, metadata });
    const journal = await this.#startJournal(vm, folder, leftSnapshotIds);
    const store = new BackupAttempt(this, { vm, folder, metadata, lock, journal }, task);
    try {
      const report = await store.run();
      await this.#afterCommit(vm, report, store);
      return report;
    } catch (error) {
      await this.#afterFailure(vm, metadata, error);
      throw await this.#explain(vm, error);
    } finally {
      await (isSettled(journal.entries) ? journal.remove() : journal.keep());
    }
  }

  async #openFolder(vm: Vm): Promise<VmFolder> {
    const { repository } = this.options;
    const known = await repository.findVm(vm.id);
    if (known) return known;
    const namesakes = (await repository.vmFolders()).filter((folder) => folder.vmId !== vm.id);
    for (const other of namesakes) {
      if (!(await other.isNamed(vm.name))) continue;
      const fields = { vm: vm.name, old: other.vmId, id: vm.id };
      this.session.note(sessionMessage('JOB-603', fields));
    }
    return await repository.createVm({ id: vm.id, name: vm.name });
  }

  /** Cleans up after a session that was killed. @returns snapshots that still exist. */
  async #recover(vm: Vm, folder: VmFolder): Promise<readonly string[]> {
    const left = await leftBackupJournal(folder.folder);
    if (!left) return [];
    const { engine, options, session } = this;
    const context = { engine, vm, note: session.note, signal: options.signal };
    const { found, leftSnapshotIds } = await endOpenSteps(context, left.entries);
    for (const what of found) session.note(sessionMessage('JOB-606', { what }));
    // Whatever happens before this session has a journal of its own: these are not forgotten.
    if (leftSnapshotIds.length > 0)
      await (await this.#startJournal(vm, folder, leftSnapshotIds)).keep();
    else await removeJournal(left.file);
    return leftSnapshotIds;
  }

  /** Looks at the VM's disks and its last checkpoint, and decides how each disk is read. */
  async plan(chain: Pick<VmChain, 'vm' | 'folder' | 'metadata'>): Promise<VmTask> {
    const { vm, folder, metadata } = chain;
    const { engine, options, session } = this;
    const { mode, codecs, repository } = options;
    // Before the backup: afterwards the configuration would list the backup's own snapshot.
    const ovf = await engine.vmOvf(vm.id);
    const disks = await readDisks(engine, vm, options.disks);
    const choice = await chooseParent(folder, metadata, { mode, codecs, note: session.note });
    const { parent, fullReason } = choice;
    const base = await readBase(engine, vm.id, parent?.point);
    const plan = planVm(disks, vm.name, parent?.point, { base, fullReason });
    for (const message of plan.messages) session.note(message);
    if (plan.planned.length === 0) throw nothingToRead(vm);
    const allocatedBytes = allocatedOf(disks, plan);
    const blockSizeBytes = chooseBlockSize(parent, options.blockSizeBytes, allocatedBytes);
    if (!parent) await checkSpace(repository.root, allocatedBytes, session.note);
    return { plan, parent, blockSizeBytes, ovf };
  }

  async #startJournal(
    vm: Vm,
    folder: VmFolder,
    leftSnapshotIds: readonly string[],
  ): Promise<Journal> {
    const { sessionId } = this;
    return await Journal.create(
      path.join(folder.folder, BACKUP_JOURNAL),
      { kind: 'backup', sessionId, vmId: vm.id, vmName: vm.name },
      leftSnapshotIds.map((snapshotId) => ({ step: 'snapshot-left', snapshotId })),
    );
  }

  /** The point is safe: nothing here may fail the session. */
  async #afterCommit(vm: Vm, report: SessionReport, store: BackupAttempt): Promise<void> {
    await this.#dropCheckpoints(vm, store.points);
    const modes = report.disks.map((disk) => `${disk.alias} ${disk.mode}`).join(', ');
    const text = `Backup of ${vm.name}: restore point ${report.pointNumber} (${report.pointType}) committed: ${modes}`;
    await postSessionEvent(this.engine, vm.id, this.#severity(), text);
  }

  /** The old base stays; a checkpoint of the failed session is of no use. */
  async #afterFailure(vm: Vm, metadata: ChainMetadata, error: unknown): Promise<void> {
    await this.#dropCheckpoints(vm, metadata.points);
    const code = error instanceof BackupError ? error.code : 'INTERNAL';
    await postSessionEvent(this.engine, vm.id, 'error', `Backup of ${vm.name} failed (${code})`);
  }

  async #dropCheckpoints(vm: Vm, points: ChainMetadata['points']): Promise<void> {
    const { session } = this;
    const signal = AbortSignal.timeout(this.engine.timings.cleanupMs / 2);
    const engine = this.engine.withSignal(signal);
    const repositoryId = this.options.repository.id;
    const own = { engine, vm, repositoryId, points, note: session.note, signal };
    await removeSuperseded(own).catch((error: unknown) => {
      session.log.warn({ reason: String(error) }, 'superseded checkpoints were not removed');
    });
  }

  #severity(): 'normal' | 'warning' {
    return this.session.messages.some((message) => message.level !== 'info') ? 'warning' : 'normal';
  }

  /** Notes what the session log says of some errors, before they end the session. */
  async #explain(vm: Vm, error: unknown): Promise<unknown> {
    const { note } = this.session;
    const kind = faultKind(error);
    if (kind === 'snapshot-preview') note(sessionMessage('SNP-202', { vm: vm.name }));
    if (kind === 'hosted-engine') note(sessionMessage('JOB-604', { vm: vm.name }));
    if (kind === 'vm-state') note(sessionMessage('JOB-602', { vm: vm.name, state: vm.status }));
    if (kind === 'vm-busy') await this.#noteForeignBackup(vm);
    if (error instanceof BackupError && error.code === 'TRANSFER_TICKET_GONE') {
      const { alias = '?', diskId = '?' } = error.details;
      note(sessionMessage('XFER-303', { alias: String(alias), id: String(diskId) }));
    }
    return error;
  }

  async #noteForeignBackup(vm: Vm): Promise<void> {
    const signal = AbortSignal.timeout(this.engine.timings.connectMs);
    const engine = this.engine.withSignal(signal);
    const open = await unfinishedBackups(engine, vm.id, this.options.repository.id).catch(() => {});
    const [foreign] = open?.foreign ?? [];
    if (foreign) {
      this.session.note(sessionMessage('SNP-203', { vm: vm.name, backup: foreign.id }));
    }
  }
}

/** Backups with our marker that no journal knows: its folder may have been restored from a copy. */
async function removeOwnLeftBackups(context: CleanupContext, repositoryId: string): Promise<void> {
  const { engine, vm, note } = context;
  const { own } = await unfinishedBackups(engine, vm.id, repositoryId);
  for (const backup of own) {
    if (await endOwnBackup(context, backup.id)) {
      note(sessionMessage('JOB-606', { what: `backup ${backup.id}` }));
    }
  }
}

function allocatedOf(disks: readonly EngineDisk[], plan: VmPlan): number {
  return disks
    .filter((disk) => plan.planned.some((planned) => planned.diskId === disk.diskId))
    .reduce((sum, disk) => sum + disk.allocatedBytes, 0);
}

function nothingToRead(vm: Vm): UsageError {
  return new UsageError('USAGE_NOT_FOUND', `${vm.name} has no disk that can be backed up`, {
    hint: 'run "ovirt-cbt preflight" to see why each disk is left out',
  });
}
