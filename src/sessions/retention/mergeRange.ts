/**
 * Merges a range of restore points into one container for the last of them. Stored blocks are
 * copied as they are, and each is checked. Damage fails the merge; nothing in the repository is
 * changed then.
 */
import { Readable } from 'node:stream';
import { type CopiedBlock, createBlockCopier } from '../../container/write/blockCopier.ts';
import { createContainerSink, type DiskContent } from '../../container/write/containerSink.ts';
import { IntegrityError, RepositoryError } from '../../core/errors.ts';
import { createStageStats } from '../../core/stats.ts';
import { blockCountOf, blockLengthAt, formatBytes } from '../../core/units.ts';
import type { DiskTask, ZeroRun } from '../../flow/records.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { connect, type Source } from '../../flow/connect.ts';
import { replacePoints } from '../../repository/retention/obsoleteFiles.ts';
import { readOvf } from '../../repository/pointReader.ts';
import type { ChainMetadata } from '../../repository/pointXml.ts';
import type { MergeRange } from '../../repository/retention/prunePlan.ts';
import type { DiskPoint, RestorePoint } from '../../repository/restorePoint.ts';
import { type MergedDisk, MergedView } from '../../repository/retention/mergedView.ts';
import type { VmFolder } from '../../repository/vmFolder.ts';
import { type ProgressDisk, progressDisk, type SessionProgress } from '../shared/progress.ts';
import { measureMerge, type MergeSize } from './mergeSize.ts';
import { type CompletePoint, PointWriter } from '../shared/pointWriter.ts';
import { PipelineResources } from '../shared/pipelineResources.ts';
import type { SessionLog } from '../shared/sessionLog.ts';
import type { StoreLock } from '../../store/store.ts';

export interface MergeContext {
  readonly folder: VmFolder;
  readonly lock: StoreLock;
  readonly codecs: BlockCodecs;
  readonly session: SessionLog;
  readonly workers: number | undefined;
  readonly signal: AbortSignal;
  readonly progress: SessionProgress;
}

export interface MergeOptions {
  /**
   * Points whose containers are deleted after the new one is in place: the range, or only its last
   * point.
   */
  readonly removed: readonly RestorePoint[];
  /** Chain of the merged point. */
  readonly chainId: string;
}

export interface Merged {
  readonly metadata: ChainMetadata;
  readonly point: RestorePoint;
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
  folder: VmFolder,
  range: MergeRange,
  options: { readonly codecs: BlockCodecs; readonly signal: AbortSignal },
): Promise<number> {
  await using view = await MergedView.open(folder.place, range);
  const disks = await openDisks(view, options.codecs);
  return (await measureMerge(disks, options.signal)).fileBytes;
}

/** @throws {@link RepositoryError} `REPOSITORY_FULL` */
async function requireSpace(folder: VmFolder, needBytes: number): Promise<void> {
  const freeBytes = await folder.place.freeBytes();
  if (freeBytes === undefined || freeBytes >= needBytes) return;
  const [need, free] = [formatBytes(needBytes), formatBytes(freeBytes)];
  throw new RepositoryError(
    'REPOSITORY_FULL',
    `${folder.folder}: a merge needs room for its new container before it deletes the old ones: about ${need} are needed, ${free} are free`,
    {
      hint: 'free space, or keep fewer points: whole chains that go are deleted before anything is merged',
      details: { needBytes, freeBytes },
    },
  );
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
  facts: Pick<RestorePoint, 'chainId' | 'fileName'>,
): RestorePoint {
  return {
    ...last,
    ...facts,
    type: range.parent ? 'increment' : 'full',
    parentPointId: range.parent?.pointId ?? '',
    fileBytes: 0,
    disks: disks.map(({ disk, content }, k) => {
      const { changedBytes, storedBytes } = contents[k]?.counts ?? disk;
      return { ...disk, content, changedBytes, storedBytes };
    }),
  };
}

function sourceOf(merged: MergedDisk, task: DiskTask): Source<CopiedBlock | ZeroRun> {
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

class RangeMerger {
  readonly #context: MergeContext;
  readonly #range: MergeRange;
  readonly #last: RestorePoint;

  constructor(context: MergeContext, range: MergeRange) {
    const last = range.points.at(-1);
    if (!last) throw new RepositoryError('CHAIN_PARENT_MISSING', 'an empty range cannot be merged');
    this.#context = context;
    this.#range = range;
    this.#last = last;
  }

  async merge(metadata: ChainMetadata, options: MergeOptions): Promise<Merged> {
    const { folder, lock, session } = this.#context;
    const { blockSizeBytes, createdAt, pointId } = this.#last;
    const type = this.#range.parent ? 'increment' : 'full';
    const fileName = await folder.unusedContainerName(type, new Date(createdAt));
    session.log.info({ pointId, points: this.#range.points.length, fileName }, 'merge started');
    await using target = await PointWriter.create(folder, fileName, blockSizeBytes);
    const facts = { chainId: options.chainId, fileName };
    const added = await this.#build(metadata, target, facts);
    const { point } = added;
    this.#context.signal.throwIfAborted();
    const { removed } = options;
    const replaced = await replacePoints(folder, metadata, lock, { added, removed });
    for (const message of replaced.messages) session.note(message);
    session.log.info({ pointId, fileBytes: point.fileBytes }, 'merge committed');
    return { metadata: replaced.metadata, point };
  }

  /**
   * Fills and commits the new container. The old ones are closed again before any of them is
   * deleted.
   */
  async #build(
    metadata: ChainMetadata,
    target: PointWriter,
    facts: Pick<RestorePoint, 'chainId' | 'fileName'>,
  ): Promise<CompletePoint> {
    const { folder, codecs, signal, workers, progress } = this.#context;
    const { blockSizeBytes } = this.#last;
    await using view = await MergedView.open(folder.place, this.#range);
    const disks = await openDisks(view, codecs);
    const size = await measureMerge(disks, signal);
    await requireSpace(folder, size.fileBytes);
    await using resources = await PipelineResources.create({ blockSizeBytes, workers, signal });
    resources.start();
    progress.planDisks(disks.map(({ disk }) => progressOf(disk, size)));
    progress.phase('merging');
    const contents: DiskContent[] = [];
    for (const disk of disks) contents.push(await this.#copy(disk, size, target, resources));
    progress.phase('committing');
    const { vm } = metadata;
    const ovf = await readOvf(view.last, vm.id, codecs);
    const point = mergedPoint(this.#range, this.#last, disks, contents, facts);
    return await target.complete(vm, point, contents, { parent: this.#range.parent, ovf });
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
        await connect(sourceOf(merged, task), [copier], sink, { signal });
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
 * Merges a range of points of `metadata` into one container for its last point. The new container
 * replaces those of `removed`.
 *
 * The last point keeps id, time, checkpoint, configuration and fingerprints, so that points which
 * build on it stay valid. Memory: the metadata of the range, and the slab.
 *
 * @throws a {@link BackupError}: damage by its code, `REPOSITORY_FULL`, `REPOSITORY_IO`,
 *   `CANCELLED`; the points are not changed then
 */
export async function mergePoints(
  metadata: ChainMetadata,
  range: MergeRange,
  options: MergeOptions,
  context: MergeContext,
): Promise<Merged> {
  return await new RangeMerger(context, range).merge(metadata, options);
}
