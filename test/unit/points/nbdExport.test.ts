import { describe, expect, it } from 'vitest';
import { TIB } from '../../../src/core/units.ts';
import { NbdExport } from '../../../src/points/nbd/nbdExport.ts';
import type { PointDisk } from '../../../src/points/pointDisk.ts';
import type { PointExtent, RangeOptions } from '../../../src/points/pointTypes.ts';

const BLOCK_BYTES = 1024 * 1024;
const NAMES = { name: 'disk', description: '' };

/** A disk that holds data everywhere, and notes which ranges are asked for. */
class DenseDisk {
  readonly virtualSizeBytes = 64 * TIB;
  readonly blockSizeBytes = BLOCK_BYTES;
  readonly cacheBytes = 64 * BLOCK_BYTES;
  readonly asked: RangeOptions[] = [];

  async *extents(range: RangeOptions): AsyncGenerator<PointExtent> {
    this.asked.push(range);
    await Promise.resolve();
    const { offsetBytes = 0, lengthBytes = this.virtualSizeBytes } = range;
    yield { offsetBytes, lengthBytes, zero: false };
  }
}

async function served(): Promise<{ readonly disk: DenseDisk; readonly one: NbdExport }> {
  const disk = new DenseDisk();
  return { disk, one: await NbdExport.create(disk as unknown as PointDisk, NAMES) };
}

describe('a served disk', () => {
  it('starts with the places of one block, however long its first extent is', async () => {
    const { disk } = await served();

    expect(disk.asked.map(({ lengthBytes }) => lengthBytes)).toEqual([BLOCK_BYTES]);
  });

  it('counts the block that a small read holds while it waits for the next one', async () => {
    const { one } = await served();

    expect(one.heldBytes({ offsetBytes: 4096, lengthBytes: 512 })).toBe(512);
    expect(one.heldBytes({ offsetBytes: BLOCK_BYTES - 4, lengthBytes: 8 })).toBe(2 * BLOCK_BYTES);
    expect(one.heldBytes({ offsetBytes: 4096, lengthBytes: BLOCK_BYTES })).toBe(2 * BLOCK_BYTES);
  });
});
