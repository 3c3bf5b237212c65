/** A frozen VM of an engine as the source of an opened backup. */
import { BackupError, invariant } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createTransferDevice } from '../../devices/transferDevice.ts';
import { readsPerRequest } from '../../devices/readGatherer.ts';
import { DATA_ATTEMPTS } from '../../ovirt/imageio/dataRetry.ts';
import type { Vm } from '../../ovirt/engine/entities.ts';
import type { DiskTransfer } from '../../ovirt/lifecycle/transfer.ts';
import { nextBase, releaseBackup } from '../backup/vm/backupEnd.ts';
import { noteFailure } from '../cleanup/leftBackups.ts';
import type { DiskChainInput } from '../shared/diskChain.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { postSessionEvent } from '../shared/sessionEvents.ts';
import { endContext, type FreezeOptions, type FrozenVm, openMapped } from './frozenVm.ts';
import type { BackupSource } from './openBackup.ts';
import type { DiskSummary } from './openDisk.ts';
import type { PipeFolder } from './pipeFolder.ts';
import type { PipeParent } from './pipeParent.ts';

export interface VmSourceParts {
  readonly options: FreezeOptions;
  readonly vm: Vm;
  readonly frozen: FrozenVm;
  readonly folder: PipeFolder;
  readonly parent: PipeParent | undefined;
  readonly since: string | undefined;
  readonly blockSizeBytes: number;
  /** Ends the requests of this backup. */
  readonly stop: () => void;
  /** Closes journal, folder and the connection to the engine. */
  readonly release: () => Promise<void>;
}

export class VmSource implements BackupSource {
  readonly vmId: string;
  readonly vmName: string;
  readonly disks: readonly DiskSummary[];
  readonly #parts: VmSourceParts;
  readonly #transfers = new Map<string, DiskTransfer>();

  constructor(parts: VmSourceParts) {
    this.#parts = parts;
    this.vmId = parts.vm.id;
    this.vmName = parts.vm.name;
    this.disks = parts.frozen.disks.map(({ diskId: id, alias, sizeBytes, mode, reason }) => ({
      id,
      alias,
      virtualSizeBytes: sizeBytes,
      mode,
      reason,
    }));
  }

  get messages(): readonly SessionMessage[] {
    return this.#parts.options.session.messages;
  }

  async open(diskId: string, resources: PipelineResources): Promise<DiskChainInput> {
    const { frozen, options, parent, blockSizeBytes } = this.#parts;
    const planned = frozen.disks.find((disk) => disk.diskId === diskId);
    invariant(planned, 'a disk of this backup');
    const known = frozen.opened.get(diskId);
    const opened = known ?? (await openMapped(planned, frozen.backup, options));
    const { transfer, extents } = opened;
    this.#transfers.set(diskId, transfer);
    const { alias, sizeBytes: virtualSizeBytes, mode } = opened.planned;
    const threadsFor = resources.rangeThreadsFor.bind(resources);
    return {
      task: { diskId, alias, virtualSizeBytes, blockSizeBytes, mode },
      device: createTransferDevice({ transfer, virtualSizeBytes, extents, threadsFor }),
      parent: planned.parentDisk && parent?.checked.disks.get(diskId),
      readers: transfer.client.connections * readsPerRequest(blockSizeBytes),
      attempts: DATA_ATTEMPTS,
      retryDelayMs: options.engine.timings.blockRetryMs,
    };
  }

  async done(diskId: string): Promise<void> {
    const transfer = this.#transfers.get(diskId);
    if (transfer) await this.#parts.frozen.backup.closeDisk(transfer);
  }

  async finish(): Promise<string> {
    const { frozen, options, folder, since, vm } = this.#parts;
    const context = endContext(options);
    const end = await releaseBackup(frozen.backup, context);
    const { checkpointId } = await nextBase(frozen.backup, end, context);
    if (checkpointId) {
      const disks = frozen.disks.map(({ diskId, sizeBytes }) => ({ diskId, sizeBytes }));
      await folder.handOut({ checkpointId, disks });
    }
    await dropCheckpoints(since, this.#parts);
    const modes = frozen.disks.map((disk) => `${disk.alias} ${disk.mode}`).join(', ');
    await postSessionEvent(options.engine, vm.id, 'normal', `Backup of ${vm.name} read: ${modes}`);
    return checkpointId;
  }

  stop(): void {
    this.#parts.stop();
  }

  async abandon(): Promise<void> {
    const { frozen, options, vm } = this.#parts;
    await frozen.backup.abandon();
    await dropCheckpoints(undefined, this.#parts);
    await postSessionEvent(options.engine, vm.id, 'error', `Backup of ${vm.name} was not finished`);
  }

  async release(): Promise<void> {
    await this.#parts.release();
  }
}

/** Removes checkpoints that no call needs. Never throws: the next call tries again. */
export async function dropCheckpoints(
  since: string | undefined,
  { folder, options, vm }: Pick<VmSourceParts, 'folder' | 'options' | 'vm'>,
): Promise<void> {
  const { engine, session } = options;
  const signal = AbortSignal.timeout(engine.timings.cleanupMs / 2);
  const context = { engine: engine.withSignal(signal), vm, note: session.note, signal };
  await folder.removeSuperseded(since, context).catch((error: unknown) => {
    session.log.warn({ reason: String(error) }, 'superseded checkpoints were not removed');
  });
}

/** Adds the session message that belongs to a failed freeze. */
export async function noteFreezeFailure(
  error: unknown,
  vm: Vm,
  { engine, session, ownerId }: FreezeOptions,
): Promise<void> {
  if (!(error instanceof BackupError)) return;
  await noteFailure(error, { engine, vm, note: session.note, ownerId });
}
