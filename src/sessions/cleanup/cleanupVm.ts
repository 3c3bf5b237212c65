/** Cleans up after stopped sessions and restores of one VM, on the engine and in the repository. */
import { BackupError, toFailure } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { EngineSettings } from '../../ovirt/connection.ts';
import { createWaitTexts } from '../shared/waitText.ts';
import { EngineApi } from '../../ovirt/engine/engineApi.ts';
import {
  type JournalRecord,
  leftBackupJournal,
  removeJournal,
  restoreJournals,
} from '../../repository/journal.ts';
import { Repository } from '../../repository/repository.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import {
  type CleanupContext,
  endOpenSteps,
  endOwnBackup,
  removeBackupSnapshot,
} from './engineCleanup.ts';
import { removeCheckpoints, supersededCheckpoints, unfinishedBackups } from './ownership.ts';
import { failedPipes } from './pipedCheckpoints.ts';
import { type CreatedOnEngine, createdOnEngine, removeCreated } from './restoreCleanup.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import type { StoreLock, StoreOptions } from '../../store/store.ts';
import { placeOptions } from '../shared/startRepository.ts';

export interface CleanupVmOptions {
  readonly engine: EngineSettings;
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** Name or id of the VM, as in the repository. */
  readonly vm: string;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

export interface CleanupReport {
  readonly type: 'cleanup';
  readonly vmName: string;
  readonly vmId: string;
  /** Things that were ended or removed, in words. */
  readonly cleaned: readonly string[];
  /** Things of ours that could not be cleaned up, in words. */
  readonly left: readonly string[];
  /** Ids of unfinished backups of others. They were not touched. */
  readonly foreignBackupIds: readonly string[];
  readonly messages: readonly SessionMessage[];
}

function namesOf({ vmIds, diskIds }: CreatedOnEngine): string[] {
  return [...vmIds.map((id) => `VM ${id}`), ...diskIds.map((id) => `disk ${id}`)];
}

/** Says of a restore that may still run what it made, and how to clean up by hand. */
function describeUnproven(folder: VmFolder, { fileName, entries }: JournalRecord): string {
  const [first] = entries;
  const who =
    first?.step === 'session'
      ? `pid ${first.process.pid} on ${first.process.host}`
      : 'unknown process';
  const created = createdOnEngine(entries);
  const requested = [...created.vmNames, ...created.diskNames].map((name) => `"${name}"`);
  const made = [...namesOf(created), ...requested].join(', ');
  const remove = made && `remove its objects on the engine (${made}), then `;
  return `a restore that may still run (${who}); if you are sure that it has ended, ${remove}delete ${folder.place.pathOf(fileName)}`;
}

class Cleanup {
  readonly cleaned: string[] = [];
  readonly left: string[] = [];
  readonly #context: CleanupContext;
  readonly #folder: VmFolder;
  readonly #repositoryId: string;
  readonly #lock: StoreLock;
  readonly #session: SessionLog;
  readonly #say: (text: string) => void;

  constructor(
    context: CleanupContext,
    folder: VmFolder,
    options: {
      readonly repositoryId: string;
      readonly lock: StoreLock;
      readonly session: SessionLog;
      readonly say: (text: string) => void;
    },
  ) {
    this.#context = context;
    this.#folder = folder;
    this.#repositoryId = options.repositoryId;
    this.#lock = options.lock;
    this.#session = options.session;
    this.#say = options.say;
  }

  /** @returns ids of unfinished backups of others. */
  async cleanUp(): Promise<string[]> {
    for (const message of await this.#folder.removeLeftovers()) this.#session.note(message);
    await this.#endBackupSession();
    const { engine, vm } = this.#context;
    const { own, foreign } = await unfinishedBackups(engine, vm.id, this.#repositoryId);
    for (const backup of own) {
      await this.#lock.assertHeld();
      this.#say(`ending backup ${backup.id}`);
      if ((await endOwnBackup(this.#context, backup.id)).wasOpen)
        this.cleaned.push(`backup ${backup.id} of ${vm.name}`);
    }
    const { left, unproven } = await restoreJournals(this.#folder.place);
    for (const journal of left) await this.#undoRestore(journal);
    this.left.push(...unproven.map((journal) => describeUnproven(this.#folder, journal)));
    if (foreign.length === 0) await this.#dropCheckpoints();
    return foreign.map((backup) => backup.id);
  }

  /**
   * Ends open steps of the journal, and deletes snapshots that still exist after their backup
   * ended.
   */
  async #endBackupSession(): Promise<void> {
    const journal = await leftBackupJournal(this.#folder.place);
    if (!journal) return;
    this.#say('cleaning up after a stopped session');
    const { found, leftSnapshotIds } = await endOpenSteps(this.#context, journal.entries);
    this.cleaned.push(...found);
    let isClean = true;
    for (const snapshotId of leftSnapshotIds) {
      if (!(await this.#removeSnapshot(snapshotId))) isClean = false;
    }
    if (journal.isDamaged)
      this.left.push(
        `journal ${this.#folder.place.pathOf(journal.fileName)}, which is not understood`,
      );
    else if (isClean) await removeJournal(this.#folder.place, journal.fileName);
  }

  async #removeSnapshot(snapshotId: string): Promise<boolean> {
    this.#say(`removing snapshot ${snapshotId}`);
    try {
      const isGone = await removeBackupSnapshot(this.#context, snapshotId);
      (isGone ? this.cleaned : this.left).push(
        `snapshot ${snapshotId} of ${this.#context.vm.name}`,
      );
      return isGone;
    } catch (error) {
      this.#context.signal.throwIfAborted();
      if (!(error instanceof BackupError)) throw error;
      this.left.push(`snapshot ${snapshotId} of ${this.#context.vm.name} (${error.code})`);
      return false;
    }
  }

  async #undoRestore(journal: JournalRecord): Promise<void> {
    this.#say('removing VMs and disks of a stopped restore');
    const created = createdOnEngine(journal.entries);
    const what = namesOf(created);
    if (await removeCreated(this.#context.engine, created, this.#session)) {
      this.cleaned.push(...what);
      await removeJournal(this.#folder.place, journal.fileName);
    } else this.left.push(...what);
  }

  async #dropCheckpoints(): Promise<void> {
    const { engine, vm } = this.#context;
    const points = (await this.#folder.readMetadata())?.points ?? [];
    const checkpoints = await engine.checkpoints(vm.id);
    const unneeded = [
      ...supersededCheckpoints(checkpoints, this.#repositoryId, points),
      ...(await failedPipes(this.#folder.place, this.#repositoryId, checkpoints)),
    ];
    await this.#lock.assertHeld();
    await removeCheckpoints(unneeded, this.#context);
  }
}

/**
 * Cleans up after stopped sessions of one VM. Touches only objects that a journal, chain metadata
 * or a description names as ours. While a session works on the VM it does nothing.
 *
 * @throws a {@link BackupError}; `REPOSITORY_LOCKED` while a session holds the lock
 */
export async function cleanupVm(options: CleanupVmOptions): Promise<CleanupReport> {
  const signal = options.signal ?? new AbortController().signal;
  try {
    await using repository = await Repository.open(options.repository, placeOptions(options));
    await using engine = await EngineApi.connect(options.engine, {
      logger: options.logger,
      signal,
      onWait: createWaitTexts(options.onStatus, () => ''),
    });
    const [known] = await engine.findVms(options.vm);
    const folder =
      (known && (await repository.vmById(known.id))) ?? (await repository.requireVm(options.vm));
    await using lock = await folder.lock();
    const metadata = await folder.readMetadata().catch(() => undefined);
    const vm = { id: folder.vmId, name: known?.name ?? metadata?.vm.name ?? folder.safeName };
    const session = new SessionLog(options, { vmName: vm.name });
    const context = { engine, vm, note: session.note, signal };
    const say = options.onStatus ?? (() => {});
    const cleanup = new Cleanup(context, folder, {
      repositoryId: repository.id,
      lock,
      session,
      say,
    });
    const foreignBackupIds = await cleanup.cleanUp();
    for (const backup of foreignBackupIds) {
      session.note(sessionMessage('SNP-203', { vm: vm.name, backup }));
    }
    return {
      type: 'cleanup',
      vmName: vm.name,
      vmId: vm.id,
      cleaned: cleanup.cleaned,
      left: cleanup.left,
      foreignBackupIds,
      messages: session.messages,
    };
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
