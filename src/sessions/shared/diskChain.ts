/** The stages of one disk, from its device to a sink. */
import { runChain, type Sink, type StageLike } from '../../flow/connect.ts';
import type { ParentDisk } from '../../flow/fingerprintMap.ts';
import type {
  BlockDevice,
  DiskTask,
  HashedBlock,
  SinkBlock,
  UnchangedRun,
  ZeroRun,
} from '../../flow/records.ts';
import type { SlabLease } from '../../flow/slab.ts';
import { createBlockReader } from '../../flow/stages/blockReader.ts';
import { createChangeFinder } from '../../flow/stages/changeFinder.ts';
import { createCompressor } from '../../flow/stages/compressor.ts';
import {
  createCandidateFilter,
  createDirtyZeroFilter,
  type FilterCounts,
} from '../../flow/stages/dirtyZeroFilter.ts';
import { createExtentSource } from '../../flow/stages/extentSource.ts';
import { createFileReader } from '../../flow/stages/fileReader.ts';
import { createHashComparer } from '../../flow/stages/hashComparer.ts';
import { createHashedReader } from '../../flow/stages/hashedReader.ts';
import type { PipelineResources } from './pipelineResources.ts';
import type { DiskStages } from './report.ts';

export interface DiskChainInput {
  readonly task: DiskTask;
  readonly device: BlockDevice;
  /** The disk at the parent point. Its blocks that did not change become unchanged runs. */
  readonly parent: ParentDisk | undefined;
  /** Reads in flight. @defaultValue as the block reader */
  readonly readers?: number | undefined;
  /** Tries per block, and the pause before the second try. @defaultValue as the block reader */
  readonly attempts?: number | undefined;
  readonly retryDelayMs?: number | undefined;
}

/** Slots, threads and counters of a chain. */
export interface DiskChainParts {
  readonly resources: Pick<PipelineResources, 'pool' | 'fileReadPool'>;
  readonly lease: SlabLease<'pack'>;
  readonly stages: DiskStages;
  readonly counts: FilterCounts;
  readonly signal: AbortSignal;
}

/** Records after the comparer, as the last stage of a chain gets them. */
export type ComparedRecord = HashedBlock | ZeroRun | UnchangedRun;

/** The last stage of a chain that stores blocks. */
export function packStage({
  resources,
  lease,
  stages,
}: DiskChainParts): StageLike<ComparedRecord, SinkBlock> {
  return createCompressor({ pool: resources.pool, lease, stats: stages.compress });
}

/**
 * Runs the chain of one disk. Threads read local files. With a parent they first find the blocks
 * that changed. All other disks are read through their device.
 *
 * @param last - stage between the comparer and the sink.
 * @throws as {@link connect}
 */
export async function connectDisk<Out>(
  input: DiskChainInput,
  parts: DiskChainParts,
  last: StageLike<ComparedRecord, Out>,
  sink: Sink<Out>,
): Promise<void> {
  const { task, device, parent, attempts, retryDelayMs } = input;
  const { resources, lease, stages, counts, signal } = parts;
  const { pool, fileReadPool } = resources;
  const source = createExtentSource({ task, device, stats: stages.extents });
  const comparer = createHashComparer({ task, pool, stats: stages.hash, parent });
  const reading = { task, device, lease, stats: stages.read, attempts, retryDelayMs };
  const { fileDescriptor } = device;
  if (!fileReadPool || fileDescriptor === undefined) {
    const filter = createDirtyZeroFilter(task, counts);
    const readHashed = device.readHashed?.bind(device);
    const plain = { ...reading, readers: input.readers };
    const reader = readHashed
      ? createHashedReader({ ...plain, readHashed })
      : createBlockReader(plain);
    return await runChain(source, [filter, reader, comparer, last], sink, { signal });
  }
  const reader = createFileReader({ ...reading, fileDescriptor, fileReadPool });
  if (!parent) {
    const filter = createDirtyZeroFilter(task, counts);
    return await runChain(source, [filter, reader, comparer, last], sink, { signal });
  }
  const filter = createCandidateFilter(task, counts);
  const finder = createChangeFinder({ ...reading, fileDescriptor, fileReadPool, parent });
  return await runChain(source, [filter, finder, reader, comparer, last], sink, { signal });
}
