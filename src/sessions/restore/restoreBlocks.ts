/** Reads the blocks of one disk from its containers, checks them, and passes them to a sink. */
import { Readable } from 'node:stream';
import {
  createBlockFetcher,
  createBlockUnpacker,
  type BlockToFetch,
  type FetcherOptions,
  type OnDamage,
  type UnpackerOptions,
} from '../../container/read/restoreStages.ts';
import type { StoredExtent } from '../../container/read/containerReader.ts';
import { BackupError } from '../../core/errors.ts';
import { type SessionMessage, sessionMessage } from '../../core/messages.ts';
import type { StageStats } from '../../core/stats.ts';
import { isAccessFailure } from '../../core/systemErrors.ts';
import type { DataBlock } from '../../flow/records.ts';
import type { BlockCodecs } from '../../compute/blockCodecs.ts';
import type { FingerprintMap } from '../../flow/fingerprintMap.ts';
import { connect, type Sink, type Source } from '../../flow/connect.ts';
import type { BlockSupply } from '../../repository/damage/salvageBlocks.ts';
import type { DiskPoint } from '../../repository/restorePoint.ts';
import {
  blockToFetch,
  checkComplete,
  type RestorePointView,
  type ViewBlock,
} from '../../repository/restorePointView.ts';
import type { PipelineResources } from '../shared/pipelineResources.ts';

export interface RestoreBlocksOptions {
  readonly disk: DiskPoint;
  readonly view: Pick<RestorePointView, 'newest'> & {
    disk(disk: DiskPoint): Promise<BlockSupply>;
  };
  /** The blocks to restore. @defaultValue all blocks of the disk in `view` */
  readonly supply?: BlockSupply | undefined;
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
 * @returns the fingerprint index; undefined when it cannot be read.
 * @throws {@link IntegrityError} for a damaged or missing block, unless `supply` takes damage
 */
export async function restoreBlocks(
  options: RestoreBlocksOptions,
  sink: Sink<DataBlock>,
): Promise<FingerprintMap | undefined> {
  const { disk, view: point, unpack } = options;
  const supply = options.supply ?? (await point.disk(disk));
  const fingerprints = await readFingerprints(options);
  await passBlocks(options, supply, fingerprints, sink);
  if (fingerprints && !supply.onDamage) checkComplete(supply, fingerprints, unpack.blocks);
  return fingerprints;
}

/** Sends the blocks of `supply` to `sink`. The stats of `unpack` count only good blocks. */
export async function passBlocks(
  options: Pick<RestoreBlocksOptions, 'resources' | 'codecs' | 'fetch' | 'unpack'>,
  supply: BlockSupply,
  fingerprints: FingerprintMap | undefined,
  sink: Sink<DataBlock>,
): Promise<void> {
  const { resources, codecs, fetch, unpack } = options;
  const { signal, pool } = resources;
  const { fingerprint } = codecs;
  const handlers = damageHandlers(supply, unpack);
  await resources.withLease('unpack', async (lease) => {
    const source = blockSource(supply, fingerprints);
    const fetcher = createBlockFetcher({ lease, stats: fetch, ...handlers.fetch });
    const unpacker = createBlockUnpacker({
      lease,
      stats: unpack,
      pool,
      fingerprint,
      ...handlers.unpack,
    });
    await connect(source, [fetcher, unpacker], sink, { signal });
  });
}

/** A device may give bytes at the second try. */
const READ_ATTEMPTS = 2;

type UnpackDamage = Pick<UnpackerOptions, 'onDamage'>;
type FetchDamage = Pick<FetcherOptions, 'onDamage' | 'readAttempts'>;

function damageHandlers(
  supply: BlockSupply,
  unpack: StageStats,
): { readonly fetch: FetchDamage; readonly unpack: UnpackDamage } {
  if (!supply.onDamage) return { fetch: {}, unpack: {} };
  const onDamage: OnDamage = ({ index, reader }, error) => supply.onDamage?.(index, reader, error);
  const onUnpackDamage: OnDamage = (block, error) => {
    unpack.blocks--;
    unpack.bytes -= block.extent.sourceBytes;
    onDamage(block, error);
  };
  return {
    fetch: { onDamage, readAttempts: READ_ATTEMPTS },
    unpack: { onDamage: onUnpackDamage },
  };
}

/** A disk in its chain, and the bytes of its blocks that are not zero. */
export interface MeasuredDisk {
  readonly supply: BlockSupply;
  readonly dataBytes: number;
}

/** Reads metadata only. */
export async function measureDisk(point: RestorePointView, disk: DiskPoint): Promise<MeasuredDisk> {
  const supply = await point.disk(disk);
  let dataBytes = 0;
  for await (const block of supply.blocks()) dataBytes += block.lengthBytes;
  return { supply, dataBytes };
}

async function readFingerprints(
  options: RestoreBlocksOptions,
): Promise<FingerprintMap | undefined> {
  const { disk, view, codecs, onMessage } = options;
  if (!view.newest.hasFingerprints) return undefined;
  try {
    return await view.newest.fingerprints(disk, codecs);
  } catch (error) {
    if (!(error instanceof BackupError) || isAccessFailure(error)) throw error;
    const { alias, diskId: id } = disk;
    onMessage(sessionMessage('REPO-508', { alias, id, reason: error.code }));
    return undefined;
  }
}

function blockSource(
  supply: BlockSupply,
  fingerprints: FingerprintMap | undefined,
): Source<BlockToFetch> {
  async function* blocks(): AsyncGenerator<BlockToFetch> {
    for await (const block of supply.blocks(fingerprints)) {
      const extent = await storedExtent(supply, block);
      if (!extent) continue;
      yield blockToFetch(supply, block, extent, fingerprints);
    }
  }
  return Readable.from(blocks(), { objectMode: true, highWaterMark: 1 });
}

async function storedExtent(
  supply: BlockSupply,
  { index, reader, blockId }: ViewBlock,
): Promise<StoredExtent | undefined> {
  try {
    return await reader.storedExtent(blockId);
  } catch (error) {
    if (!supply.onDamage) throw error;
    supply.onDamage(index, reader, error);
    return undefined;
  }
}
