/** Disks whose fingerprint index has more than their containers hold. */
import { describe, expect, it } from 'vitest';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { IntegrityError } from '../../../src/core/errors.ts';
import { MIB } from '../../../src/core/units.ts';
import { BlockCache } from '../../../src/points/blockCache.ts';
import { type BlockParts, OpenedDisk } from '../../../src/points/openedDisk.ts';
import { PlaceCache } from '../../../src/points/placeCache.ts';
import { diskPoint, restorePoint } from '../../helpers/repository/madeUp.ts';

const BLOCKS = 3000;
const PIECE_BLOCKS = 1000;
const DISK = diskPoint({ sizeBytes: BLOCKS * MIB - 5 });

function pieceEnd(index: number): number {
  return (Math.floor(index / PIECE_BLOCKS) + 1) * PIECE_BLOCKS;
}

/** @param damagedPiece - of the index: it tells nothing. */
async function open(
  stored: readonly number[],
  known: readonly number[],
  damagedPiece = -1,
): Promise<OpenedDisk> {
  const check = (index: number): void => {
    if (pieceEnd(index) === (damagedPiece + 1) * PIECE_BLOCKS)
      throw new IntegrityError('INTEGRITY_CRC_MISMATCH', 'damaged');
  };
  const index = {
    pieceEnd,
    get: async (at: number) => {
      check(at);
      return await Promise.resolve(known.includes(at) ? 1n : 0n);
    },
    nonZeroIn: async (from: number, to: number) => {
      check(from);
      return await Promise.resolve(known.filter((at) => at >= from && at < to));
    },
  };
  const view = {
    disk: DISK,
    sizeBytes: DISK.sizeBytes,
    blockSizeBytes: MIB,
    async *blocksIn(from: number, to: number) {
      await Promise.resolve();
      for (const at of stored) if (at >= from && at < to) yield { index: at, lengthBytes: MIB };
    },
  };
  const parts = {
    view: {
      point: restorePoint(),
      newest: { fingerprintIndex: () => index },
      disk: async () => await Promise.resolve(view),
    },
    loader: { codecs: await createBlockCodecs() },
    cache: new BlockCache(0),
    places: new PlaceCache(),
  };
  return await OpenedDisk.open(DISK, parts as unknown as BlockParts);
}

async function placedIn(
  disk: OpenedDisk,
  from = 0,
  to = BLOCKS,
): Promise<(number | undefined)[][]> {
  const found: (number | undefined)[][] = [];
  for await (const item of disk.placed(from, to)) {
    if (item.kind === 'block') found.push([item.block.index, item.block.lengthBytes]);
  }
  return found;
}

describe('a block that no container holds', () => {
  it('is no hole when the index has it', async () => {
    const disk = await open([3, 4, 1500], [2, 3, 4, 999, 1000, 1500, 2999]);

    expect(await placedIn(disk)).toEqual([
      [2, MIB],
      [3, MIB],
      [4, MIB],
      [999, MIB],
      [1000, MIB],
      [1500, MIB],
      [2999, MIB - 5],
    ]);
    expect(await placedIn(disk, 3, 1000)).toEqual([
      [3, MIB],
      [4, MIB],
      [999, MIB],
    ]);
    await expect(disk.hold(999)).rejects.toMatchObject({
      code: 'INTEGRITY_FINGERPRINT_MISMATCH',
    });
  });

  it('is a hole where the index is damaged, so that it cannot tell', async () => {
    const disk = await open([3], [3, 1500, 2000], 1);

    expect(await placedIn(disk)).toEqual([
      [3, MIB],
      [2000, MIB],
    ]);
    expect(await disk.hold(1500)).toBeUndefined();
  });
});
