/** A backup session over local raw images: first a full, then increments by comparison. Wiring only. */
import { randomUUID } from 'node:crypto';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import { toFailure, UsageError } from '../../core/errors.ts';
import type { Logger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { openRawImage, type RawImage } from '../../devices/rawImageDevice.ts';
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import { requireNativeLz4 } from '../../compute/lz4Binding.ts';
import { ChainLock } from '../../repository/chainLock.ts';
import { checkVmName } from '../../repository/names.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import { Repository } from '../../repository/repository.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { backupDisk, type DiskResult } from './backupDisk.ts';
import type { DiskProgress } from '../shared/progress.ts';
import { checkSpace } from '../shared/freeSpace.ts';
import { chooseBlockSize, chooseParent, type SessionMode } from './parent/parentChoice.ts';
import { draftPoint, toDiskPoint } from './draftPoint.ts';
import { PARALLEL_DISKS, type PlannedDisk } from './plannedDisk.ts';
import { prepareChain } from '../shared/prepareChain.ts';
import { updateDamageRecord } from './parent/damageRecord.ts';
import { imageVmId, nameImages, planFull, planIncrement } from './imagePlan.ts';
import type { CheckedParent } from './parent/parentPoint.ts';
import { PointWriter } from '../shared/pointWriter.ts';
import { reportSession, type SessionReport } from '../shared/report.ts';
import { forEachLimited, PipelineResources } from '../shared/pipelineResources.ts';
import { SessionLog } from '../shared/sessionLog.ts';

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

interface Chain {
  readonly repository: Repository;
  readonly folder: VmFolder;
  readonly metadata: ChainMetadata;
  readonly lock: ChainLock;
}

interface Plan {
  readonly planned: readonly PlannedDisk[];
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
}

class ImageSession {
  readonly #options: BackupImagesOptions;
  readonly #images: readonly RawImage[];
  readonly #codecs: BlockCodecs;
  readonly #session: SessionLog;
  readonly #sessionId = randomUUID();
  readonly #startedAt = new Date();
  readonly #startedAtMs = performance.now();

  constructor(options: BackupImagesOptions, images: readonly RawImage[], codecs: BlockCodecs) {
    this.#options = options;
    this.#images = images;
    this.#codecs = codecs;
    this.#session = new SessionLog(options, {
      sessionId: this.#sessionId,
      vmName: options.vmName,
    });
  }

  async run(): Promise<SessionReport> {
    const { vmName: name } = this.#options;
    const { log, note } = this.#session;
    const repository = await Repository.openOrCreate(this.#options.repository);
    const folder =
      (await repository.findVm(name)) ??
      (await repository.createVm({ id: imageVmId(repository.id, name), name }));
    await using lock = await ChainLock.acquire(folder.folder);
    log.info({ folder: folder.folder }, 'session started');
    if (!this.#codecs.lz4.isNative) {
      note(sessionMessage('ENV-801', { reason: this.#codecs.lz4.reason }));
    }
    const metadata = await prepareChain(folder, { id: folder.vmId, name }, this.#codecs, note);
    const chain = { repository, folder, metadata, lock };
    const plan = await this.#plan(chain);
    if (!plan.parent) await checkSpace(repository.root, this.#allocatedBytes(), note);
    return await this.#store(chain, plan);
  }

  async #plan({ folder, metadata }: Chain): Promise<Plan> {
    const { mode = 'auto', blockSizeBytes: wantedBytes } = this.#options;
    const { note } = this.#session;
    const disks = nameImages(
      metadata.vm.id,
      this.#images.map((image) => ({ path: image.path, sizeBytes: image.virtualSizeBytes })),
    );
    const options = { mode, codecs: this.#codecs, note };
    const { parent, fullReason } = await chooseParent(folder, metadata, options);
    const blockSizeBytes = chooseBlockSize(parent, wantedBytes, this.#allocatedBytes());
    if (!parent) return { planned: planFull(disks, fullReason), parent, blockSizeBytes };
    const { planned, messages } = planIncrement(disks, parent.point);
    for (const message of messages) note(message);
    return { planned, parent, blockSizeBytes };
  }

  #allocatedBytes(): number {
    return this.#images.reduce((sum, image) => sum + image.allocatedBytes, 0);
  }

  async #store(chain: Chain, plan: Plan): Promise<SessionReport> {
    const { repository, folder, metadata, lock } = chain;
    const { parent, blockSizeBytes, planned } = plan;
    const draft = await draftPoint(folder, parent?.point, this.#startedAt, blockSizeBytes);
    const { workers, signal } = this.#options;
    await using resources = await PipelineResources.create({
      blockSizeBytes,
      workers,
      readsImages: true,
      signal,
    });
    resources.start();
    await using target = await PointWriter.create(folder, draft.fileName, blockSizeBytes);
    const pipelinesFromMs = performance.now();
    const results = await this.#readDisks(plan, target, resources);
    const commitFromMs = performance.now();
    const disks = planned.flatMap((disk, k) => (results[k] ? [toDiskPoint(disk, results[k])] : []));
    const point = await target.publish(
      metadata.vm,
      { ...draft, disks },
      results.map((result) => result.content),
      { metadata, parent: parent?.point, lock },
    );
    const points = [...metadata.points, point];
    const { log } = this.#session;
    const healing = await updateDamageRecord(folder.folder, points, parent, log);
    const facts = {
      healing,
      sessionId: this.#sessionId,
      vm: metadata.vm,
      repository: repository.root,
      startedAt: this.#startedAt,
      startedAtMs: this.#startedAtMs,
      pipelineSeconds: (commitFromMs - pipelinesFromMs) / 1000,
      commitSeconds: (performance.now() - commitFromMs) / 1000,
      parallelDisks: PARALLEL_DISKS,
      messages: this.#session.messages,
    };
    log.info({ fileName: point.fileName }, 'session committed');
    return reportSession(
      facts,
      point,
      results.map((result) => result.report),
    );
  }

  async #readDisks(
    plan: Plan,
    target: PointWriter,
    resources: PipelineResources,
  ): Promise<DiskResult[]> {
    const { log, note } = this.#session;
    const results: DiskResult[] = [];
    await forEachLimited(plan.planned, PARALLEL_DISKS, async (disk, k) => {
      const device = this.#images[k];
      if (!device || resources.signal.aborted) return;
      const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = disk;
      const { blockSizeBytes } = plan;
      const task = { diskId, alias, virtualSizeBytes, blockSizeBytes, mode };
      const parent = disk.parentDisk && plan.parent?.disks.get(diskId);
      const isIncrement = content === 'increment';
      const run = { task, reason, device, parent, isIncrement, writer: target.writer };
      log.info({ diskId, alias, mode, reason }, 'disk started');
      results[k] = await backupDisk(run, resources, this.#options.onDiskStart ?? (() => {}));
      if (await device.hasChanged()) {
        note(sessionMessage('DSK-112', { path: device.path, alias, id: diskId }));
      }
      log.info({ diskId, ...results[k].content.counts }, 'disk done');
    });
    resources.signal.throwIfAborted();
    return results;
  }
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
  const codecs = await createBlockCodecs();
  if (options.strict) requireNativeLz4(codecs.lz4);
  const images: RawImage[] = [];
  try {
    for (const path of options.images) images.push(await openRawImage(path));
    options.signal?.throwIfAborted();
    return await new ImageSession(options, images, codecs).run();
  } catch (error) {
    throw toFailure(error, options.signal);
  } finally {
    await Promise.all(images.map((image) => image.close()));
  }
}
