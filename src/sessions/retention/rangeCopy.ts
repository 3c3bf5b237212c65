/**
 * Copies a range of restore points into one container, for the last of them. Stored blocks are
 * copied as they are, and each is checked. Damage is an error; the points stay as they are then.
 */
import { Readable } from 'node:stream';
import { type CopiedBlock, createBlockCopier } from '../../container/write/blockCopier.ts';
import { createContainerSink, type DiskContent } from '../../container/write/containerSink.ts';
import { IntegrityError, RepositoryError } from '../../core/errors.ts';
import { createStageStats } from '../../core/stats.ts';
import { blockCountOf, blockLengthAt } from '../../core/units.ts';
import type { DiskTask, ZeroRun } from '../../flow/records.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { connect, type Source } from '../../flow/connect.ts';
import { readOvf } from '../../repository/pointReader.ts';
import type { MergeRange } from '../../repository/retention/prunePlan.ts';
import type { DiskPoint, RestorePoint, VmIdentity } from '../../repository/restorePoint.ts';
import { type MergedDisk, MergedView } from '../../repository/retention/mergedView.ts';
import type { StoreFolder } from '../../store/store.ts';
import { type ProgressDisk, progressDisk, type SessionProgress } from '../shared/progress.ts';
import { measureMerge, type MergeSize } from './mergeSize.ts';
import type { CompletePoint, PointWriter } from '../shared/pointWriter.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';

export interface CopyContext {
  readonly codecs: BlockCodecs;
  readonly workers: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: SessionProgress;
  readonly phase: 'merging' | 'copying';
  /** Waits until `bytes` more may be copied. */
  readonly pace?: ((bytes: number) => Promise<void>) | undefined;
  /** Called before the first block is copied. What it throws ends the copy. */
  readonly checkSize?: ((fileBytes: number) => Promise<void>) | undefined;
}

/** How the copy differs from the last point of the range. */
export interface CopyFacts {
  readonly chainId: string;
  readonly fileName: string;
  /** The point that the copy builds on, at its new place; undefined for a full. */
  readonly parent: RestorePoint | undefined;
}

async function openDisks(view: MergedView, codecs: BlockCodecs): Promise<MergedDisk[]> {
  const disks: MergedDisk[] = [];
  for (const disk of view.last.point.disks) disks.push(await view.disk(disk, codecs));
  return disks;
}

/**
 * Bytes of the container that a merge would write. Reads metadata only.
 *
 * @throws a {@link BackupError} for anything that would keep the merge from starting
 */
export async function sizeOfMerge(
  place: StoreFolder,
  range: MergeRange,
  options: { readonly codecs: BlockCodecs; readonly signal: AbortSignal },
): Promise<number> {
  await using view = await MergedView.open(place, range);
  const disks = await openDisks(view, options.codecs);
  return (await measureMerge(disks, options.signal)).fileBytes;
}

/**
 * The last point of a range as it is after the merge. The facts of its session stay, except the
 * bytes that its container holds.
 *
 * @param contents - of `disks`, in their order.
 */
function mergedPoint(
  range: MergeRange,
  last: RestorePoint,
  disks: readonly MergedDisk[],
  contents: readonly DiskContent[],
  { chainId, fileName }: CopyFacts,
): RestorePoint {
  return {
    ...last,
    chainId,
    fileName,
    type: range.parent ? 'increment' : 'full',
    parentPointId: range.parent?.pointId ?? '',
    fileBytes: 0,
    disks: disks.map(({ disk, content }, k) => {
      const { changedBytes, storedBytes } = contents[k]?.counts ?? disk;
      return { ...disk, content, changedBytes, storedBytes };
    }),
  };
}

function sourceOf(
  merged: MergedDisk,
  task: DiskTask,
  { pace }: CopyContext,
): Source<CopiedBlock | ZeroRun> {
  const { diskId, blockSizeBytes, virtualSizeBytes } = task;
  async function* blocks(): AsyncGenerator<CopiedBlock | ZeroRun> {
    for await (const { index, block } of merged.records()) {
      const lengthBytes = blockLengthAt(index, virtualSizeBytes, blockSizeBytes);
      const place = { diskId, index, offsetBytes: index * blockSizeBytes, lengthBytes };
      if (!block) {
        yield { kind: 'zero', ...place, blockCount: 1 };
        continue;
      }
      const { reader, validBytes } = block;
      const extent = await reader.storedExtent(block.blockId);
      const fingerprint = merged.fingerprints.get(index);
      if (pace) await pace(extent.storedBytes);
      yield { kind: 'stored', ...place, validBytes, reader, extent, fingerprint };
    }
  }
  return Readable.from(blocks(), { objectMode: true, highWaterMark: 1 });
}

/** Inherited plus copied blocks must match the fingerprint index. */
function checkFingerprints(merged: MergedDisk, copied: FingerprintMap, end: number): void {
  const { disk, fingerprints: wanted } = merged;
  const differs = (index: number): boolean => copied.get(index) !== wanted.get(index);
  for (const map of [wanted, copied]) {
    for (const index of map.nonZeroIn(0, end)) {
      if (!differs(index)) continue;
      throw new IntegrityError(
        'INTEGRITY_FINGERPRINT_MISMATCH',
        `disk ${disk.alias} (${disk.diskId}) block ${index}: the chain differs from the fingerprint index`,
        { hint: 'run "ovirt-cbt verify"; the points are kept as they are', details: { index } },
      );
    }
  }
}

class RangeCopier {
  readonly #context: CopyContext;
  readonly #range: MergeRange;
  readonly #last: RestorePoint;

  constructor(context: CopyContext, range: MergeRange, last: RestorePoint) {
    this.#context = context;
    this.#range = range;
    this.#last = last;
  }

  /** The containers of the range are closed again when the promise settles. */
  async copy(
    place: StoreFolder,
    vm: VmIdentity,
    target: PointWriter,
    facts: CopyFacts,
  ): Promise<CompletePoint> {
    const { codecs, signal, workers, progress, phase, checkSize } = this.#context;
    const { blockSizeBytes } = this.#last;
    await using view = await MergedView.open(place, this.#range);
    const disks = await openDisks(view, codecs);
    const size = await measureMerge(disks, signal);
    if (checkSize) await checkSize(size.fileBytes);
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    resources.start();
    progress.planDisks(disks.map(({ disk }) => progressOf(disk, size)));
    progress.phase(phase);
    const contents: DiskContent[] = [];
    for (const disk of disks) contents.push(await this.#copy(disk, size, target, resources));
    progress.phase('committing');
    const ovf = await readOvf(view.last, vm.id, codecs);
    const point = mergedPoint(this.#range, this.#last, disks, contents, facts);
    return await target.complete(vm, point, contents, { parent: facts.parent, ovf });
  }

  async #copy(
    merged: MergedDisk,
    size: MergeSize,
    target: PointWriter,
    resources: PipelineResources,
  ): Promise<DiskContent> {
    const { disk, content, inherited } = merged;
    const { diskId, alias, sizeBytes, mode } = disk;
    const { blockSizeBytes } = this.#last;
    const { signal, pool } = resources;
    const stats = createStageStats();
    const task = { diskId, alias, virtualSizeBytes: sizeBytes, blockSizeBytes, mode };
    const sink = createContainerSink({
      task,
      writer: target.writer,
      isIncrement: content === 'increment',
      fingerprints: inherited,
      stats: createStageStats(),
    });
    // Progress counts stored bytes, because a merge reads those.
    const counts = () => ({ doneBytes: stats.bytes, readBytes: stats.bytes });
    await this.#context.progress.disk(progressOf(disk, size), counts, async () => {
      await resources.withLease('unpack', async (lease) => {
        const copier = createBlockCopier({ lease, pool, stats });
        await connect(sourceOf(merged, task, this.#context), [copier], sink, { signal });
      });
      checkFingerprints(merged, sink.content.fingerprints, blockCountOf(sizeBytes, blockSizeBytes));
    });
    return sink.content;
  }
}

function progressOf(disk: DiskPoint, size: MergeSize): ProgressDisk {
  return progressDisk(disk, size.copiedBytes.get(disk.diskId) ?? 0);
}

/**
 * Copies a range into the container of `target`, and commits it. It gets its name by the caller.
 *
 * The last point keeps id, time, checkpoint, configuration and fingerprints. Memory: the metadata
 * of the range, and the slab.
 *
 * @param place - folder of the range.
 * @throws a {@link BackupError}: damage by its code, `REPOSITORY_FULL`, `REPOSITORY_IO`,
 *   `CANCELLED`
 */
export async function copyRange(
  source: { readonly place: StoreFolder; readonly vm: VmIdentity; readonly range: MergeRange },
  target: PointWriter,
  facts: CopyFacts,
  context: CopyContext,
): Promise<CompletePoint> {
  const { place, vm, range } = source;
  const last = lastOf(range);
  return await new RangeCopier(context, range, last).copy(place, vm, target, facts);
}

/** @throws {@link RepositoryError} `CHAIN_PARENT_MISSING` for an empty range */
export function lastOf(range: MergeRange): RestorePoint {
  const last = range.points.at(-1);
  if (!last) throw new RepositoryError('CHAIN_PARENT_MISSING', 'an empty range cannot be copied');
  return last;
}

/** Bytes that the container of a range has at most. */
export function mostBytesOf(range: MergeRange): number {
  return range.points.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
}
