/** Restores the disks of a restore point to image files: raw and sparse, or qcow2 by qemu-img. Wiring only. */
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import {
  createBlockFetcher,
  createBlockUnpacker,
  type StoredBlock,
} from '../container/restoreStages.ts';
import {
  BackupError,
  errnoOf,
  IntegrityError,
  isOutOfSpace,
  OutputError,
  toFailure,
  UsageError,
} from '../core/errors.ts';
import { type Logger, silentLogger } from '../core/log.ts';
import { type SessionMessage, sessionMessage } from '../core/messages.ts';
import { createStageStats, type StageStats } from '../core/stats.ts';
import { blockCountOf } from '../core/units.ts';
import { type BlockVerbs, createBlockVerbs } from '../pipeline/blockVerbs.ts';
import type { FingerprintMap } from '../pipeline/fingerprintMap.ts';
import { rawFileSink } from '../pipeline/plainSinks.ts';
import { connect, type Source } from '../pipeline/stage.ts';
import { safeFileName } from '../repository/names.ts';
import { Repository } from '../repository/repository.ts';
import type { DiskPoint, RestorePoint } from '../repository/restorePoint.ts';
import { type DiskView, RestorePointView } from '../repository/restorePointView.ts';
import type { DiskProgress } from './backupDisk.ts';
import { convertToQcow2, requireQemuImg } from './qemuImg.ts';
import { RunResources } from './resources.ts';
import { selectDisks, selectPoint } from './selectPoint.ts';

export type ImageFormat = 'raw' | 'qcow2';

export interface RestoreImagesOptions {
  readonly repository: string;
  /** VM name or id. */
  readonly vm: string;
  /** Point id, its beginning, or `latest`. @defaultValue latest */
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
  readonly onDiskStart?: ((progress: DiskProgress) => void) | undefined;
}

export interface RestoredDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes written; the rest of the image is holes. */
  readonly writtenBytes: number;
  readonly storedBytesRead: number;
  readonly wallSeconds: number;
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

interface DiskJob {
  readonly disk: DiskPoint;
  readonly target: string;
}

function outputError(target: string, error: unknown): BackupError {
  if (error instanceof BackupError) return error;
  if (isOutOfSpace(error)) {
    return new OutputError('OUTPUT_FULL', `write ${target}: no space left`, {
      cause: error,
      hint: 'free space in the output folder or name another one',
    });
  }
  return new OutputError('OUTPUT_IO', `write ${target}: ${errnoOf(error) ?? String(error)}`, {
    cause: error,
    hint: 'check the output folder and its permissions',
  });
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  );
}

/** Names the image files; aliases come from the repository and cannot lead out of the folder. */
async function planTargets(
  disks: readonly DiskPoint[],
  folder: string,
  format: ImageFormat,
): Promise<DiskJob[]> {
  const used = new Set<string>();
  const jobs: DiskJob[] = [];
  for (const disk of disks) {
    const safe = safeFileName(disk.alias);
    const stem = used.has(safe) ? `${safe}.${safeFileName(disk.diskId)}` : safe;
    used.add(safe);
    const target = path.join(folder, format === 'qcow2' ? `${stem}.qcow2` : stem);
    if (await exists(target)) {
      throw new UsageError('USAGE_OUTPUT_EXISTS', `${target} exists already`, {
        hint: 'name another output folder, or move the file away',
      });
    }
    jobs.push({ disk, target });
  }
  return jobs;
}

class ImageRestore {
  readonly messages: SessionMessage[] = [];
  readonly #options: RestoreImagesOptions;
  readonly #view: RestorePointView;
  readonly #resources: RunResources;
  readonly #verbs: BlockVerbs;

  constructor(
    options: RestoreImagesOptions,
    view: RestorePointView,
    resources: RunResources,
    verbs: BlockVerbs,
  ) {
    this.#options = options;
    this.#view = view;
    this.#resources = resources;
    this.#verbs = verbs;
  }

  async restore(job: DiskJob): Promise<RestoredDisk> {
    const { disk, target } = job;
    const startedAtMs = performance.now();
    const partial = `${target}.partial`;
    const fetch = createStageStats();
    const unpack = createStageStats();
    try {
      await rm(partial, { force: true });
      const file = await open(partial, 'wx', 0o600);
      try {
        await file.truncate(disk.sizeBytes);
        await this.#fill(disk, file, fetch, unpack);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#finish(partial, target);
    } catch (error) {
      await rm(partial, { force: true });
      throw outputError(target, unwrap(error));
    }
    return {
      diskId: disk.diskId,
      alias: disk.alias,
      path: target,
      sizeBytes: disk.sizeBytes,
      writtenBytes: unpack.bytes,
      storedBytesRead: fetch.bytes,
      wallSeconds: (performance.now() - startedAtMs) / 1000,
    };
  }

  async #fill(
    disk: DiskPoint,
    file: FileHandle,
    fetch: StageStats,
    unpack: StageStats,
  ): Promise<void> {
    const { signal, pool } = this.#resources;
    const view = await this.#view.disk(disk);
    const fingerprints = await this.#fingerprints(disk);
    const { alias, sizeBytes } = disk;
    this.#options.onDiskStart?.({
      alias,
      sizeBytes,
      doneBytes: () => unpack.bytes,
      readBytes: () => fetch.bytes,
    });
    const { fingerprint } = this.#verbs;
    await this.#resources.withLease((lease) =>
      connect(
        blockSource(view, fingerprints),
        [
          createBlockFetcher({ lease, stats: fetch }),
          createBlockUnpacker({ lease, stats: unpack, pool, fingerprint }),
        ],
        rawFileSink(file),
        { signal },
      ),
    );
    if (fingerprints) checkComplete(view, fingerprints, unpack.blocks);
  }

  async #fingerprints(disk: DiskPoint): Promise<FingerprintMap | undefined> {
    try {
      return await this.#view.newest.fingerprints(disk, this.#verbs);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      const { alias, diskId: id } = disk;
      const message = sessionMessage('REPO-508', { alias, id, reason: error.code });
      this.messages.push(message);
      this.#options.onMessage?.(message);
      return undefined;
    }
  }

  async #finish(partial: string, target: string): Promise<void> {
    if (this.#options.format !== 'qcow2') {
      await rename(partial, target);
      return;
    }
    const converted = `${target}.converting.partial`;
    try {
      await convertToQcow2(partial, converted, this.#resources.signal);
      await rename(converted, target);
    } finally {
      await rm(converted, { force: true });
      await rm(partial, { force: true });
    }
  }
}

/** Errors of the image file reach the pipeline without a code of ours. */
function unwrap(error: unknown): unknown {
  return error instanceof BackupError && error.code === 'INTERNAL_INVARIANT' && errnoOf(error.cause)
    ? error.cause
    : error;
}

function blockSource(view: DiskView, fingerprints: FingerprintMap | undefined): Source<StoredBlock> {
  async function* blocks(): AsyncGenerator<StoredBlock> {
    for await (const block of view.blocks()) {
      const { index, lengthBytes, validBytes, reader } = block;
      yield {
        kind: 'stored',
        diskId: view.disk.diskId,
        index,
        offsetBytes: index * view.blockSizeBytes,
        lengthBytes,
        validBytes,
        reader,
        extent: await reader.storedExtent(block.blockId),
        fingerprint: fingerprints?.get(index),
      };
    }
  }
  return Readable.from(blocks(), { objectMode: true, highWaterMark: 1 });
}

/** Every block that the fingerprint index calls non-zero has to have been written. */
function checkComplete(view: DiskView, fingerprints: FingerprintMap, writtenBlocks: number): void {
  const end = blockCountOf(view.sizeBytes, view.blockSizeBytes);
  let expected = 0;
  for (const _index of fingerprints.nonZeroIn(0, end)) expected++;
  if (expected === writtenBlocks) return;
  throw new IntegrityError(
    'INTEGRITY_FINGERPRINT_MISMATCH',
    `disk ${view.disk.alias}: ${writtenBlocks} blocks restored, ${expected} in the fingerprint index`,
    { hint: 'run "ovirt-cbt verify"' },
  );
}

async function restorePoint(
  options: RestoreImagesOptions,
  point: RestorePoint,
  view: RestorePointView,
): Promise<{ disks: RestoredDisk[]; messages: SessionMessage[] }> {
  const { format = 'raw', output, workers, signal } = options;
  await mkdir(output, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw outputError(output, error);
  });
  const jobs = await planTargets(selectDisks(point, options.disks ?? []), output, format);
  const { blockSizeBytes } = point;
  await using resources = await RunResources.create({ blockSizeBytes, workers, signal });
  const restore = new ImageRestore(options, view, resources, await createBlockVerbs());
  const disks: RestoredDisk[] = [];
  for (const job of jobs) disks.push(await restore.restore(job));
  return { disks, messages: restore.messages };
}

/**
 * Restores a point's disks to image files. Every block is checked by CRC, MD5 and, at its place, by the
 * fingerprint index; a damaged block ends the restore and leaves no image of that disk.
 *
 * @throws a {@link BackupError}; see docs/errors.md
 */
export async function restoreImages(options: RestoreImagesOptions): Promise<RestoreReport> {
  const startedAtMs = performance.now();
  const log = options.logger ?? silentLogger;
  if (options.format === 'qcow2') await requireQemuImg();
  try {
    const repository = await Repository.open(options.repository);
    const folder = await repository.requireVm(options.vm);
    const metadata = await folder.requireMetadata();
    const point = selectPoint(metadata, options.point ?? 'latest');
    await using view = await RestorePointView.open(folder.folder, metadata.points, point);
    const { disks, messages } = await restorePoint(options, point, view);
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
