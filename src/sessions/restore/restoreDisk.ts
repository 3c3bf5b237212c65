/** Restores one disk of an opened restore point to an image file. */
import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, rename, rm } from 'node:fs/promises';
import { errnoOf, toOutputError, UsageError } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createStageStats, type StageStats } from '../../core/stats.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import { rawFileSink } from '../../flow/sinks/plainSinks.ts';
import { lacksLinks, removeQuietly } from '../../repository/durableFile.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import type { RestorePointView } from '../../repository/restorePointView.ts';
import { type ProgressCounts, progressDisk, type SessionProgress } from '../shared/progress.ts';
import { convertToQcow2 } from './qemuImg.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { restoreBlocks } from './restoreBlocks.ts';

export type ImageFormat = 'raw' | 'qcow2';

/** A disk and the image file it becomes. */
export interface DiskJob {
  readonly disk: DiskPoint;
  readonly target: string;
  /** Bytes of its blocks that are not zero. */
  readonly dataBytes: number;
}

export interface RestoredDisk {
  readonly diskId: string;
  readonly alias: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes written. The rest of the image is holes. */
  readonly writtenBytes: number;
  readonly storedBytesRead: number;
  readonly wallSeconds: number;
}

export interface DiskRestoreOptions {
  readonly format: ImageFormat;
  readonly view: RestorePointView;
  readonly resources: PipelineResources;
  readonly codecs: BlockCodecs;
  readonly onMessage: (message: SessionMessage) => void;
  readonly progress: SessionProgress;
}

export class DiskRestore {
  readonly #options: DiskRestoreOptions;

  constructor(options: DiskRestoreOptions) {
    this.#options = options;
  }

  async restore(job: DiskJob): Promise<RestoredDisk> {
    const { disk, target } = job;
    const startedAtMs = performance.now();
    const partial = partialName(target);
    const fetch = createStageStats();
    const unpack = createStageStats();
    try {
      const file = await open(partial, 'wx', 0o600);
      try {
        await file.truncate(disk.sizeBytes);
        await this.#fill(job, file, fetch, unpack);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#finish(partial, target);
    } catch (error) {
      await removeQuietly(partial);
      throw toOutputError(target, error);
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
    { disk, target, dataBytes }: DiskJob,
    file: FileHandle,
    fetch: StageStats,
    unpack: StageStats,
  ): Promise<void> {
    const { resources, codecs, view, onMessage, progress } = this.#options;
    const counts = (): ProgressCounts => ({
      doneBytes: Math.min(unpack.bytes, dataBytes),
      readBytes: fetch.bytes,
    });
    progress.phase('writing');
    await progress.disk(progressDisk(disk, dataBytes), counts, () =>
      restoreBlocks(
        { disk, view, resources, codecs, fetch, unpack, onMessage },
        rawFileSink(file, target),
      ),
    );
  }

  async #finish(partial: string, target: string): Promise<void> {
    if (this.#options.format !== 'qcow2') {
      await publishImage(partial, target);
      return;
    }
    const converted = partialName(target);
    this.#options.progress.phase('converting');
    try {
      // The new file is made here: it gets our mode, and qemu-img cannot follow a link of that
      // name.
      await (await open(converted, 'wx', 0o600)).close();
      await convertToQcow2(partial, converted, this.#options.resources.signal);
      await publishImage(converted, target);
    } finally {
      await removeQuietly(converted);
      await removeQuietly(partial);
    }
  }
}

/** A name in the folder of the target that no other session uses. */
function partialName(target: string): string {
  return `${target}.${randomBytes(6).toString('hex')}.partial`;
}

/** Gives a finished image its name. Fails when another file has taken the name meanwhile. */
async function publishImage(partial: string, target: string): Promise<void> {
  try {
    await link(partial, target);
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') throw outputExists(target);
    if (!lacksLinks(error)) throw error;
    await publishWithoutLinks(partial, target);
    return;
  }
  await rm(partial);
}

/** Takes the name with an empty file, then replaces that file, so no file of others is replaced. */
async function publishWithoutLinks(partial: string, target: string): Promise<void> {
  try {
    await (await open(target, 'wx', 0o600)).close();
  } catch (error) {
    throw errnoOf(error) === 'EEXIST' ? outputExists(target) : error;
  }
  try {
    await rename(partial, target);
  } catch (error) {
    await removeQuietly(target);
    throw error;
  }
}

/** The error for a target that exists: files are never overwritten. */
export function outputExists(target: string): UsageError {
  return new UsageError('USAGE_OUTPUT_EXISTS', `${target} exists already`, {
    hint: 'name another output folder, or move the file away',
  });
}
