/** One attempt to store a VM: freeze, read all disks, release, commit. */
import type { Checkpoint } from '../../../ovirt/engine/entities.ts';
import { backupDescription } from '../../cleanup/ownership.ts';
import type { PipelineResources } from '../../shared/pipelineResources.ts';
import type { PointWriter } from '../../shared/pointWriter.ts';
import { ParentChain } from '../parent/parentBlocks.ts';
import {
  type ReadDisk,
  type ReadDisks,
  readAllDisks,
  storePoint,
  type StoredPoint,
} from '../storePoint.ts';
import {
  type AttemptEnd,
  type EndContext,
  nextBase,
  noteFreeze,
  releaseBackup,
} from './backupEnd.ts';
import { progressOfPlan } from '../plannedDisk.ts';
import { EngineBackup } from './engineBackup.ts';
import type { VmChain, VmContext, VmTask } from './vmContext.ts';
import { readVmDisk } from './vmDisks.ts';

interface UsedBackup {
  readonly disks: readonly ReadDisk[];
  readonly end: AttemptEnd;
  readonly pipelineMs: number;
  readonly finalizeMs: number;
}

export class BackupAttempt {
  readonly #context: VmContext;
  readonly #chain: VmChain;
  readonly #task: VmTask;
  readonly #number: number;
  #checkpoints: readonly Checkpoint[] | undefined;

  /** @param number - 1 for the first attempt of a session. */
  constructor(context: VmContext, chain: VmChain, task: VmTask, number: number) {
    this.#context = context;
    this.#chain = chain;
    this.#task = task;
    this.#number = number;
  }

  /**
   * @throws a {@link BackupError} or a `ChangeMapBroken`; nothing of it is left on the engine then
   */
  async run(): Promise<StoredPoint> {
    const { options } = this.#context;
    const { metadata, vm } = this.#chain;
    const { parent, blockSizeBytes, allocatedBytes, ovf } = this.#task;
    return await storePoint(
      {
        identity: this.#context,
        chain: this.#chain,
        vm: { id: metadata.vm.id, name: vm.name },
        parent,
        blockSizeBytes,
        allocatedBytes,
        workers: options.workers,
        compression: options.compression,
        readsImages: false,
        signal: options.signal,
        ovf,
      },
      (target, resources) => this.#readDisks(target, resources),
    );
  }

  /** The checkpoints of the VM after its backup; undefined when they were not read. */
  get checkpoints(): readonly Checkpoint[] | undefined {
    return this.#checkpoints;
  }

  async #readDisks(target: PointWriter, resources: PipelineResources): Promise<ReadDisks> {
    const { planned } = this.#task.plan;
    if (planned.length === 0) return this.#readNothing();
    const startedAtMs = performance.now();
    this.#context.progress.planDisks(planned.map(progressOfPlan));
    const backup = await this.#freeze();
    const startMs = performance.now() - startedAtMs;
    const { disks, end, pipelineMs, finalizeMs } = await this.#use(backup, target, resources);
    const { checkpointId, checkpoints } = await nextBase(backup, end, this.#end);
    this.#checkpoints = checkpoints;
    const { fromCheckpointId = '', leftOut } = this.#task.plan;
    const engine = {
      backupId: backup.id,
      fromCheckpointId,
      toCheckpointId: checkpointId,
      backupsStarted: this.#number,
      startSeconds: startMs / 1000,
      finalizeSeconds: finalizeMs / 1000,
      leftOut,
    };
    return { disks, pipelineMs, checkpointId, engine };
  }

  /** A VM without readable disks: its configuration was read before, so no backup is started. */
  #readNothing(): ReadDisks {
    const engine = {
      backupId: '',
      fromCheckpointId: '',
      toCheckpointId: '',
      backupsStarted: 0,
      startSeconds: 0,
      finalizeSeconds: 0,
      leftOut: this.#task.plan.leftOut,
    };
    return { disks: [], pipelineMs: 0, checkpointId: '', engine };
  }

  /** Reads all disks and ends the backup. A failure gives the VM back first. */
  async #use(
    backup: EngineBackup,
    target: PointWriter,
    resources: PipelineResources,
  ): Promise<UsedBackup> {
    try {
      await noteFreeze(this.#end);
      const readFromMs = performance.now();
      const disks = await this.#pipeDisks(backup, target, resources);
      const readToMs = performance.now();
      this.#context.progress.phase('finalizing');
      const end = await releaseBackup(backup, this.#end);
      const finalizeMs = performance.now() - readToMs;
      return { disks, end, pipelineMs: readToMs - readFromMs, finalizeMs };
    } catch (error) {
      this.#context.progress.phase('stopping');
      await backup.abandon();
      throw error;
    }
  }

  async #freeze(): Promise<EngineBackup> {
    const { engine, options, session, sessionId, progress } = this.#context;
    const { vm, journal } = this.#chain;
    const { plan } = this.#task;
    const { connections, signal, requireConsistency, repository, onStatus = () => {} } = options;
    const start = {
      diskIds: plan.planned.map((disk) => disk.diskId),
      fromCheckpointId: plan.fromCheckpointId,
      description: `${backupDescription(repository.id, sessionId)} ${this.#number}`,
      requireConsistency,
    };
    const parts = { engine, vm, session, journal, connections, signal, onStatus };
    progress.phase('freezing');
    return await EngineBackup.start(start, parts);
  }

  get #end(): EndContext {
    const { engine, options, session } = this.#context;
    const { vm, journal } = this.#chain;
    return { engine, vm, session, journal, signal: options.signal };
  }

  async #pipeDisks(
    backup: EngineBackup,
    target: PointWriter,
    resources: PipelineResources,
  ): Promise<ReadDisk[]> {
    const { engine, options, session, progress } = this.#context;
    const { parent, blockSizeBytes, plan } = this.#task;
    await using parentChain = await this.#openParentChain();
    const context = {
      backup,
      parent,
      parentChain,
      target,
      resources,
      session,
      blockSizeBytes,
      blockRetryMs: engine.timings.blockRetryMs,
      auditRatio: options.auditRatio,
      pace: options.pace,
      progress,
      signal: resources.signal,
    };
    progress.phase('reading');
    return await readAllDisks(plan.planned, resources, (disk) => readVmDisk(disk, context));
  }

  /**
   * Opens the parent chain for partial reads. A session that audits reads whole blocks, because its
   * sample cannot show what a change map misses inside a dirty block.
   */
  async #openParentChain(): Promise<ParentChain | undefined> {
    const { session, options } = this.#context;
    const { folder, metadata } = this.#chain;
    const { parent } = this.#task;
    if (!parent || !options.partialReads || options.auditRatio !== undefined) return undefined;
    const tools = { codecs: options.codecs, log: session.log };
    return await ParentChain.open(folder.place, metadata, parent, tools);
  }
}
