/** A backup session over local raw images: first a full, then increments by comparison. */
import {
  type ReadDisk,
  type ReadDisks,
  type SessionIdentity,
  readAllDisks,
  storePoint,
} from './storePoint.ts';
import { invariant, toFailure, UsageError } from '../../core/errors.ts';
import { randomUUID } from 'node:crypto';
import { checkBlockSize } from '../../container/write/containerWriter.ts';
import type { Logger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { openRawImage, type RawImage, type SourceFormat } from '../../devices/rawImageDevice.ts';
import { type BlockCodecs, createBlockCodecs } from '../../compute/blockCodecs.ts';
import { checkCompression, type Compression } from '../../compute/compression.ts';
import { requireNativeLz4 } from '../../compute/lz4Binding.ts';
import { checkVmName } from '../../repository/names.ts';
import type { Repository } from '../../repository/repository.ts';
import { keepReportOf } from '../history/keepReport.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { backupDisk } from './backupDisk.ts';
import { type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { checkSpace } from '../shared/freeSpace.ts';
import { chooseBlockSize, chooseParent, type SessionMode } from './parent/parentChoice.ts';
import { type PlannedDisk, progressOfPlan } from './plannedDisk.ts';
import { prepareChain } from '../shared/prepareChain.ts';
import {
  checkImageVm,
  diskNames,
  type ImageSource,
  imageVmId,
  nameImages,
  planFull,
  planIncrement,
} from './imagePlan.ts';
import type { CheckedParent } from './parent/parentPoint.ts';
import { PointWriter } from '../shared/pointWriter.ts';
import type { SessionReport } from '../shared/report.ts';
import { startRepository } from '../shared/startRepository.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import { SessionLog } from '../shared/sessionLog.ts';
import type { StoreOptions } from '../../store/store.ts';

export interface BackupImagesOptions {
  /**
   * Raw images or block devices. Each is one disk of the VM. Its name identifies the disk between
   * sessions; without one, that is the file name.
   */
  readonly images: readonly (string | ImageSource)[];
  /** `raw` backs up files of other formats byte by byte. Without it they are refused. */
  readonly imageFormat?: SourceFormat | undefined;
  readonly vmName: string;
  /** Repository folder. A folder that is new or empty becomes a repository. */
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** @defaultValue auto: an increment, or a full when there is no restore point to build on */
  readonly mode?: SessionMode | undefined;
  /** @defaultValue as in the chain; for a full 1 MiB, or 4 MiB above 128 GiB of allocated data */
  readonly blockSizeBytes?: number | undefined;
  /**
   * `none` stores every block plain. `high` stores fewer bytes for much more CPU time, and needs
   * the native LZ4 build. Every session may choose anew. @defaultValue default
   */
  readonly compression?: Compression | undefined;
  readonly workers?: number | undefined;
  /** Fails when the native LZ4 build is missing. */
  readonly strict?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

interface Plan {
  readonly planned: readonly PlannedDisk[];
  readonly parent: CheckedParent | undefined;
  readonly blockSizeBytes: number;
}

interface OpenImage extends ImageSource {
  readonly device: RawImage;
}

class ImageSession {
  readonly #options: BackupImagesOptions;
  readonly #images: readonly OpenImage[];
  readonly #codecs: BlockCodecs;
  readonly #identity: SessionIdentity;

  constructor(options: BackupImagesOptions, images: readonly OpenImage[], codecs: BlockCodecs) {
    this.#options = options;
    this.#images = images;
    this.#codecs = codecs;
    const sessionId = randomUUID();
    const session = new SessionLog(options, { sessionId, vmName: options.vmName });
    this.#identity = {
      sessionId,
      startedAt: new Date(),
      startedAtMs: performance.now(),
      session,
      progress: new SessionProgress(options, session.log, { sessionId, vmName: options.vmName }),
    };
  }

  async run(): Promise<SessionReport> {
    return await this.#identity.progress.session(() => this.#run());
  }

  async #run(): Promise<SessionReport> {
    const { vmName: name, repository: root, signal } = this.#options;
    this.#identity.progress.phase('preparing');
    await using repository = await startRepository(root, this.#options);
    const folder =
      (await repository.findVm(name)) ??
      (await repository.createVm({ id: imageVmId(repository.id, name), name }));
    checkImageVm(folder.vmId, name);
    const kept = { ...this.#identity, type: 'backup', vmName: name, signal } as const;
    return await keepReportOf(folder, kept, () => this.#backup(repository, folder));
  }

  async #backup(repository: Repository, folder: VmFolder): Promise<SessionReport> {
    const { vmName: name, workers, compression, signal } = this.#options;
    const { session, progress } = this.#identity;
    await using lock = await folder.lock();
    session.log.info({ folder: folder.folder }, 'session started');
    const { lz4 } = this.#codecs;
    if (!lz4.isNative) session.note(sessionMessage('ENV-801', { reason: lz4.reason }));
    const vm = { id: folder.vmId, name };
    progress.nameVm(vm);
    const metadata = await prepareChain(folder, vm, this.#codecs, session.note);
    const plan = await this.#plan(folder, metadata);
    if (!plan.parent) await checkSpace(repository.store, this.#allocatedBytes(), session.note);
    const stored = await storePoint(
      {
        identity: this.#identity,
        chain: { repositoryRoot: repository.root, folder, metadata, lock },
        vm: metadata.vm,
        parent: plan.parent,
        blockSizeBytes: plan.blockSizeBytes,
        allocatedBytes: this.#allocatedBytes(),
        workers,
        compression,
        readsImages: true,
        signal,
      },
      (target, resources) => this.#readDisks(plan, target, resources),
    );
    return stored.report;
  }

  async #plan(folder: VmFolder, metadata: ChainMetadata): Promise<Plan> {
    const { mode = 'auto', blockSizeBytes: wantedBytes } = this.#options;
    const { note } = this.#identity.session;
    const disks = nameImages(
      metadata.vm.id,
      this.#images.map(({ path, name, device }) => ({
        path,
        name,
        sizeBytes: device.virtualSizeBytes,
      })),
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
    return this.#images.reduce((sum, { device }) => sum + device.allocatedBytes, 0);
  }

  async #readDisks(
    plan: Plan,
    target: PointWriter,
    resources: PipelineResources,
  ): Promise<ReadDisks> {
    const startedAtMs = performance.now();
    const { progress } = this.#identity;
    progress.planDisks(plan.planned.map(progressOfPlan));
    progress.phase('reading');
    const disks = await readAllDisks(plan.planned, resources, (disk, k) => {
      const image = this.#images[k];
      invariant(image, 'a planned disk has no image');
      return this.#readDisk(disk, image.device, plan, { target, resources });
    });
    return { disks, pipelineMs: performance.now() - startedAtMs, checkpointId: '' };
  }

  async #readDisk(
    planned: PlannedDisk,
    device: RawImage,
    { blockSizeBytes, parent }: Plan,
    { target, resources }: { readonly target: PointWriter; readonly resources: PipelineResources },
  ): Promise<ReadDisk> {
    const { progress, session } = this.#identity;
    const { log, note } = session;
    const { diskId, alias, sizeBytes: virtualSizeBytes, mode, reason, content } = planned;
    log.info({ diskId, alias, mode, reason }, 'disk started');
    const input = {
      task: { diskId, alias, virtualSizeBytes, blockSizeBytes, mode },
      reason,
      device,
      parent: planned.parentDisk && parent?.disks.get(diskId),
      isIncrement: content === 'increment',
      writer: target.writer,
    };
    const result = await backupDisk(input, resources, progress);
    const { path, holesUnknown } = device;
    if (holesUnknown !== undefined) log.debug({ path, reason: holesUnknown }, 'holes were read');
    const changedWhileRead = await device.hasChanged();
    if (changedWhileRead) note(sessionMessage('DSK-112', { path, alias, id: diskId }));
    log.info({ diskId, ...result.content.counts }, 'disk done');
    return { planned, result, changedWhileRead };
  }
}

function toSource(image: string | ImageSource): ImageSource {
  return typeof image === 'string' ? { path: image } : image;
}

/**
 * Backs up local images as the disks of one VM.
 *
 * A failed or cancelled session leaves the restore points before it as they were. The last step
 * lists a complete container in the chain metadata. When only that step fails, the next session
 * does it.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function backupImages(options: BackupImagesOptions): Promise<SessionReport> {
  checkVmName(options.vmName);
  if (options.blockSizeBytes !== undefined) checkBlockSize(options.blockSizeBytes);
  if (options.images.length === 0) {
    throw new UsageError('USAGE_INVALID_OPTION', 'no image given', { hint: 'use --image FILE' });
  }
  const sources = options.images.map(toSource);
  // Bad names are refused before anything is made in the repository.
  diskNames(sources);
  const codecs = await createBlockCodecs();
  if (options.strict) requireNativeLz4(codecs.lz4, 'leave out --strict');
  checkCompression(options.compression, codecs.lz4);
  const images: OpenImage[] = [];
  try {
    for (const source of sources) {
      images.push({ ...source, device: await openRawImage(source.path, options.imageFormat) });
    }
    options.signal?.throwIfAborted();
    return await new ImageSession(options, images, codecs).run();
  } catch (error) {
    throw toFailure(error, options.signal);
  } finally {
    await Promise.all(images.map(({ device }) => device.close()));
  }
}
