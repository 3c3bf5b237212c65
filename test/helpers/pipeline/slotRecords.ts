/** Records with real slots, for tests of one stage behind the reader. */
import type { DataBlock, HashedBlock, ZeroRun } from '../../../src/flow/records.ts';
import type { SlabLease } from '../../../src/flow/slab.ts';
import { BLOCK_BYTES, blockContent } from './diskPicture.ts';

export function zeroRun(index: number, blockCount: number, lengthBytes?: number): ZeroRun {
  return {
    kind: 'zero',
    diskId: 'disk-1',
    index,
    blockCount,
    offsetBytes: index * BLOCK_BYTES,
    lengthBytes: lengthBytes ?? blockCount * BLOCK_BYTES,
  };
}

/** A data block in a raw slot; the rest of the slot is filled with 0xff, as an earlier block may leave it. */
export async function dataBlock(
  lease: SlabLease,
  index: number,
  content: Uint8Array,
): Promise<DataBlock> {
  const slot = await lease.acquireRaw();
  slot.bytes.fill(0xff);
  slot.bytes.set(content);
  const offsetBytes = index * BLOCK_BYTES;
  return { kind: 'data', diskId: 'disk-1', index, offsetBytes, lengthBytes: content.length, slot };
}

export async function hashedBlock(
  lease: SlabLease,
  index: number,
  content: Uint8Array,
  fingerprint = 1n,
): Promise<HashedBlock> {
  const { diskId, offsetBytes, lengthBytes, slot } = await dataBlock(lease, index, content);
  return { kind: 'hashed', diskId, index, offsetBytes, lengthBytes, slot, fingerprint };
}

/** What a reader makes of a picture: data blocks and zero runs of one block. */
export async function* readerRecords(
  lease: SlabLease,
  picture: string,
): AsyncGenerator<DataBlock | ZeroRun> {
  for (const [index, letter] of Array.from(picture).entries()) {
    if (letter === '0' || letter === '-') yield zeroRun(index, 1);
    else yield await dataBlock(lease, index, blockContent(letter));
  }
}
