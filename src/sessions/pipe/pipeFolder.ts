/**
 * The folder of a VM that is piped: lock, journal, and the checkpoints that were handed out. It
 * lies in a repository, of its own or shared with backups, so that `cleanup` finds its journal.
 */
import { lstat } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { errnoOf, UsageError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { Vm } from '../../ovirt/engine/entities.ts';
import {
  BACKUP_JOURNAL,
  Journal,
  leftBackupJournal,
  removeJournal,
} from '../../repository/journal.ts';
import { boundedText } from '../../repository/names.ts';
import { Repository } from '../../repository/repository.ts';
import { MAX_JOURNAL_NAME_CHARS } from '../../repository/restorePoint.ts';
import { endOpenSteps } from '../cleanup/engineCleanup.ts';
import { removeCheckpoints } from '../cleanup/ownership.ts';
import {
  type HandedOut,
  pipeOwner,
  readHandedOut,
  supersededPipes,
  writeHandedOut,
} from '../cleanup/pipedCheckpoints.ts';
import type { StoreFolder } from '../../store/store.ts';
import type { StoreLock } from '../../store/store.ts';

/**
 * Checkpoints that stay on the engine. Calls without `since` would pile them up, and each one slows
 * the guest down.
 */
const MAX_RECORDED = 16;
const OTHERS = 0o077;

/** What the folder needs to clean up on the engine. */
export interface PipeContext {
  readonly engine: EngineApi;
  readonly vm: Vm;
  readonly note: (message: SessionMessage) => void;
  readonly signal: AbortSignal;
}

export class PipeFolder {
  /** Names the owner in the descriptions of backups. Backups of sessions have another one. */
  readonly ownerId: string;
  readonly lock: StoreLock;
  readonly #folder: StoreFolder;
  readonly #repository: Repository;
  #handedOut: readonly HandedOut[];

  private constructor(
    repository: Repository,
    folder: StoreFolder,
    lock: StoreLock,
    handedOut: readonly HandedOut[],
  ) {
    this.ownerId = pipeOwner(repository.id);
    this.#repository = repository;
    this.#folder = folder;
    this.lock = lock;
    this.#handedOut = handedOut;
  }

  /**
   * Opens and locks the folder of a VM.
   *
   * @param root - repository for the journal. @defaultValue a private folder in the system's folder
   *   for temporary files, the same one for each call of this user
   * @throws {@link RepositoryError} `REPOSITORY_LOCKED`, `REPOSITORY_NOT_FOUND`, `REPOSITORY_IO`
   */
  static async open(root: string | undefined, vm: Vm): Promise<PipeFolder> {
    const repository = await Repository.openOrCreate(root ?? (await temporaryRoot()));
    try {
      const { place } = await repository.createVm({ id: vm.id, name: vm.name });
      return await PipeFolder.#locked(repository, place);
    } catch (error) {
      await repository.close();
      throw error;
    }
  }

  static async #locked(repository: Repository, folder: StoreFolder): Promise<PipeFolder> {
    const lock = await folder.lock();
    try {
      return new PipeFolder(repository, folder, lock, await readHandedOut(folder));
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /**
   * Ends what a killed session left, and starts the journal of this one.
   *
   * @throws errors of the engine; the old journal stays then
   */
  async startJournal(sessionId: string, context: PipeContext): Promise<Journal> {
    const left = await leftBackupJournal(this.#folder);
    let leftSnapshotIds: readonly string[] = [];
    if (left) {
      const ended = await endOpenSteps(context, left.entries);
      for (const what of ended.found) context.note(sessionMessage('JOB-606', { what }));
      ({ leftSnapshotIds } = ended);
      if (leftSnapshotIds.length === 0) await removeJournal(this.#folder, left.fileName);
    }
    const { vm } = context;
    const vmName = boundedText(vm.name, MAX_JOURNAL_NAME_CHARS);
    return await Journal.create(
      this.#folder,
      BACKUP_JOURNAL,
      { kind: 'backup', sessionId, vmId: vm.id, vmName },
      leftSnapshotIds.map((snapshotId) => ({ step: 'snapshot-left', snapshotId })),
    );
  }

  /** Sizes of the disks at a checkpoint, by disk id. Empty when they are not known. */
  sizesAt(checkpointId: string): ReadonlyMap<string, number> {
    const known = this.#handedOut.find((one) => one.checkpointId === checkpointId);
    return new Map(known?.disks.map((disk) => [disk.diskId, disk.sizeBytes]));
  }

  /** Remembers a checkpoint before it is handed out. */
  async handOut(given: HandedOut): Promise<void> {
    this.#handedOut = [...this.#handedOut, given].slice(-MAX_RECORDED);
    await writeHandedOut(this.#folder, this.#handedOut);
  }

  /**
   * Removes checkpoints of ours that no call needs: those of failed calls, and those that were
   * handed out before `since`. The caller may still go back to `since`.
   */
  async removeSuperseded(since: string | undefined, context: PipeContext): Promise<void> {
    const checkpoints = await context.engine.checkpoints(context.vm.id);
    const order = this.#handedOut.map((one) => one.checkpointId);
    // Without the lock the newest checkpoint may be that of another call.
    if (!(await this.lock.isHeld())) return;
    const unneeded = supersededPipes(checkpoints, { ownerId: this.ownerId, order, since });
    await removeCheckpoints(unneeded, context);
  }

  async close(): Promise<void> {
    await this.lock.release();
    await this.#repository.close();
  }
}

/** The name can be guessed, so another user must not own the folder or be able to change it. */
async function temporaryRoot(): Promise<string> {
  const { uid, username } = userInfo();
  const root = path.join(tmpdir(), `ovirt-cbt-${uid}`);
  const found = await lstat(root).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  const isOurs = found?.isDirectory() && found.uid === uid && (found.mode & OTHERS) === 0;
  if (!found || isOurs) return root;
  throw new UsageError('USAGE_INVALID_OPTION', `${root} is not a private folder of ${username}`, {
    hint: 'give a folder of your own as journal',
  });
}
