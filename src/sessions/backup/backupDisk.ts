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
import { createFilterCounts } from '../../flow/stages/dirtyZeroFilter.ts';
import { dataBytesOf } from '../../flow/blockPlan.ts';
import { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { connectDisk, type DiskChainInput, packStage } from '../shared/diskChain.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';

export interface DiskInput extends DiskChainInput {
  readonly reason: string;
  readonly isIncrement: boolean;
  readonly writer: ContainerWriter;
  /** Bytes read so far, for a device that reads parts of blocks. */
  readonly readBytes?: (() => number) | undefined;
  /** Time so far in which reads only waited for a limit of the rate. */
  readonly limitMs?: (() => number) | undefined;
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
  const startedAtMs = performance.now();
  const disk = await describeDisk(input, resources.signal);
  // The search for the holes of an image is part of this.
  stages.extents.busyMs += performance.now() - startedAtMs;
  const counts = (): ProgressCounts => ({
    doneBytes: stages.read.bytes,
    readBytes: input.readBytes?.() ?? stages.read.bytes,
  });
  const { signal } = resources;
  await progress.disk(disk, counts, () =>
    resources.withLease('pack', async (lease) => {
      const parts = { resources, lease, stages, counts: filter, signal };
      await connectDisk(input, parts, packStage(parts), sink);
    }),
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
    seconds: stageSeconds(stages, input.limitMs?.()),
    wallSeconds,
    readBytesPerSecond: wallSeconds > 0 ? readBytes / wallSeconds : 0,
    blockMap: content.tally.toMap(),
  };
}
