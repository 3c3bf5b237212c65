/**
 * The frozen view of a VM during a session: its engine backup and the transfers that read it. Everything is
 * written to the journal before it is done; what a failure or a cancel leaves is ended on a clock of its own.
 */
import { BackupError } from '../core/errors.ts';
import {
  BackupCycle,
  type BackupEnd,
  endBackup,
  findBackup,
  type ReadyBackup,
} from '../ovirt/backupCycle.ts';
import type { Engine } from '../ovirt/engine.ts';
import type { StartBackup } from '../ovirt/engineRequests.ts';
import { DiskTransfer } from '../ovirt/transfer.ts';
import { endTransfer, isEnding } from '../ovirt/transferEnd.ts';
import type { Journal } from '../repository/journal.ts';
import type { SessionLog } from './sessionLog.ts';

export interface FrozenVmOptions {
  readonly engine: Engine;
  readonly vm: { readonly id: string; readonly name: string };
  readonly session: SessionLog;
  readonly journal: Journal;
  readonly connections: number;
  readonly signal: AbortSignal;
  /** Called when nothing of a failed start is left on the engine. */
  readonly onFree: () => void;
  /** Says what is waited for, for people. */
  readonly onStatus: (text: string) => void;
}

export class FrozenVm {
  readonly ready: ReadyBackup;
  readonly #cycle: BackupCycle;
  readonly #options: FrozenVmOptions;
  readonly #transfers = new Set<DiskTransfer>();

  private constructor(cycle: BackupCycle, ready: ReadyBackup, options: FrozenVmOptions) {
    this.#cycle = cycle;
    this.ready = ready;
    this.#options = options;
  }

  /** Starts a backup and waits until it can be read. After a failure nothing of it is left, or the journal knows. */
  static async freeze(start: StartBackup, options: FrozenVmOptions): Promise<FrozenVm> {
    const { engine, vm, session, journal, signal, onStatus } = options;
    let cycle: BackupCycle | undefined;
    await journal.append({ step: 'backup-starting', description: start.description });
    onStatus(`freezing ${vm.name}`);
    try {
      cycle = await BackupCycle.start(start, {
        engine,
        vmId: vm.id,
        vmName: vm.name,
        note: session.note,
        journal: (backupId) => journal.append({ step: 'backup', backupId }),
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
      return new FrozenVm(cycle, ready, options);
    } catch (error) {
      await endFailedStart(start, options, cycle);
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
      if (!(error instanceof BackupError) || error.code !== 'ENGINE_PHASE_TIMEOUT') throw error;
      this.#remember(error);
      return;
    }
    await this.#options.journal.append({ step: 'transfer-done', transferId: transfer.id });
  }

  /** Ends the backup after all disks were read. */
  async release(): Promise<BackupEnd> {
    const { engine, vm, journal, signal, onStatus } = this.#options;
    onStatus(`waiting for the engine to end the backup of ${vm.name}`);
    const diskIds = new Set(this.ready.isIncremental.keys());
    const onOpenTransfer = (): Promise<void> => cancelDownloads(engine, diskIds, signal);
    const end = await this.#cycle.finalize(signal, onOpenTransfer);
    await journal.append({ step: 'backup-done', backupId: this.#cycle.id });
    return end;
  }

  /**
   * Gives the VM back after a failure. Never throws: what could not be ended in time is left to the journal.
   *
   * @returns whether the VM is free.
   */
  async abandon(): Promise<boolean> {
    const { engine, onStatus } = this.#options;
    const clock = AbortSignal.timeout(engine.timings.cleanupMs);
    for (const transfer of this.#transfers) {
      onStatus('stopping: ending a transfer');
      await transfer.cancel(clock).catch((error: unknown) => this.#remember(error));
    }
    if (this.#cycle.end !== undefined) return true;
    const diskIds = new Set(this.ready.isIncremental.keys());
    return await endLeftBackup(this.#options, this.#cycle.id, diskIds, clock);
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
  start: StartBackup,
  options: FrozenVmOptions,
  cycle: BackupCycle | undefined,
): Promise<void> {
  const { vm, onFree } = options;
  if (cycle?.end !== undefined) return onFree();
  const clock = AbortSignal.timeout(options.engine.timings.cleanupMs);
  const engine = options.engine.withSignal(clock);
  try {
    const backupId = cycle?.id ?? (await findBackup(engine, vm.id, start.description))?.id;
    const isFree =
      backupId === undefined ||
      (await endLeftBackup(options, backupId, new Set(start.diskIds), clock));
    if (isFree) onFree();
  } catch {
    // The engine cannot be asked: the journal remembers.
  }
}

/** Ends a backup on the clock of the clean-up. @returns whether it has ended. */
async function endLeftBackup(
  options: FrozenVmOptions,
  backupId: string,
  diskIds: ReadonlySet<string>,
  clock: AbortSignal,
): Promise<boolean> {
  const { vm, session, journal, onStatus } = options;
  const engine = options.engine.withSignal(clock);
  onStatus(`stopping: waiting for the engine to end the backup of ${vm.name}`);
  try {
    const end = {
      engine,
      vmId: vm.id,
      vmName: vm.name,
      note: session.note,
      onOpenTransfer: () => cancelDownloads(engine, diskIds, clock),
    };
    await endBackup(end, backupId, clock);
    await journal.append({ step: 'backup-done', backupId });
    return true;
  } catch (error) {
    session.log.warn(
      { backupId, reason: describe(error) },
      'the backup could not be ended in time',
    );
    return false;
  }
}

/** Downloads of disks whose backup is ours: nobody else can read them meanwhile. */
export async function cancelDownloads(
  engine: Engine,
  diskIds: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const transfers = await engine.transfers();
  for (const transfer of transfers) {
    const { diskId = '', direction, id } = transfer;
    const isOurs = direction === 'download' && diskIds.has(diskId) && !isEnding(transfer);
    if (isOurs) await endTransfer(engine, id, 'cancel', signal);
  }
}
