/** Restores the disks of a restore point to image files: raw and sparse, or qcow2 by qemu-img. */
import { type BackupError, toFailure, toOutputError, UsageError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { formatBytes } from '../../core/units.ts';
import type { DiskHole } from '../../repository/damage/salvageBlocks.ts';
import { isLostBytes, SalvageView } from '../../repository/damage/salvageView.ts';
import { makeFolder } from '../../store/folder/durableFile.ts';
import { Repository } from '../../repository/repository.ts';
import type { DiskPoint, RestorePoint, VmIdentity } from '../../repository/restorePoint.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import {
  keepFailure,
  keepReport,
  type StartedSession,
  startSession,
} from '../history/keepReport.ts';
import { RestorePointView } from '../../repository/restorePointView.ts';
import { progressDisk, type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { planTargets, type PointView } from './imageTargets.ts';
import { requireQemuImg } from './qemuImg.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import { type DiskJob, DiskRestore, type ImageFormat, type RestoredDisk } from './restoreDisk.ts';
import { openDonor, type Salvage, withHint, withSkipHint } from './salvageDisk.ts';
import { requireDisks, selectDisks, selectPoint } from '../shared/selectPoint.ts';
import type { StoreFolder } from '../../store/store.ts';
import type { StoreOptions } from '../../store/store.ts';
import { placeOptions } from '../shared/startRepository.ts';

/** Options of every restore to image files. */
export interface ImageOutputOptions {
  /** Disk ids or aliases. @defaultValue all disks */
  readonly disks?: readonly string[] | undefined;
  /** Folder for the images; made when missing. Existing files are never overwritten. */
  readonly output: string;
  /** @defaultValue raw */
  readonly format?: ImageFormat | undefined;
  /**
   * Goes on after damage. Damaged blocks become holes of zeros, which the report and the file
   * `<image>.holes` list. @defaultValue false
   */
  readonly skipDamaged?: boolean | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

export interface RestoreImagesOptions extends ImageOutputOptions {
  readonly repository: string;
  /** How the place of the repository is used. */
  readonly store?: StoreOptions | undefined;
  /** VM name or id. */
  readonly vm: string;
  /** Number or id of the point, the beginning of its id, or `latest`. @defaultValue latest */
  readonly point?: string | undefined;
  /**
   * Another point of the VM, named as `point`. A damaged block is taken from there when length and
   * fingerprint agree with the fingerprint index of the restored point.
   */
  readonly damagedFrom?: string | undefined;
}

/** A disk whose block map is damaged. It has no image. */
export interface FailedDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly code: string;
  readonly message: string;
}

export interface RestoreReport {
  readonly type: 'restore';
  readonly vmName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  readonly format: ImageFormat;
  readonly durationSeconds: number;
  readonly disks: readonly RestoredDisk[];
  /** Damaged bytes that `skipDamaged` left as zeros: ascending in each disk. */
  readonly holes: readonly DiskHole[];
  /** Disks that `skipDamaged` left out. */
  readonly failedDisks: readonly FailedDisk[];
  readonly messages: readonly SessionMessage[];
}

/** All holes are in the report and beside the image. A kept report has the first ones. */
const MAX_KEPT_HOLES = 1000;

type Outcome = Pick<RestoreReport, 'disks' | 'holes' | 'failedDisks' | 'messages'>;

/** A URL would become folders of this machine. */
function notAFolder(output: string): UsageError {
  return new UsageError('USAGE_INVALID_OPTION', `${output} is no folder`, {
    hint: 'images are restored to a folder of this machine',
  });
}

/** The restore of one opened point. */
export class ImageRestore {
  readonly #options: ImageOutputOptions;
  readonly #progress: SessionProgress;
  readonly messages: SessionMessage[] = [];

  constructor(options: ImageOutputOptions, progress: SessionProgress) {
    this.#options = options;
    this.#progress = progress;
  }

  nameVm(vm: VmIdentity): void {
    this.#progress.nameVm(vm);
  }

  async restore(point: RestorePoint, view: PointView, donor?: SalvageView): Promise<Outcome> {
    const { format = 'raw', output, workers, signal, skipDamaged = false } = this.#options;
    if (/^\w+:\//.test(output)) throw notAFolder(output);
    await makeFolder(output).catch((error: unknown) => {
      throw toOutputError(output, error);
    });
    const disks = selectDisks(point, this.#options.disks ?? []);
    const jobs = await planTargets(disks, view, this.#options);
    this.#progress.planDisks(
      jobs.map(({ disk, measured }) => progressDisk(disk, measured?.dataBytes)),
    );
    const { blockRoomBytes: blockSizeBytes } = view.newest;
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    resources.start();
    const salvage = view instanceof SalvageView ? { view, skipDamaged, donor } : undefined;
    this.#tellLosses(salvage);
    const restore = new DiskRestore({
      format,
      view,
      salvage,
      resources,
      codecs: await createBlockCodecs(),
      onMessage: this.tell,
      progress: this.#progress,
    });
    return await this.#disks(restore, jobs);
  }

  async #disks(restore: DiskRestore, jobs: readonly DiskJob[]): Promise<Outcome> {
    const disks: RestoredDisk[] = [];
    const holes: DiskHole[] = [];
    const failures: { readonly disk: FailedDisk; readonly error: BackupError }[] = [];
    for (const job of jobs) {
      try {
        const result = await restore.restore(job);
        disks.push(result.disk);
        for (const hole of result.holes) holes.push(hole);
        this.#tellHoles(result.disk);
      } catch (error) {
        if (!this.#options.skipDamaged || !isLostBytes(error)) throw error;
        failures.push({ disk: this.#failedDisk(job.disk, error), error });
      }
    }
    const [first] = failures;
    if (first && disks.length === 0) throw first.error;
    const failedDisks = failures.map(({ disk }) => disk);
    return { disks, holes, failedDisks, messages: this.messages };
  }

  /** Reports a message. Those told before the restore are in its result too. */
  readonly tell = (message: SessionMessage): void => {
    this.messages.push(message);
    this.#options.onMessage?.(message);
  };

  #tellLosses(salvage: Salvage | undefined): void {
    for (const { fileName, error } of salvage?.view.losses ?? []) {
      this.tell(sessionMessage('REPO-522', { file: fileName, reason: error.code }));
    }
  }

  #tellHoles({ alias, diskId: id, holeBytes, holesPath }: RestoredDisk): void {
    if (holesPath === undefined) return;
    const size = formatBytes(holeBytes);
    this.tell(sessionMessage('REPO-521', { size, alias, id, file: holesPath }));
  }

  #failedDisk({ alias, diskId }: DiskPoint, { code, message }: BackupError): FailedDisk {
    this.tell(sessionMessage('REPO-524', { alias, id: diskId, reason: code }));
    return { diskId, alias, code, message };
  }
}

/** Opens the chain of a point. With an option for damage, files that are lost are left out. */
async function openView(
  { skipDamaged, damagedFrom }: RestoreImagesOptions,
  folder: StoreFolder,
  points: readonly RestorePoint[],
  point: RestorePoint,
): Promise<PointView> {
  const isSalvage = Boolean(skipDamaged) || damagedFrom !== undefined;
  try {
    return isSalvage
      ? await SalvageView.open(folder, points, point)
      : await RestorePointView.open(folder, points, point);
  } catch (error) {
    if (!isLostBytes(error)) throw error;
    // A salvage loses no other file than that of the point itself.
    if (isSalvage) throw withHint(error, 'its file holds the map: restore another point');
    throw error.message.includes(point.fileName) ? error : withSkipHint(error);
  }
}

/**
 * Restores the disks of a point to image files. Every block is checked by CRC and MD5, and by the
 * fingerprint index where that can be read. Without `skipDamaged`, a damaged block ends the
 * restore, and that disk gets no image.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function restoreImages(options: RestoreImagesOptions): Promise<RestoreReport> {
  const started = startSession('restore');
  const session = { sessionId: started.sessionId, vmName: options.vm };
  const progress = new SessionProgress(options, options.logger ?? silentLogger, session);
  return await progress.session(() => restoreWith(options, started, progress));
}

async function restoreWith(
  options: RestoreImagesOptions,
  started: StartedSession,
  progress: SessionProgress,
): Promise<RestoreReport> {
  progress.phase('preparing');
  if (options.format === 'qcow2') await requireQemuImg();
  try {
    await using repository = await Repository.open(options.repository, placeOptions(options));
    const folder = await repository.requireVm(options.vm);
    return await restoreAndKeep(folder, new ImageRestore(options, progress), options, started);
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}

async function restoreAndKeep(
  folder: VmFolder,
  restore: ImageRestore,
  options: RestoreImagesOptions,
  started: StartedSession,
): Promise<RestoreReport> {
  const { logger: log = silentLogger, signal } = options;
  const session = { log, messages: restore.messages, note: restore.tell };
  const kept = { ...started, session, signal };
  try {
    const report = await restoreFrom(folder, restore, options, started.startedAtMs);
    const short = { ...report, holes: report.holes.slice(0, MAX_KEPT_HOLES) };
    await keepReport(folder, kept, short);
    return report;
  } catch (error) {
    await keepFailure(folder, kept, toFailure(error, signal));
    throw error;
  }
}

async function restoreFrom(
  folder: VmFolder,
  restore: ImageRestore,
  options: RestoreImagesOptions,
  startedAtMs: number,
): Promise<RestoreReport> {
  const metadata = await folder.requireMetadata();
  const { vm, points } = metadata;
  restore.nameVm(vm);
  const point = requireDisks(selectPoint(metadata, options.point ?? 'latest'));
  const { damagedFrom } = options;
  await using donor =
    damagedFrom === undefined
      ? undefined
      : await openDonor(folder.place, metadata, damagedFrom, point);
  await using view = await openView(options, folder.place, points, point);
  return await restoreOpened(restore, { vm, point, view, donor, startedAtMs }, options);
}

/** What is restored. */
export interface OpenedPoint {
  readonly vm: { readonly name: string };
  readonly point: RestorePoint;
  readonly view: PointView;
  readonly donor?: SalvageView | undefined;
  readonly startedAtMs: number;
}

/** Restores an opened point and reports it. */
export async function restoreOpened(
  restore: ImageRestore,
  { vm, point, view, donor, startedAtMs }: OpenedPoint,
  options: ImageOutputOptions,
): Promise<RestoreReport> {
  const outcome = await restore.restore(point, view, donor).catch((error: unknown) => {
    throw withSkipHint(error);
  });
  const durationSeconds = (performance.now() - startedAtMs) / 1000;
  options.logger?.info({ pointId: point.pointId, durationSeconds }, 'restored');
  return {
    type: 'restore',
    vmName: vm.name,
    pointId: point.pointId,
    pointNumber: point.number,
    format: options.format ?? 'raw',
    durationSeconds,
    ...outcome,
  };
}
