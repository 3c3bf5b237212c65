/** Reads the blocks of one disk from its containers, checks them, and passes them to a sink. */
import { Readable } from 'node:stream';
import {
  createBlockFetcher,
  createBlockUnpacker,
  type BlockToFetch,
} from '../../container/read/restoreStages.ts';
import { BackupError, IntegrityError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { StageStats } from '../../core/stats.ts';
import { blockCountOf } from '../../core/units.ts';
import type { DataBlock } from '../../flow/records.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { connect, type Sink, type Source } from '../../flow/connect.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import type { DiskView, RestorePointView } from '../../repository/restorePointView.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';

export interface RestoreBlocksOptions {
  readonly disk: DiskPoint;
  readonly view: RestorePointView;
  readonly resources: PipelineResources;
  readonly codecs: BlockCodecs;
  readonly fetch: StageStats;
  readonly unpack: StageStats;
  readonly onMessage: (message: SessionMessage) => void;
}

/**
 * Sends every block of a disk that is not zero to `sink`, in ascending order.
 *
 * Each block is checked by CRC and MD5, and by the fingerprint index where that can be read.
 *
 * @throws {@link IntegrityError} for a damaged or missing block
 */
export async function restoreBlocks(
  options: RestoreBlocksOptions,
  sink: Sink<DataBlock>,
): Promise<void> {
  const { disk, view: point, resources, codecs, fetch, unpack } = options;
  const { signal, pool } = resources;
  const view = await point.disk(disk);
  const fingerprints = await readFingerprints(options);
  const { fingerprint } = codecs;
  await resources.withLease('unpack', async (lease) => {
    const source = blockSource(view, fingerprints);
    const fetcher = createBlockFetcher({ lease, stats: fetch });
    const unpacker = createBlockUnpacker({ lease, stats: unpack, pool, fingerprint });
    await connect(source, [fetcher, unpacker], sink, { signal });
  });
  if (fingerprints) checkComplete(view, fingerprints, unpack.blocks);
}

/** Bytes of the blocks of a disk that are not zero. Reads metadata only. */
export async function dataBytesOf(point: RestorePointView, disk: DiskPoint): Promise<number> {
  const view = await point.disk(disk);
  let dataBytes = 0;
  for await (const block of view.blocks()) dataBytes += block.lengthBytes;
  return dataBytes;
}

async function readFingerprints(
  options: RestoreBlocksOptions,
): Promise<FingerprintMap | undefined> {
  const { disk, view, codecs, onMessage } = options;
  try {
    return await view.newest.fingerprints(disk, codecs);
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    const { alias, diskId: id } = disk;
    onMessage(sessionMessage('REPO-508', { alias, id, reason: error.code }));
    return undefined;
  }
}

function blockSource(
  view: DiskView,
  fingerprints: FingerprintMap | undefined,
): Source<BlockToFetch> {
  async function* blocks(): AsyncGenerator<BlockToFetch> {
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

/** A block that the fingerprint index calls non-zero must not be missing in the containers. */
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
