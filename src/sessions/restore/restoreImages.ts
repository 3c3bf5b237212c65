/** Restores the disks of a restore point to image files: raw and sparse, or qcow2 by qemu-img. */
import { randomUUID } from 'node:crypto';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { toFailure, toOutputError } from '../../core/errors.ts';
import { type Logger, silentLogger } from '../../core/log.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createBlockCodecs } from '../../compute/blockCodecs.ts';
import { makeFolder } from '../../repository/durableFile.ts';
import { diskFileNames } from '../../repository/names.ts';
import { Repository } from '../../repository/repository.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';
import { RestorePointView } from '../../repository/restorePointView.ts';
import { progressDisk, type ProgressEvent, SessionProgress } from '../shared/progress.ts';
import { requireQemuImg } from './qemuImg.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import {
  type DiskJob,
  DiskRestore,
  type ImageFormat,
  outputExists,
  type RestoredDisk,
} from './restoreDisk.ts';
import { dataBytesOf } from './restoreBlocks.ts';
import { selectDisks, selectPoint } from '../shared/selectPoint.ts';

export interface RestoreImagesOptions {
  readonly repository: string;
  /** VM name or id. */
  readonly vm: string;
  /** Number or id of the point, the beginning of its id, or `latest`. @defaultValue latest */
  readonly point?: string | undefined;
  /** Disk ids or aliases. @defaultValue all disks */
  readonly disks?: readonly string[] | undefined;
  /** Folder for the images; made when missing. Existing files are never overwritten. */
  readonly output: string;
  /** @defaultValue raw */
  readonly format?: ImageFormat | undefined;
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  readonly onMessage?: ((message: SessionMessage) => void) | undefined;
  readonly onProgress?: ((event: ProgressEvent) => void) | undefined;
}

export interface RestoreReport {
  readonly type: 'restore';
  readonly vmName: string;
  readonly pointId: string;
  readonly pointNumber: number;
  readonly format: ImageFormat;
  readonly durationSeconds: number;
  readonly disks: readonly RestoredDisk[];
  readonly messages: readonly SessionMessage[];
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  );
}

/**
 * Names the image files. Aliases come from the repository, so a name must not lead out of the
 * folder.
 */
async function planTargets(
  disks: readonly DiskPoint[],
  view: RestorePointView,
  folder: string,
  format: ImageFormat,
): Promise<DiskJob[]> {
  const stems = diskFileNames(disks);
  const jobs: DiskJob[] = [];
  for (const [k, disk] of disks.entries()) {
    const stem = stems[k] ?? '';
    const target = path.join(folder, format === 'qcow2' ? `${stem}.qcow2` : stem);
    if (await exists(target)) throw outputExists(target);
    jobs.push({ disk, target, dataBytes: await dataBytesOf(view, disk) });
  }
  return jobs;
}

async function restorePoint(
  options: RestoreImagesOptions,
  point: RestorePoint,
  view: RestorePointView,
  progress: SessionProgress,
): Promise<{ disks: RestoredDisk[]; messages: SessionMessage[] }> {
  const { format = 'raw', output, workers, signal } = options;
  await makeFolder(output).catch((error: unknown) => {
    throw toOutputError(output, error);
  });
  const jobs = await planTargets(selectDisks(point, options.disks ?? []), view, output, format);
  progress.planDisks(jobs.map(({ disk, dataBytes }) => progressDisk(disk, dataBytes)));
  const { blockSizeBytes } = point;
  await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
  resources.start();
  const messages: SessionMessage[] = [];
  const restore = new DiskRestore({
    format,
    view,
    resources,
    codecs: await createBlockCodecs(),
    onMessage: (message) => {
      messages.push(message);
      options.onMessage?.(message);
    },
    progress,
  });
  const disks: RestoredDisk[] = [];
  for (const job of jobs) disks.push(await restore.restore(job));
  return { disks, messages };
}

/**
 * Restores the disks of a point to image files. Every block is checked by CRC and MD5, and by the
 * fingerprint index where that can be read. A damaged block ends the restore; that disk gets no
 * image.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function restoreImages(options: RestoreImagesOptions): Promise<RestoreReport> {
  const session = { sessionId: randomUUID(), vmName: options.vm };
  const progress = new SessionProgress(options, options.logger ?? silentLogger, session);
  return await progress.session(() => restoreWith(options, progress));
}

async function restoreWith(
  options: RestoreImagesOptions,
  progress: SessionProgress,
): Promise<RestoreReport> {
  const startedAtMs = performance.now();
  const log = options.logger ?? silentLogger;
  progress.phase('preparing');
  if (options.format === 'qcow2') await requireQemuImg();
  try {
    const repository = await Repository.open(options.repository);
    const folder = await repository.requireVm(options.vm);
    const metadata = await folder.requireMetadata();
    progress.nameVm(metadata.vm);
    const point = selectPoint(metadata, options.point ?? 'latest');
    await using view = await RestorePointView.open(folder.folder, metadata.points, point);
    const { disks, messages } = await restorePoint(options, point, view, progress);
    const durationSeconds = (performance.now() - startedAtMs) / 1000;
    log.info({ pointId: point.pointId, durationSeconds }, 'restored');
    return {
      type: 'restore',
      vmName: metadata.vm.name,
      pointId: point.pointId,
      pointNumber: point.number,
      format: options.format ?? 'raw',
      durationSeconds,
      disks,
      messages,
    };
  } catch (error) {
    throw toFailure(error, options.signal);
  }
}
