/**
 * The engine backup of a session and the transfers that read its frozen view. Each step is written
 * to the journal before it is done. After a failure or a cancel, the backup is ended on its own
 * clock.
 */
import { BackupError, EngineError, invariant } from '../../../core/errors.ts';
import {
  awaitBackup,
  awaitReady,
  type BackupEnd,
  endBackup,
  type ReadyBackup,
  startBackup,
} from '../../../ovirt/lifecycle/backupPhases.ts';
import type { Backup } from '../../../ovirt/engine/entities.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { StartBackup } from '../../../ovirt/engine/engineRequests.ts';
import { DiskTransfer } from '../../../ovirt/lifecycle/transfer.ts';
import { cancelDownloads, openDownloads } from '../../cleanup/downloads.ts';
import { checkSnapshot } from '../../cleanup/engineCleanup.ts';
import type { Journal } from '../../../repository/journal.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';

export interface EngineBackupOptions {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly session: SessionLog;
  readonly journal: Journal;
  readonly connections: number;
  readonly signal: AbortSignal;
  /** Gets a text that says what the session waits for. */
  readonly onStatus: (text: string) => void;
}

/** A start, and the transfers of its disks that are not ours. */
interface KnownStart {
  readonly description: string;
  readonly diskIds: ReadonlySet<string>;
  readonly otherTransferIds: ReadonlySet<string>;
}

export class EngineBackup {
  readonly id: string;
  readonly #options: EngineBackupOptions;
  readonly #start: KnownStart;
  readonly #transfers = new Set<DiskTransfer>();
  #snapshotId: string | undefined;
  #ready: ReadyBackup | undefined;

  private constructor(backup: Backup, start: KnownStart, options: EngineBackupOptions) {
    this.id = backup.id;
    this.#snapshotId = backup.snapshotId;
    this.#start = start;
    this.#options = options;
  }

  /**
   * Starts a backup and waits until it can be read. After a failure nothing of it is left on the
   * engine, or the journal lists it.
   */
  static async start(start: StartBackup, options: EngineBackupOptions): Promise<EngineBackup> {
    const { engine, vm, journal, signal, onStatus } = options;
    const { description } = start;
    const diskIds = new Set(start.diskIds);
    const others = await openDownloads(engine, diskIds, new Set());
    const known: KnownStart = { description, diskIds, otherTransferIds: new Set(others) };
    const asked = { mayExist: false };
    let backup: EngineBackup | undefined;
    await journal.append({ step: 'backup-starting', description, otherTransferIds: others });
    onStatus(`freezing ${vm.name}`);
    try {
      const started = await startBackup(start, {
        engine,
        vmId: vm.id,
        vmName: vm.name,
        journal: (backupId) => journal.append({ step: 'backup', backupId }),
        start: asked,
        signal,
      });
      backup = new EngineBackup(started, known, options);
      await backup.#awaitReady();
      return backup;
    } catch (error) {
      if (backup) await backup.#endLeft(AbortSignal.timeout(engine.timings.cleanupMs));
      else await EngineBackup.#endFailedStart(known, options, asked.mayExist);
      throw error;
    }
  }

  /** The frozen view. */
  get ready(): ReadyBackup {
    invariant(this.#ready, 'a backup is handed out when it is ready');
    return this.#ready;
  }

  /** The snapshot of the frozen view; undefined when the engine made none. */
  get snapshotId(): string | undefined {
    return this.#snapshotId;
  }

  /** Opens the frozen view of one disk. */
  async openDisk(disk: { readonly diskId: string; readonly alias: string }): Promise<DiskTransfer> {
    const { engine, session, journal, connections, signal } = this.#options;
    const { diskId, alias } = disk;
    const transfer = await DiskTransfer.open({
      engine,
      diskId,
      alias,
      backupId: this.id,
      direction: 'download',
      connections,
      journal: (step, transferId) =>
        journal.append(
          step === 'transfer' && transferId !== undefined
            ? { step, transferId, diskId }
            : { step: 'transfer-starting', diskId },
        ),
      note: session.note,
      log: session.log,
      signal,
    });
    this.#transfers.add(transfer);
    return transfer;
  }

  /**
   * Ends the transfer of a disk that was read. One that does not end in time ends with the backup.
   */
  async closeDisk(transfer: DiskTransfer): Promise<void> {
    this.#transfers.delete(transfer);
    try {
      await transfer.finish();
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (!(error instanceof EngineError)) throw error;
      this.#remember(error);
      return;
    }
    await this.#options.journal.append({ step: 'transfer-done', transferId: transfer.id });
  }

  /** Ends the backup after all disks were read. */
  async finalize(): Promise<BackupEnd> {
    const { vm, journal, signal, onStatus } = this.#options;
    onStatus(`waiting for the engine to end the backup of ${vm.name}`);
    const end = await this.#end(signal, true);
    await journal.append({ step: 'backup-done', backupId: this.id });
    return end;
  }

  /**
   * Ends everything after a failure, on its own clock. Never throws: the journal lists whatever
   * could not be ended in time.
   */
  async abandon(): Promise<void> {
    const { engine, journal, onStatus } = this.#options;
    const clock = AbortSignal.timeout(engine.timings.cleanupMs);
    for (const transfer of this.#transfers) {
      onStatus('stopping: ending a transfer');
      await transfer
        .cancel(clock)
        .then(() => journal.append({ step: 'transfer-done', transferId: transfer.id }))
        .catch((error: unknown) => this.#remember(error));
    }
    await this.#endLeft(clock);
  }

  async #awaitReady(): Promise<void> {
    const { engine, vm, journal, signal } = this.#options;
    const onAnswer = ({ snapshotId }: Backup): void => {
      this.#snapshotId = snapshotId ?? this.#snapshotId;
    };
    const options = { engine, vmId: vm.id, vmName: vm.name, onAnswer, signal };
    this.#ready = await awaitReady(options, this.id);
    const { toCheckpointId } = this.#ready;
    const snapshotId = this.#snapshotId;
    await journal.append({ step: 'backup-ready', backupId: this.id, toCheckpointId, snapshotId });
  }

  /**
   * Downloads that came up since the start keep the engine from ending the backup: they are ours.
   *
   * @param isReady - as in {@link endBackup}.
   */
  async #end(signal: AbortSignal, isReady: boolean): Promise<BackupEnd> {
    const { vm, session } = this.#options;
    const engine = this.#options.engine.withSignal(signal);
    const { diskIds, otherTransferIds } = this.#start;
    const onOpenTransfer = (): Promise<void> =>
      cancelDownloads(engine, diskIds, otherTransferIds, signal);
    const ofVm = { engine, vmId: vm.id, vmName: vm.name, note: session.note };
    return await endBackup({ ...ofVm, onOpenTransfer, isReady }, this.id, signal);
  }

  /**
   * Ends the backup of a failed session and looks for its snapshot. The journal keeps what is left.
   */
  async #endLeft(clock: AbortSignal): Promise<void> {
    const { vm, session, journal, onStatus } = this.#options;
    const { note } = session;
    const snapshotId = this.#snapshotId;
    onStatus(`stopping: waiting for the engine to end the backup of ${vm.name}`);
    try {
      if (snapshotId) await journal.append({ step: 'snapshot-left', snapshotId });
      await this.#end(clock, false);
      await journal.append({ step: 'backup-done', backupId: this.id });
      if (!snapshotId) return;
      const engine = this.#options.engine.withSignal(clock);
      const isGone = await checkSnapshot({ engine, vm, note, signal: clock }, snapshotId);
      if (isGone) await journal.append({ step: 'snapshot-gone', snapshotId });
    } catch (error) {
      const reason = describe(error);
      session.log.warn({ backupId: this.id, reason }, 'the backup could not be ended in time');
    }
  }

  #remember(error: unknown): void {
    this.#options.session.log.warn({ reason: describe(error) }, 'a transfer could not be ended');
  }

  /** A start whose answer was lost: the engine may still be making the backup. */
  static async #endLost(start: KnownStart, options: EngineBackupOptions): Promise<void> {
    const clock = AbortSignal.timeout(options.engine.timings.cleanupMs);
    const engine = options.engine.withSignal(clock);
    const late = await awaitBackup(engine, options.vm.id, start.description, clock);
    // Without an answer the journal keeps the description for the next session.
    if (!late) return;
    await options.journal.append({ step: 'backup', backupId: late.id });
    await new EngineBackup(late, start, options).#endLeft(clock);
  }

  /** Ends what a start without an id has made. Never throws: the journal remembers the rest. */
  static async #endFailedStart(
    start: KnownStart,
    options: EngineBackupOptions,
    mayExist: boolean,
  ): Promise<void> {
    try {
      if (mayExist) await EngineBackup.#endLost(start, options);
      else await options.journal.append({ step: 'backup-refused' });
    } catch {
      // The engine does not answer. The journal has the start of the backup.
    }
  }
}

function describe(error: unknown): string {
  return error instanceof BackupError ? error.code : String(error);
}
