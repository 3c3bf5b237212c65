/**
 * The steps of a restore on the engine: make each disk and fill it, make the VM, attach the disks.
 *
 * The VM comes after all uploads, so that a restore that fails leaves no VM without disks.
 */
import { createStageStats } from '../../core/stats.ts';
import { TransferTarget } from '../../devices/transferTarget.ts';
import type { EngineApi } from '../../ovirt/engine/engineApi.ts';
import type { CreateDisk } from '../../ovirt/engine/engineRequests.ts';
import type { Disk, Vm } from '../../ovirt/engine/entities.ts';
import { DiskTransfer } from '../../ovirt/lifecycle/transfer.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { Journal, JournalEntry } from '../../repository/journal.ts';
import { cutText } from '../../repository/names.ts';
import { readOvf } from '../../repository/pointReader.ts';
import { type DiskPoint, MAX_JOURNAL_NAME_CHARS } from '../../repository/restorePoint.ts';
import type { RestorePointView } from '../../repository/restorePointView.ts';
import { makeOnEngine } from './makeOnEngine.ts';
import { awaitDisk, checkDiskNameFree } from './newDisk.ts';
import { restoreDescription } from '../cleanup/ownership.ts';
import { type MeasuredDisk, measureDisk, restoreBlocks } from './restoreBlocks.ts';
import { type MacChoice, planConfiguration, type RestoredNic, settleNics } from './restoreNics.ts';
import { type RestoreTarget, toEngineName } from './restoreTarget.ts';
import { type ProgressCounts, progressDisk, type SessionProgress } from '../shared/progress.ts';
import {
  DEFAULT_CONNECTIONS,
  forEachLimited,
  type PipelineResources,
} from '../shared/pipelineResources.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import { isBlockStorage, planTargetDisk, type TargetFormat } from './targetDisk.ts';
import { checkTargetSpace, explainUploadFailure } from './targetSpace.ts';

/** A disk of the point and the new disk that takes its content. */
interface PlannedUpload {
  readonly disk: DiskPoint;
  readonly wanted: CreateDisk;
  /** Bytes of the disk that are not zero. */
  readonly measured: MeasuredDisk;
  /** Space that the upload takes in the storage domain. */
  readonly needBytes: number;
}

export interface VmBuilderContext {
  readonly sessionId: string;
  readonly engine: EngineApi;
  readonly target: RestoreTarget;
  readonly view: RestorePointView;
  readonly resources: PipelineResources;
  readonly codecs: BlockCodecs;
  readonly session: SessionLog;
  readonly progress: SessionProgress;
  readonly journal: Journal;
  readonly signal: AbortSignal;
}

export interface BuildOptions {
  /** Name of the new VM. */
  readonly asVm: string;
  readonly macs?: MacChoice | undefined;
  readonly format?: TargetFormat | undefined;
  readonly connections?: number | undefined;
  readonly onStatus?: ((text: string) => void) | undefined;
}

export interface UploadedDisk {
  /** In the repository. */
  readonly diskId: string;
  readonly alias: string;
  /** On the engine. */
  readonly newDiskId: string;
  readonly format: 'cow' | 'raw';
  readonly sizeBytes: number;
  readonly uploadedBytes: number;
  /** Bytes that were zeroed because the new disk could hold old data. */
  readonly zeroedBytes: number;
  /** Whether the server's checksum over the new disk was compared. */
  readonly isVerified: boolean;
  readonly wallSeconds: number;
}

export interface BuiltVm {
  readonly newVmId: string;
  readonly hasConfiguration: boolean;
  readonly macs: MacChoice;
  readonly nics: readonly RestoredNic[];
  readonly disks: readonly UploadedDisk[];
}

const PARALLEL_UPLOADS = 2;

/** Name of a new disk. Its end tells the disks of one VM apart, so a long name keeps it. */
function diskName(vmName: string, { alias, diskId }: DiskPoint): string {
  const end = `_${diskId.slice(0, 8)}`;
  return cutText(`${vmName}_${toEngineName(alias)}`, MAX_JOURNAL_NAME_CHARS - end.length) + end;
}

export class VmBuilder {
  readonly #context: VmBuilderContext;
  readonly #options: BuildOptions;
  readonly #marker: string;
  readonly #transfers = new Set<DiskTransfer>();
  readonly #targets: TransferTarget[] = [];

  constructor(context: VmBuilderContext, options: BuildOptions) {
    this.#context = context;
    this.#options = options;
    this.#marker = restoreDescription(context.sessionId);
  }

  async build(sourceVmId: string, disks: readonly DiskPoint[]): Promise<BuiltVm> {
    const { engine, session, resources, view, codecs } = this.#context;
    const saved = await readOvf(view.newest, sourceVmId, codecs);
    const plan = await planConfiguration(engine, saved, sourceVmId, this.#options.macs);
    const { ovf, macs } = plan;
    const planned: PlannedUpload[] = [];
    for (const disk of disks) planned.push(await this.#planDisk(disk));
    const needBytes = planned.reduce((sum, one) => sum + one.needBytes, 0);
    checkTargetSpace(this.#context.target.domain, needBytes);
    const { progress } = this.#context;
    progress.planDisks(planned.map(({ disk, measured }) => progressDisk(disk, measured.dataBytes)));
    progress.phase('uploading');
    const uploaded: UploadedDisk[] = [];
    await forEachLimited(planned, PARALLEL_UPLOADS, async (one, k) => {
      if (resources.signal.aborted) return;
      await this.#restoreDisk(one).then(
        (done) => (uploaded[k] = done),
        (error: unknown) => resources.stop(error),
      );
    });
    if (resources.signal.aborted) throw await this.#explain(needBytes, resources.signal.reason);
    const vm = await this.#createVm(ovf);
    for (const [k, disk] of disks.entries()) {
      const id = uploaded[k]?.newDiskId ?? '';
      const { interface: bus = 'virtio_scsi', bootable = k === 0 } = disk;
      await engine.attachDisk(vm.id, { id, interface: bus, bootable });
    }
    const nics = await settleNics(engine, plan, vm, session.note);
    await this.#record({ step: 'restore-done' });
    return { newVmId: vm.id, hasConfiguration: ovf !== undefined, macs, nics, disks: uploaded };
  }

  /** Cancels the open uploads. The engine then deletes their disks. Never rejects. */
  async settle(): Promise<void> {
    const clock = AbortSignal.timeout(this.#context.engine.timings.cleanupMs);
    for (const transfer of this.#transfers) await transfer.cancel(clock).catch(() => {});
  }

  async #record(entry: JournalEntry): Promise<void> {
    await this.#context.journal.append(entry);
  }

  /**
   * The error of a restore whose upload failed. A full storage domain shows only in its free space,
   * so that is read again here.
   */
  async #explain(needBytes: number, reason: unknown): Promise<unknown> {
    const { engine, target } = this.#context;
    const doneBytes = this.#targets.reduce((sum, { stats }) => sum + stats.bytes, 0);
    return await explainUploadFailure(engine, target.domain, needBytes - doneBytes, reason);
  }

  async #restoreDisk({ disk, wanted, measured }: PlannedUpload): Promise<UploadedDisk> {
    const { engine, session, signal } = this.#context;
    const startedAtMs = performance.now();
    const newDiskId = await this.#createDisk(wanted);
    this.#options.onStatus?.(`uploading ${disk.alias}`);
    const transfer = await this.#openUpload(newDiskId, disk);
    this.#transfers.add(transfer);
    const target = await this.#upload(disk, wanted, measured, transfer);
    await transfer.finish();
    this.#transfers.delete(transfer);
    await this.#record({ step: 'transfer-done', transferId: transfer.id });
    await awaitDisk(engine, newDiskId, wanted.name, signal);
    session.log.info({ diskId: disk.diskId, newDiskId }, 'disk restored');
    return {
      diskId: disk.diskId,
      alias: disk.alias,
      newDiskId,
      format: wanted.format,
      sizeBytes: disk.sizeBytes,
      uploadedBytes: target.stats.bytes,
      zeroedBytes: target.zeroedBytes,
      isVerified: target.isVerified,
      wallSeconds: (performance.now() - startedAtMs) / 1000,
    };
  }

  async #planDisk(disk: DiskPoint): Promise<PlannedUpload> {
    const { target, view } = this.#context;
    const { format = 'same', asVm } = this.#options;
    const measured = await measureDisk(view, disk);
    const { dataBytes } = measured;
    const name = diskName(asVm, disk);
    const description = this.#marker;
    const wanted = planTargetDisk(disk, dataBytes, target.domain, { format, name, description });
    const isPreallocated = wanted.format === 'raw' && !wanted.sparse;
    return { disk, wanted, measured, needBytes: isPreallocated ? disk.sizeBytes : dataBytes };
  }

  async #createDisk(wanted: CreateDisk): Promise<string> {
    const { engine, signal } = this.#context;
    await checkDiskNameFree(engine, wanted.name);
    await this.#record({ step: 'disk-starting', name: wanted.name });
    const { id } = await makeOnEngine<Disk>({
      ...this.#context,
      name: wanted.name,
      description: wanted.description,
      create: (late) => late.createDisk(wanted),
      find: () => engine.findDisks(wanted.name),
    });
    await this.#record({ step: 'disk', diskId: id, name: wanted.name });
    await awaitDisk(engine, id, wanted.name, signal);
    return id;
  }

  async #openUpload(newDiskId: string, disk: DiskPoint): Promise<DiskTransfer> {
    const { engine, session, signal } = this.#context;
    const { connections = DEFAULT_CONNECTIONS } = this.#options;
    return await DiskTransfer.open({
      engine,
      diskId: newDiskId,
      alias: disk.alias,
      direction: 'upload',
      connections,
      journal: (step, transferId) =>
        this.#record(
          step === 'transfer' && transferId !== undefined
            ? { step, transferId, diskId: newDiskId }
            : { step: 'transfer-starting', diskId: newDiskId },
        ),
      note: session.note,
      log: session.log,
      signal,
    });
  }

  async #upload(
    disk: DiskPoint,
    wanted: CreateDisk,
    { supply, dataBytes }: MeasuredDisk,
    transfer: DiskTransfer,
  ): Promise<TransferTarget> {
    const { engine, view, resources, codecs, session, progress, target: place } = this.#context;
    const target = new TransferTarget({
      transfer,
      diskId: disk.diskId,
      alias: disk.alias,
      virtualSizeBytes: disk.sizeBytes,
      // A preallocated volume on block storage still shows the bytes of its former owner.
      mustZero: wanted.format === 'raw' && isBlockStorage(place.domain),
      retryDelayMs: engine.timings.blockRetryMs,
      signal: resources.signal,
      note: session.note,
      threads: resources.rangeThreadsFor(dataBytes),
    });
    const options = {
      disk,
      view,
      supply,
      resources,
      codecs,
      fetch: createStageStats(),
      unpack: createStageStats(),
      onMessage: session.note,
    };
    this.#targets.push(target);
    const counts = (): ProgressCounts => ({
      doneBytes: target.stats.bytes,
      readBytes: options.fetch.bytes,
      sentBytes: target.stats.bytes,
    });
    await progress.disk(progressDisk(disk, dataBytes), counts, async () => {
      await restoreBlocks(options, target.sink());
      await target.finish();
    });
    return target;
  }

  async #createVm(ovf: string | undefined): Promise<Vm> {
    const { engine, target } = this.#context;
    const { asVm, onStatus } = this.#options;
    this.#context.progress.phase('creatingVm');
    onStatus?.(`creating VM ${asVm}`);
    await this.#record({ step: 'vm-starting', name: asVm });
    const { id: clusterId } = target.cluster;
    const wanted = { name: asVm, description: this.#marker, clusterId, ovf };
    const vm = await makeOnEngine<Vm>({
      ...this.#context,
      name: asVm,
      description: this.#marker,
      create: (late) => late.createVm(wanted),
      find: () => engine.findVms(asVm),
    });
    this.#context.progress.nameVm({ id: vm.id, name: asVm });
    await this.#record({ step: 'vm', vmId: vm.id, name: asVm });
    return vm;
  }
}
