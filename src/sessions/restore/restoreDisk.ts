/** Restores one disk of an opened restore point to an image file. */
import { type FileHandle, open } from 'node:fs/promises';
import { toOutputError } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import { createStageStats, type StageStats } from '../../core/stats.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { Sink } from '../../flow/connect.ts';
import type { DataBlock } from '../../flow/records.ts';
import { rawFileSink } from '../../flow/sinks/plainSinks.ts';
import { type DiskHole, holesOf } from '../../repository/damage/salvageBlocks.ts';
import { removeQuietly } from '../../store/folder/durableFile.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import { type ProgressCounts, progressDisk, type SessionProgress } from '../shared/progress.ts';
import { holesFileName, partialName, publishImage, writeHoles } from '../shared/imageFiles.ts';
import { convertToQcow2 } from './qemuImg.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';
import { type MeasuredDisk, restoreBlocks, type RestoreBlocksOptions } from './restoreBlocks.ts';
import { type Salvage, salvageBlocks, type SalvageResult } from './salvageDisk.ts';

export type ImageFormat = 'raw' | 'qcow2';

/** A disk and the image file it becomes. */
export interface DiskJob {
  readonly disk: DiskPoint;
  readonly target: string;
  /** The disk in its chain, and the bytes of its blocks; undefined while unknown. */
  readonly measured: MeasuredDisk | undefined;
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
  /** Bytes that are damaged. They are zeros in the image. */
  readonly holeBytes: number;
  /** The file that lists the holes; undefined for a disk without holes. */
  readonly holesPath: string | undefined;
  /** Damaged blocks that were taken from the point of `damagedFrom`. */
  readonly takenBlocks: number;
}

/** A restored disk with its holes, ascending. */
export interface DiskResult {
  readonly disk: RestoredDisk;
  readonly holes: readonly DiskHole[];
}

export interface DiskRestoreOptions {
  readonly format: ImageFormat;
  readonly view: RestoreBlocksOptions['view'];
  /** What is done with damage. @defaultValue it ends the restore */
  readonly salvage: Salvage | undefined;
  readonly resources: PipelineResources;
  readonly codecs: BlockCodecs;
  readonly onMessage: (message: SessionMessage) => void;
  readonly progress: SessionProgress;
}

const NO_DAMAGE: SalvageResult = { blockSizeBytes: 0, ranges: [], takenBlocks: 0 };

export class DiskRestore {
  readonly #options: DiskRestoreOptions;

  constructor(options: DiskRestoreOptions) {
    this.#options = options;
  }

  async restore(job: DiskJob): Promise<DiskResult> {
    const { disk, target } = job;
    const startedAtMs = performance.now();
    const partial = partialName(target);
    const fetch = createStageStats();
    const unpack = createStageStats();
    let found: SalvageResult;
    let holes: DiskHole[];
    try {
      const file = await open(partial, 'wx', 0o600);
      try {
        await file.truncate(disk.sizeBytes);
        found = await this.#fill(job, file, fetch, unpack);
        await file.sync();
      } finally {
        await file.close();
      }
      holes = holesOf(disk, found.blockSizeBytes, found.ranges);
      await this.#finish(partial, job, holes);
    } catch (error) {
      await removeQuietly(partial);
      throw toOutputError(target, error);
    }
    const restored: RestoredDisk = {
      diskId: disk.diskId,
      alias: disk.alias,
      path: target,
      sizeBytes: disk.sizeBytes,
      writtenBytes: unpack.bytes,
      storedBytesRead: fetch.bytes,
      wallSeconds: (performance.now() - startedAtMs) / 1000,
      holeBytes: holes.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
      holesPath: holes.length > 0 ? holesFileName(target) : undefined,
      takenBlocks: found.takenBlocks,
    };
    return { disk: restored, holes };
  }

  async #fill(
    { disk, target, measured }: DiskJob,
    file: FileHandle,
    fetch: StageStats,
    unpack: StageStats,
  ): Promise<SalvageResult> {
    const { resources, codecs, view, onMessage, progress, salvage } = this.#options;
    const dataBytes = measured?.dataBytes;
    const supply = measured?.supply;
    const options = { disk, view, supply, resources, codecs, fetch, unpack, onMessage };
    const openSink = (): Sink<DataBlock> => rawFileSink(file, target);
    const counts = (): ProgressCounts => ({
      doneBytes: Math.min(unpack.bytes, dataBytes ?? Infinity),
      readBytes: fetch.bytes,
    });
    progress.phase('writing');
    return await progress.disk(progressDisk(disk, dataBytes), counts, async () => {
      if (salvage) return await salvageBlocks(options, salvage, openSink);
      await restoreBlocks(options, openSink());
      return NO_DAMAGE;
    });
  }

  async #finish(partial: string, job: DiskJob, holes: readonly DiskHole[]): Promise<void> {
    const { target } = job;
    if (this.#options.format !== 'qcow2') {
      await publishWithHoles(partial, job, holes);
      return;
    }
    const converted = partialName(target);
    this.#options.progress.phase('converting');
    try {
      // The new file is made here: it gets our mode, and qemu-img cannot follow a link of that
      // name.
      await (await open(converted, 'wx', 0o600)).close();
      await convertToQcow2(partial, converted, this.#options.resources.signal);
      await publishWithHoles(converted, job, holes);
    } finally {
      await removeQuietly(converted);
      await removeQuietly(partial);
    }
  }
}

/** The list of holes is durable before the image has its name. So no image is without its list. */
async function publishWithHoles(
  partial: string,
  { disk, target }: DiskJob,
  holes: readonly DiskHole[],
): Promise<void> {
  if (holes.length > 0) await writeHoles(target, disk.sizeBytes, holes);
  try {
    await publishImage(partial, target);
  } catch (error) {
    if (holes.length > 0) await removeQuietly(holesFileName(target));
    throw error;
  }
}
