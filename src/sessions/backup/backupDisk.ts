/** The pipeline of one disk, from its device into an open container. */
import type { ProgressCounts, ProgressDisk, SessionProgress } from '../shared/progress.ts';
import {
  createDiskStages,
  type DiskReport,
  type DiskStages,
  stageSeconds,
} from '../shared/report.ts';
import { createContainerSink, type DiskContent } from '../../container/write/containerSink.ts';
import type { ContainerWriter } from '../../container/write/containerWriter.ts';
import { blockCountOf } from '../../core/units.ts';
import type { BlockDevice, DiskTask, SinkBlock } from '../../flow/records.ts';
import { createBlockReader } from '../../flow/stages/blockReader.ts';
import { createChangeFinder } from '../../flow/stages/changeFinder.ts';
import { createCompressor } from '../../flow/stages/compressor.ts';
import {
  createCandidateFilter,
  createDirtyZeroFilter,
  createFilterCounts,
  type FilterCounts,
} from '../../flow/stages/dirtyZeroFilter.ts';
import { dataBytesOf } from '../../flow/blockPlan.ts';
import { createExtentSource } from '../../flow/stages/extentSource.ts';
import { createFileReader } from '../../flow/stages/fileReader.ts';
import { FingerprintMap, type ParentDisk } from '../../flow/fingerprintMap.ts';
import { createHashComparer } from '../../flow/stages/hashComparer.ts';
import type { SlabLease } from '../../flow/slab.ts';
import { connect, type Sink } from '../../flow/connect.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';

export interface DiskInput {
  readonly task: DiskTask;
  readonly reason: string;
  readonly device: BlockDevice;
  readonly isIncrement: boolean;
  readonly parent: ParentDisk | undefined;
  readonly writer: ContainerWriter;
  /** Reads in flight. @defaultValue as the block reader */
  readonly readers?: number | undefined;
  /** Tries per block, and the pause before the second try. @defaultValue as the block reader */
  readonly attempts?: number | undefined;
  readonly retryDelayMs?: number | undefined;
  /** Bytes read so far, for a device that reads parts of blocks. */
  readonly readBytes?: (() => number) | undefined;
  /** Time that the extents took before the pipeline began. */
  readonly extentsMs?: number | undefined;
}

export interface DiskResult {
  readonly content: DiskContent;
  readonly report: DiskReport;
}

/** The parent's fingerprints, without blocks beyond the end of this disk. */
function inheritFingerprints(input: DiskInput): FingerprintMap {
  if (!input.parent) return new FingerprintMap();
  const { blockSizeBytes, virtualSizeBytes } = input.task;
  const inherited = input.parent.fingerprints.clone();
  const end = blockCountOf(input.parent.sizeBytes, blockSizeBytes);
  inherited.clear(blockCountOf(virtualSizeBytes, blockSizeBytes), end);
  return inherited;
}

/**
 * Backs up one disk into the writer's container.
 *
 * @throws errors of the device, the workers and the storage; `CANCELLED` on abort
 */
export async function backupDisk(
  input: DiskInput,
  resources: PipelineResources,
  progress: SessionProgress,
): Promise<DiskResult> {
  const { task, writer, isIncrement } = input;
  const stages = createDiskStages();
  const filter = createFilterCounts();
  const fingerprints = inheritFingerprints(input);
  const sink = createContainerSink({
    task,
    writer,
    isIncrement,
    fingerprints,
    stats: stages.write,
  });
  const disk = await describeDisk(input, resources.signal);
  const counts = (): ProgressCounts => ({
    doneBytes: stages.read.bytes,
    readBytes: input.readBytes?.() ?? stages.read.bytes,
  });
  const startedAtMs = performance.now();
  await progress.disk(disk, counts, () =>
    resources.withLease('pack', (lease) =>
      connectStages(input, resources, { lease, stages, counts: filter, sink }),
    ),
  );
  stages.extents.busyMs += input.extentsMs ?? 0;
  const wallSeconds = (performance.now() - startedAtMs) / 1000;
  const allocatedBytes = filter.wantedBytes;
  return {
    content: sink.content,
    report: reportDisk(input, stages, sink.content, allocatedBytes, wallSeconds),
  };
}

async function describeDisk(input: DiskInput, signal: AbortSignal): Promise<ProgressDisk> {
  const { task, device } = input;
  const { diskId, alias, mode, virtualSizeBytes: sizeBytes } = task;
  const extents = device.extents(mode === 'incremental' ? 'dirty' : 'zero', signal);
  return { diskId, alias, mode, sizeBytes, dataBytes: await dataBytesOf(task, extents) };
}

interface ChainParts {
  readonly lease: SlabLease<'pack'>;
  readonly stages: DiskStages;
  readonly counts: FilterCounts;
  readonly sink: Sink<SinkBlock>;
}

/**
 * Threads read local files. With a parent they first find the blocks that changed. All other disks
 * are read through their device.
 */
function connectStages(
  input: DiskInput,
  resources: PipelineResources,
  parts: ChainParts,
): Promise<void> {
  const { task, device, parent, attempts, retryDelayMs } = input;
  const { pool, fileReadPool, signal } = resources;
  const { lease, stages, counts, sink } = parts;
  const source = createExtentSource({ task, device, stats: stages.extents });
  const comparer = createHashComparer({ task, pool, stats: stages.hash, parent });
  const compressor = createCompressor({ pool, lease, stats: stages.compress });
  const reading = { task, device, lease, stats: stages.read, attempts, retryDelayMs };
  const { fileDescriptor } = device;
  if (!fileReadPool || fileDescriptor === undefined) {
    const filter = createDirtyZeroFilter(task, counts);
    const reader = createBlockReader({ ...reading, readers: input.readers });
    return connect(source, [filter, reader, comparer, compressor], sink, { signal });
  }
  const reader = createFileReader({ ...reading, fileDescriptor, fileReadPool });
  if (!parent) {
    const filter = createDirtyZeroFilter(task, counts);
    return connect(source, [filter, reader, comparer, compressor], sink, { signal });
  }
  const filter = createCandidateFilter(task, counts);
  const finder = createChangeFinder({ ...reading, fileDescriptor, fileReadPool, parent });
  return connect(source, [filter, finder, reader, comparer, compressor], sink, { signal });
}

function reportDisk(
  input: DiskInput,
  stages: DiskStages,
  content: DiskContent,
  allocatedBytes: number,
  wallSeconds: number,
): DiskReport {
  const { diskId, alias, mode, virtualSizeBytes } = input.task;
  const { zeroBytes, unchangedBytes, changedBytes, duplicateBlocks, storedBytes } = content.counts;
  const readBytes = input.readBytes?.() ?? stages.read.bytes;
  return {
    diskId,
    alias,
    mode,
    reason: input.reason,
    sizeBytes: virtualSizeBytes,
    allocatedBytes,
    readBytes,
    zeroBytes,
    unchangedBytes,
    changedBytes,
    duplicateBlocks,
    storedBytes,
    reductionRatio: storedBytes > 0 ? changedBytes / storedBytes : 0,
    seconds: stageSeconds(stages),
    wallSeconds,
    readBytesPerSecond: wallSeconds > 0 ? readBytes / wallSeconds : 0,
  };
}
