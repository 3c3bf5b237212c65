/**
 * The part of a VM session that holds the VM: freeze, read, release, commit. A change map that the engine cannot
 * open starts it over once, without a checkpoint, with the disks compared instead; disks that were unplugged
 * since they were looked at start it over once with a new plan.
 */
import { BackupError, EngineError } from '../../../core/errors.ts';
import { sessionMessage } from '../../../core/messages.ts';
import type { BackupEnd } from '../../../ovirt/lifecycle/backupPhases.ts';
import { faultKind } from '../../../ovirt/engine/engineErrors.ts';
import { ownTroubles } from '../../../ovirt/engine/eventTexts.ts';
import { isPlanOutdated } from '../../../ovirt/engine/faults.ts';
import type { ChainMetadata } from '../../../repository/pointXml.ts';
import type { RestorePoint } from '../../../repository/restorePoint.ts';
import type { VmChain, VmSession, VmTask } from './vmSession.ts';
import { draftPoint, toDiskPoint } from '../draftPoint.ts';
import { PARALLEL_DISKS } from '../plannedDisk.ts';
import { checkSnapshot } from '../../cleanup/engineCleanup.ts';
import { FrozenVm } from './engineBackup.ts';
import {
  type HealingReport,
  type EngineReport,
  reportSession,
  type SessionReport,
} from '../../shared/report.ts';
import { updateDamageRecord } from '../parent/damageRecord.ts';
import { backupDescription } from '../../cleanup/ownership.ts';
import { ParentChain } from '../parent/parentBlocks.ts';
import { PointWriter } from '../../shared/pointWriter.ts';
import { PipelineResources } from '../../shared/pipelineResources.ts';
import { ChangeMapBroken, type ReadDisk, readVmDisks } from './vmDisks.ts';
import { withoutCheckpoint } from './vmPlan.ts';

const FREEZE_FAILED = /fr(?:ee|o)ze/i;

/** Wall times of one attempt, in milliseconds. */
interface Times {
  startMs: number;
  pipelineMs: number;
  finalizeMs: number;
  commitMs: number;
}

export class BackupAttempt {
  readonly #owner: VmSession;
  readonly #chain: VmChain;
  #task: VmTask;
  #points: ChainMetadata['points'];
  #backupsStarted = 0;
  #wasPlannedAgain = false;
  readonly #times: Times = { startMs: 0, pipelineMs: 0, finalizeMs: 0, commitMs: 0 };

  constructor(owner: VmSession, chain: VmChain, task: VmTask) {
    this.#owner = owner;
    this.#chain = chain;
    this.#task = task;
    this.#points = chain.metadata.points;
  }

  /** Restore points after the commit. */
  get points(): ChainMetadata['points'] {
    return this.#points;
  }

  async run(): Promise<SessionReport> {
    for (;;) {
      try {
        return await this.#attempt();
      } catch (error) {
        const task = await this.#taskAfter(error);
        if (!task) throw error;
        this.#task = task;
      }
    }
  }

  /** What to do when the plan does not hold; each way out is taken once at most. */
  async #taskAfter(error: unknown): Promise<VmTask | undefined> {
    const kind = faultKind(error);
    if (kind && isPlanOutdated(kind) && !this.#wasPlannedAgain) {
      this.#wasPlannedAgain = true;
      this.#owner.session.log.warn({ kind }, 'the disks have changed, planning again');
      return await this.#owner.plan(this.#chain);
    }
    const plan = this.#planWithoutCheckpoint(error);
    return plan && { ...this.#task, plan };
  }

  #planWithoutCheckpoint(error: unknown): VmTask['plan'] | undefined {
    const { plan, parent } = this.#task;
    const { note } = this.#owner.session;
    const { fromCheckpointId: checkpoint } = plan;
    if (!checkpoint || !parent) return undefined;
    if (error instanceof ChangeMapBroken) {
      const { alias, diskId: id } = error.disk;
      note(sessionMessage('CBT-105', { alias, id, vm: this.#chain.vm.name }));
      return withoutCheckpoint(plan, 'change map broken, backup restarted without checkpoint');
    }
    if (!(error instanceof BackupError) || error.code !== 'ENGINE_CHANGE_MAP_LOST') {
      return undefined;
    }
    const { createdAt: date, pointId: rp } = parent.point;
    const isInvalid = error.details['kind'] === 'checkpoint-invalid';
    note(sessionMessage(isInvalid ? 'CBT-104' : 'CBT-103', { checkpoint, date, rp }));
    return withoutCheckpoint(plan, 'the engine refused the checkpoint');
  }

  async #attempt(): Promise<SessionReport> {
    const { engine, options, session, startedAt } = this.#owner;
    const { folder } = this.#chain;
    const { parent, blockSizeBytes } = this.#task;
    const { workers, signal } = options;
    const draft = await draftPoint(folder, parent?.point, startedAt, blockSizeBytes);
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    await using target = await PointWriter.create(folder, draft.fileName, blockSizeBytes);
    const startedAtMs = performance.now();
    const frozen = await this.#freeze();
    this.#times.startMs = performance.now() - startedAtMs;
    let read: ReadDisk[];
    let end: BackupEnd | 'unfinished';
    try {
      await this.#noteFreeze();
      const readFromMs = performance.now();
      await using parentChain = await this.#openParentChain();
      read = await readVmDisks(this.#task.plan.planned, {
        frozen,
        parent,
        parentChain,
        target,
        resources,
        session,
        blockSizeBytes,
        blockRetryMs: engine.timings.blockRetryMs,
        auditRatio: options.auditRatio,
        onDiskStart: options.onDiskStart ?? (() => {}),
      });
      this.#times.pipelineMs = performance.now() - readFromMs;
      const finalizeFromMs = performance.now();
      end = await this.#release(frozen);
      this.#times.finalizeMs = performance.now() - finalizeFromMs;
    } catch (error) {
      await frozen.abandon();
      throw error;
    }
    const checkpointId = await this.#nextBase(frozen, end);
    const commitFromMs = performance.now();
    const point = await this.#commit(target, { ...draft, checkpointId }, read);
    this.#times.commitMs = performance.now() - commitFromMs;
    const healing = await updateDamageRecord(folder.folder, this.#points, parent, session.log);
    return this.#report(frozen, point, read, healing);
  }

  /** For reads of parts of blocks only. */
  /** For partial reads. A session that audits reads whole blocks: what a map misses in a dirty block is in no sample. */
  async #openParentChain(): Promise<ParentChain | undefined> {
    const { session, options } = this.#owner;
    const { folder, metadata } = this.#chain;
    const { parent } = this.#task;
    if (!parent || !options.partialReads || options.auditRatio !== undefined) return undefined;
    const tools = { codecs: options.codecs, log: session.log };
    return await ParentChain.open(folder.folder, metadata, parent, tools);
  }

  async #freeze(): Promise<FrozenVm> {
    const { engine, options, session, sessionId } = this.#owner;
    const { vm, journal } = this.#chain;
    const { plan } = this.#task;
    const { connections, signal, requireConsistency, repository, onStatus = () => {} } = options;
    this.#backupsStarted++;
    const start = {
      diskIds: plan.planned.map((disk) => disk.diskId),
      fromCheckpointId: plan.fromCheckpointId,
      description: `${backupDescription(repository.id, sessionId)} ${this.#backupsStarted}`,
      requireConsistency,
    };
    return await FrozenVm.freeze(start, {
      engine,
      vm,
      session,
      journal,
      connections,
      signal,
      onStatus,
    });
  }

  /** A guest that could not be frozen shows in the engine's events only. */
  async #noteFreeze(): Promise<void> {
    const { engine, session } = this.#owner;
    const reason = (await ownTroubles(engine)).find((text) => FREEZE_FAILED.test(text));
    if (reason) session.note(sessionMessage('FRZ-401', { vm: this.#chain.vm.name, reason }));
  }

  /**
   * Ends the backup, and looks whether its snapshot went with it. All data is here by now: an engine that does
   * not end its backup must not cost the restore point, so the journal keeps what is left.
   */
  async #release(frozen: FrozenVm): Promise<BackupEnd | 'unfinished'> {
    const { options, session } = this.#owner;
    const { vm } = this.#chain;
    let end: BackupEnd;
    try {
      end = await frozen.release();
    } catch (error) {
      options.signal.throwIfAborted();
      if (!(error instanceof EngineError)) throw error;
      const fields = { backup: frozen.backupId, vm: vm.name, reason: error.message };
      session.note(sessionMessage('XFER-306', fields));
      return 'unfinished';
    }
    await this.#lookForSnapshot(frozen).catch((error: unknown) => this.#tolerate(error));
    return end;
  }

  async #lookForSnapshot(frozen: FrozenVm): Promise<void> {
    const { engine, options, session } = this.#owner;
    const { vm, journal } = this.#chain;
    const { snapshotId } = frozen.ready;
    const context = { engine, vm, note: session.note, signal: options.signal };
    if (!snapshotId || !(await checkSnapshot(context, snapshotId))) return;
    await journal.append({ step: 'snapshot-gone', snapshotId });
  }

  /** After the data is here, a question that the engine does not answer costs no restore point. */
  #tolerate(error: unknown): void {
    this.#owner.options.signal.throwIfAborted();
    if (!(error instanceof EngineError)) throw error;
    this.#owner.session.log.warn({ code: error.code }, 'the engine did not answer a question');
  }

  /**
   * The checkpoint that the next session may start from: it has to exist and to hold a disk. After a backup that
   * ended as failed none is believed.
   */
  async #nextBase(frozen: FrozenVm, end: BackupEnd | 'unfinished'): Promise<string> {
    const { engine, session } = this.#owner;
    const { vm } = this.#chain;
    const { toCheckpointId } = frozen.ready;
    // The next session looks whether it has become one.
    if (end === 'unfinished') return toCheckpointId ?? '';
    if (end === 'failed') {
      session.note(sessionMessage('SNP-205', { backup: frozen.backupId, vm: vm.name, phase: end }));
      return '';
    }
    if (!toCheckpointId) return '';
    try {
      const known = (await engine.checkpoints(vm.id)).find((one) => one.id === toCheckpointId);
      if (known?.state !== 'created') return '';
      const diskIds = await engine.checkpointDiskIds(vm.id, toCheckpointId);
      return diskIds.size > 0 ? toCheckpointId : '';
    } catch (error) {
      this.#tolerate(error);
      return toCheckpointId;
    }
  }

  async #commit(
    target: PointWriter,
    draft: Omit<RestorePoint, 'disks'>,
    read: readonly ReadDisk[],
  ): Promise<RestorePoint> {
    const { metadata, lock, vm } = this.#chain;
    const { parent, ovf } = this.#task;
    const disks = read.map(({ planned, result }) => toDiskPoint(planned, result));
    const point = await target.publish(
      { id: metadata.vm.id, name: vm.name },
      { ...draft, disks },
      read.map(({ result }) => result.content),
      { metadata, parent: parent?.point, lock, ovf },
    );
    this.#points = [...metadata.points, point];
    this.#owner.session.log.info({ fileName: point.fileName }, 'session committed');
    return point;
  }

  #report(
    frozen: FrozenVm,
    point: RestorePoint,
    read: readonly ReadDisk[],
    healing: HealingReport | undefined,
  ): SessionReport {
    const { session, sessionId, startedAt, startedAtMs, options } = this.#owner;
    const { vm } = this.#chain;
    const { startMs, pipelineMs, finalizeMs, commitMs } = this.#times;
    const engine: EngineReport = {
      backupId: frozen.backupId,
      fromCheckpointId: this.#task.plan.fromCheckpointId ?? '',
      toCheckpointId: point.checkpointId,
      backupsStarted: this.#backupsStarted,
      startSeconds: startMs / 1000,
      finalizeSeconds: finalizeMs / 1000,
      leftOut: this.#task.plan.leftOut,
    };
    const facts = {
      sessionId,
      vm: { id: vm.id, name: vm.name },
      repository: options.repository.root,
      startedAt,
      startedAtMs,
      pipelineSeconds: pipelineMs / 1000,
      commitSeconds: commitMs / 1000,
      parallelDisks: PARALLEL_DISKS,
      messages: session.messages,
      engine,
      healing,
    };
    return reportSession(
      facts,
      point,
      read.map(({ result }) => result.report),
    );
  }
}
