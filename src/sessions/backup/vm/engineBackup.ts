/**
 * The frozen view of a VM during a session: its engine backup and the transfers that read it. Everything is
 * written to the journal before it is done; what a failure or a cancel leaves is ended on a clock of its own.
 */
import { BackupError, EngineError } from '../../../core/errors.ts';
import {
  awaitBackup,
  BackupCycle,
  type BackupEnd,
  endBackup,
  type ReadyBackup,
} from '../../../ovirt/lifecycle/backupPhases.ts';
import type { EngineApi } from '../../../ovirt/engine/engineApi.ts';
import type { StartBackup } from '../../../ovirt/engine/engineRequests.ts';
import { DiskTransfer } from '../../../ovirt/lifecycle/transfer.ts';
import { cancelDownloads, openDownloads } from '../../cleanup/downloads.ts';
import { checkSnapshot } from '../../cleanup/engineCleanup.ts';
import type { Journal } from '../../../repository/journal.ts';
import type { SessionLog } from '../../shared/sessionLog.ts';

export interface FrozenVmOptions {
  readonly engine: EngineApi;
  readonly vm: { readonly id: string; readonly name: string };
  readonly session: SessionLog;
  readonly journal: Journal;
  readonly connections: number;
  readonly signal: AbortSignal;
  /** Says what is waited for, for people. */
  readonly onStatus: (text: string) => void;
}

/** A start, and the transfers of its disks that are not ours. */
interface FrozenStart {
  readonly description: string;
  readonly diskIds: ReadonlySet<string>;
  readonly otherTransferIds: ReadonlySet<string>;
}

export class FrozenVm {
  readonly ready: ReadyBackup;
  readonly #cycle: BackupCycle;
  readonly #options: FrozenVmOptions;
  readonly #start: FrozenStart;
  readonly #transfers = new Set<DiskTransfer>();

  private constructor(
    cycle: BackupCycle,
    ready: ReadyBackup,
    options: FrozenVmOptions,
    start: FrozenStart,
  ) {
    this.#cycle = cycle;
    this.ready = ready;
    this.#options = options;
    this.#start = start;
  }

  /** Starts a backup and waits until it can be read. After a failure nothing of it is left, or the journal knows. */
  static async freeze(start: StartBackup, options: FrozenVmOptions): Promise<FrozenVm> {
    const { engine, vm, session, journal, signal, onStatus } = options;
    const { description } = start;
    const diskIds = new Set(start.diskIds);
    const others = await openDownloads(engine, diskIds, new Set());
    const known: FrozenStart = { ...start, diskIds, otherTransferIds: new Set(others) };
    const asked = { mayExist: false };
    let cycle: BackupCycle | undefined;
    await journal.append({ step: 'backup-starting', description, otherTransferIds: others });
    onStatus(`freezing ${vm.name}`);
    try {
      cycle = await BackupCycle.start(start, {
        engine,
        vmId: vm.id,
        vmName: vm.name,
        note: session.note,
        journal: (backupId) => journal.append({ step: 'backup', backupId }),
        start: asked,
        signal,
      });
      const ready = await cycle.waitReady();
      const { toCheckpointId, snapshotId } = ready;
      await journal.append({
        step: 'backup-ready',
        backupId: cycle.id,
        toCheckpointId,
        snapshotId,
      });
      return new FrozenVm(cycle, ready, options, known);
    } catch (error) {
      await endFailedStart(known, options, cycle, asked.mayExist);
      throw error;
    }
  }

  get backupId(): string {
    return this.#cycle.id;
  }

  /** Opens the frozen view of one disk. */
  async openDisk(disk: { readonly diskId: string; readonly alias: string }): Promise<DiskTransfer> {
    const { engine, session, journal, connections, signal } = this.#options;
    const { diskId, alias } = disk;
    const transfer = await DiskTransfer.open({
      engine,
      diskId,
      alias,
      backupId: this.#cycle.id,
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

  /** Ends the transfer of a disk that was read. One that does not end in time ends with the backup. */
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
  async release(): Promise<BackupEnd> {
    const { engine, vm, journal, signal, onStatus } = this.#options;
    onStatus(`waiting for the engine to end the backup of ${vm.name}`);
    const { diskIds, otherTransferIds } = this.#start;
    const onOpenTransfer = (): Promise<void> =>
      cancelDownloads(engine, diskIds, otherTransferIds, signal);
    const end = await this.#cycle.finalize(signal, onOpenTransfer);
    await journal.append({ step: 'backup-done', backupId: this.#cycle.id });
    return end;
  }

  /** Gives the VM back after a failure. Never throws: the journal knows what could not be ended in time. */
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
    await endLeftBackup(this.#options, this.#cycle, this.#start, clock);
  }

  #remember(error: unknown): void {
    this.#options.session.log.warn({ reason: describe(error) }, 'a transfer could not be ended');
  }
}

function describe(error: unknown): string {
  return error instanceof BackupError ? error.code : String(error);
}

/** Ends what a start that failed has made; without an id it may have made a backup nevertheless. */
async function endFailedStart(
  start: FrozenStart,
  options: FrozenVmOptions,
  cycle: BackupCycle | undefined,
  mayExist: boolean,
): Promise<void> {
  const { vm, journal } = options;
  const clock = AbortSignal.timeout(options.engine.timings.cleanupMs);
  const engine = options.engine.withSignal(clock);
  try {
    if (cycle) await endLeftBackup(options, cycle, start, clock);
    else if (!mayExist) await journal.append({ step: 'backup-refused' });
    else {
      // The engine may still be making it; when it does not show up, the journal remembers its description.
      const late = await awaitBackup(engine, vm.id, start.description, clock);
      if (!late) return;
      await journal.append({ step: 'backup', backupId: late.id });
      await endLeftBackup(options, late, start, clock);
    }
  } catch {
    // The engine cannot be asked: the journal remembers.
  }
}

/** Ends a backup on the clock of the clean-up, and looks for its snapshot. What is left stays in the journal. */
async function endLeftBackup(
  options: FrozenVmOptions,
  backup: { readonly id: string; readonly snapshotId?: string | undefined },
  start: FrozenStart,
  clock: AbortSignal,
): Promise<void> {
  const { vm, session, journal, onStatus } = options;
  const { note } = session;
  const { id: backupId, snapshotId } = backup;
  const engine = options.engine.withSignal(clock);
  const { diskIds, otherTransferIds } = start;
  onStatus(`stopping: waiting for the engine to end the backup of ${vm.name}`);
  try {
    if (snapshotId) await journal.append({ step: 'snapshot-left', snapshotId });
    const onOpenTransfer = (): Promise<void> =>
      cancelDownloads(engine, diskIds, otherTransferIds, clock);
    const end = { engine, vmId: vm.id, vmName: vm.name, note, onOpenTransfer };
    await endBackup(end, backupId, clock);
    await journal.append({ step: 'backup-done', backupId });
    if (!snapshotId) return;
    const isGone = await checkSnapshot({ engine, vm, note, signal: clock }, snapshotId);
    if (isGone) await journal.append({ step: 'snapshot-gone', snapshotId });
  } catch (error) {
    const reason = describe(error);
    session.log.warn({ backupId, reason }, 'the backup could not be ended in time');
  }
}
