/** A backup session over local raw images: first a full, then increments by comparison. Wiring only. */
import { randomUUID } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import { checkBlockSize } from '../container/containerWriter.ts';
import type { DiskContent } from '../container/containerSink.ts';
import { toFailure, UsageError } from '../core/errors.ts';
import { type Logger, silentLogger } from '../core/log.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { formatBytes } from '../core/units.ts';
import { openRawImage, type RawImage } from '../devices/rawImageDevice.ts';
import { type BlockVerbs, createBlockVerbs } from '../pipeline/blockVerbs.ts';
import { requireNativeLz4 } from '../pipeline/lz4Binding.ts';
import { ChainLock } from '../repository/chainLock.ts';
import { checkVmName } from '../repository/names.ts';
import type { ChainMetadata } from '../repository/pointXml.ts';
import { Repository } from '../repository/repository.ts';
import type { RestorePoint, VmIdentity } from '../repository/restorePoint.ts';
import type { VmFolder } from '../repository/vmFolder.ts';
import { backupDisk, type DiskProgress, type DiskResult } from './backupDisk.ts';
import { imageVmId, type PlannedDisk } from './imagePlan.ts';
import { planImageSession, type SessionMode, type SessionPlan } from './planImageSession.ts';
import { PointWriter } from './pointWriter.ts';
import { findBottleneck, type SessionReport } from './report.ts';
import { forEachLimited, RunResources } from './resources.ts';

export interface BackupImagesOptions {
  /** Raw images or block devices; each is one disk of the VM, told apart by file name. */
  readonly images: readonly string[];
  readonly vmName: string;
  /** Repository folder; made when it is new or empty. */
  readonly repository: string;
  /** @defaultValue auto: a full when there is no restore point to build on, else an increment */
  readonly mode?: SessionMode | undefined;
  /** @defaultValue that of the chain; for a full 1 MiB, or 4 MiB above 128 GiB of allocated data */
  readonly blockSizeBytes?: number | undefined;
  readonly workers?: number | undefined;
  /** Makes the missing native LZ4 build an error. */
  readonly strict?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onDiskStart?: ((progress: DiskProgress) => void) | undefined;
}

/** Disks whose pipelines run at once; they share slab, workers and container. */
const PARALLEL_DISKS = 2;

class ImageSession {
  readonly #options: BackupImagesOptions;
  readonly #images: readonly RawImage[];
  readonly #verbs: BlockVerbs;
  readonly #log: Logger;
  readonly #messages: SessionMessage[] = [];
  readonly #sessionId = randomUUID();
  readonly #startedAt = new Date();
  readonly #startedAtMs = performance.now();

  constructor(options: BackupImagesOptions, images: readonly RawImage[], verbs: BlockVerbs) {
    this.#options = options;
    this.#images = images;
    this.#verbs = verbs;
    const logger = options.logger ?? silentLogger;
    this.#log = logger.child({ sessionId: this.#sessionId, vmName: options.vmName });
  }

  async run(): Promise<SessionReport> {
    const { vmName } = this.#options;
    const repository = await Repository.openOrCreate(this.#options.repository);
    const folder =
      (await repository.findVm(vmName)) ??
      (await repository.createVm({ id: imageVmId(repository.id, vmName), name: vmName }));
    await using lock = await ChainLock.acquire(folder.folder);
    this.#log.info({ folder: folder.folder }, 'session started');
    if (!this.#verbs.lz4.isNative) {
      this.#note(sessionMessage('ENV-801', { reason: this.#verbs.lz4.reason }));
    }
    const metadata = await this.#prepare(folder);
    const plan = await planImageSession(folder, metadata, this.#images, {
      mode: this.#options.mode ?? 'auto',
      blockSizeBytes: this.#options.blockSizeBytes,
      verbs: this.#verbs,
      note: (message) => this.#note(message),
    });
    await this.#checkSpace(repository.root, plan);
    return await this.#store({ repository, folder, metadata, lock }, plan);
  }

  /** Cleans up after a stopped session and loads the chain metadata. */
  async #prepare(folder: VmFolder): Promise<ChainMetadata> {
    for (const message of await folder.removeLeftovers()) this.#note(message);
    const known = await folder.readMetadata();
    if (!known) {
      const vm: VmIdentity = { id: folder.vmId, name: this.#options.vmName };
      await folder.writeMetadata({ vm, points: [] });
      return { vm, points: [] };
    }
    const { metadata, messages } = await folder.adoptOrphans(known, this.#verbs);
    for (const message of messages) this.#note(message);
    return metadata;
  }

  /** A full may need as much as is allocated; an increment's size is not known beforehand. */
  async #checkSpace(root: string, plan: SessionPlan): Promise<void> {
    if (plan.parent) return;
    const needBytes = this.#images.reduce((sum, image) => sum + image.allocatedBytes, 0);
    const { bavail, bsize } = await statfs(root);
    const freeBytes = bavail * bsize;
    if (freeBytes >= needBytes) return;
    const [free, need] = [formatBytes(freeBytes), formatBytes(needBytes)];
    this.#note(sessionMessage('REPO-503', { free, repo: root, need }));
  }

  async #store(
    context: {
      readonly repository: Repository;
      readonly folder: VmFolder;
      readonly metadata: ChainMetadata;
      readonly lock: ChainLock;
    },
    plan: SessionPlan,
  ): Promise<SessionReport> {
    const { folder, metadata, lock } = context;
    const draft = this.#draftPoint(folder, plan);
    const { workers, signal } = this.#options;
    const { blockSizeBytes } = plan;
    await using resources = await RunResources.create({ blockSizeBytes, workers, signal });
    await using target = await PointWriter.create(folder, draft.fileName, blockSizeBytes);
    const pipelinesFromMs = performance.now();
    const results = await this.#readDisks(plan, target, resources);
    const commitFromMs = performance.now();
    const point = await target.publish(
      metadata.vm,
      { ...draft, disks: results.map((result, k) => toDiskPoint(plan.planned[k], result)) },
      results.map((result): DiskContent => result.content),
      { metadata, parent: plan.parent?.point, lock },
    );
    return this.#report(context, point, results, { pipelinesFromMs, commitFromMs });
  }

  async #readDisks(
    plan: SessionPlan,
    target: PointWriter,
    resources: RunResources,
  ): Promise<DiskResult[]> {
    const results: DiskResult[] = [];
    await forEachLimited(plan.planned, PARALLEL_DISKS, async (disk, k) => {
      const device = this.#images[k];
      if (!device || resources.signal.aborted) return;
      const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = disk;
      const task = {
        diskId,
        alias,
        virtualSizeBytes,
        blockSizeBytes: plan.blockSizeBytes,
        mode,
      } as const;
      const parent = disk.parentDisk && plan.parent?.disks.get(diskId);
      const isIncrement = content === 'increment';
      const run = { task, reason, device, parent, isIncrement, writer: target.writer };
      this.#log.info({ diskId, alias, mode, reason }, 'disk started');
      results[k] = await backupDisk(run, resources, this.#options.onDiskStart ?? (() => {}));
      if (await device.hasChanged()) {
        this.#note(sessionMessage('DSK-112', { path: device.path, alias, id: diskId }));
      }
      this.#log.info({ diskId, ...results[k].content.counts }, 'disk done');
    });
    resources.signal.throwIfAborted();
    return results;
  }

  #draftPoint(folder: VmFolder, plan: SessionPlan): Omit<RestorePoint, 'disks'> {
    const parent = plan.parent?.point;
    const type = parent ? 'increment' : 'full';
    const pointId = randomUUID();
    return {
      pointId,
      number: parent ? parent.number + 1 : 1,
      type,
      chainId: parent?.chainId ?? pointId,
      parentPointId: parent?.pointId ?? '',
      fileName: folder.newContainerName(type, this.#startedAt),
      createdAt: this.#startedAt.toISOString(),
      checkpointId: '',
      blockSizeBytes: plan.blockSizeBytes,
      fileBytes: 0,
    };
  }

  #report(
    context: { readonly repository: Repository; readonly metadata: ChainMetadata },
    point: RestorePoint,
    results: readonly DiskResult[],
    times: { readonly pipelinesFromMs: number; readonly commitFromMs: number },
  ): SessionReport {
    const endMs = performance.now();
    const pipelineSeconds = (times.commitFromMs - times.pipelinesFromMs) / 1000;
    const durationSeconds = (endMs - this.#startedAtMs) / 1000;
    const disks = results.map((result) => result.report);
    const report: SessionReport = {
      type: 'backup',
      sessionId: this.#sessionId,
      vmName: context.metadata.vm.name,
      vmId: context.metadata.vm.id,
      repository: context.repository.root,
      fileName: point.fileName,
      fileBytes: point.fileBytes,
      pointId: point.pointId,
      pointType: point.type,
      pointNumber: point.number,
      parentPointId: point.parentPointId,
      startedAt: this.#startedAt.toISOString(),
      durationSeconds,
      overheadSeconds: durationSeconds - pipelineSeconds,
      commitSeconds: (endMs - times.commitFromMs) / 1000,
      bottleneck: findBottleneck(disks, pipelineSeconds, PARALLEL_DISKS),
      disks,
      messages: this.#messages,
    };
    this.#log.info({ fileName: point.fileName, durationSeconds }, 'session committed');
    return report;
  }

  #note(message: SessionMessage): void {
    this.#messages.push(message);
    this.#log[message.level]({ code: message.code, resolution: message.resolution }, message.text);
    this.#options.onMessage?.(message);
  }
}

function toDiskPoint(
  planned: PlannedDisk | undefined,
  result: DiskResult,
): RestorePoint['disks'][number] {
  const { diskId, alias, sizeBytes, mode, reason, readBytes, changedBytes, storedBytes } =
    result.report;
  const content = planned?.content ?? 'full';
  return {
    diskId,
    alias,
    sizeBytes,
    content,
    mode,
    reason,
    readBytes,
    changedBytes,
    storedBytes,
  };
}

/**
 * Backs up local images as the disks of one VM.
 *
 * A failed or cancelled session leaves the restore points before it as they were. Should the very last step
 * fail, the listing of a container that is complete and named, the next session adds it to the chain.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function backupImages(options: BackupImagesOptions): Promise<SessionReport> {
  checkVmName(options.vmName);
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  if (options.images.length === 0) {
    throw new UsageError('USAGE_INVALID_OPTION', 'no image given', { hint: 'use --image FILE' });
  }
  const verbs = await createBlockVerbs();
  if (options.strict) requireNativeLz4(verbs.lz4);
  const images: RawImage[] = [];
  try {
    for (const path of options.images) images.push(await openRawImage(path));
    options.signal?.throwIfAborted();
    return await new ImageSession(options, images, verbs).run();
  } catch (error) {
    throw toFailure(error, options.signal);
  } finally {
    await Promise.all(images.map((image) => image.close()));
  }
}
