/** The blocks of a disk at a restore point, and of its changes, as they lie in the containers. */
import { blockLengthAt } from '../core/units.ts';
import type { PointReader } from '../repository/pointReader.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import { type DiskView, placeBlock, type ViewBlock } from '../repository/restorePointView.ts';

/** A range of a disk. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** A stored block, or a range of zeros. */
export type PlacedBlock =
  | { readonly kind: 'block'; readonly block: ViewBlock }
  | ({ readonly kind: 'zero' } & ByteRange);

/** All blocks of a disk that are not zeros, by ascending offset, from `fromIndex` on. */
export async function* viewBlocks(view: DiskView, fromIndex = 0): AsyncGenerator<PlacedBlock> {
  for await (const block of view.blocks()) {
    if (block.index >= fromIndex) yield { kind: 'block', block };
  }
}

/**
 * Adds the ranges between blocks as zeros, up to `endBytes`. Neighbouring zeros become one range.
 */
export async function* withZeros(
  blocks: AsyncIterable<PlacedBlock>,
  blockSizeBytes: number,
  fromBytes: number,
  endBytes: number,
): AsyncGenerator<PlacedBlock> {
  let doneBytes = fromBytes;
  const zeros = (toBytes: number): PlacedBlock[] => {
    const lengthBytes = toBytes - doneBytes;
    return lengthBytes > 0 ? [{ kind: 'zero', offsetBytes: doneBytes, lengthBytes }] : [];
  };
  for await (const placed of blocks) {
    if (placed.kind === 'zero') continue;
    const { index, lengthBytes } = placed.block;
    const offsetBytes = index * blockSizeBytes;
    if (offsetBytes >= endBytes) break;
    yield* zeros(offsetBytes);
    yield placed;
    doneBytes = offsetBytes + lengthBytes;
  }
  yield* zeros(endBytes);
}

/** Records of a disk in the container of an increment: changed blocks, and ranges of new zeros. */
export async function* recordedChanges(
  opened: PointReader,
  disk: DiskPoint,
): AsyncGenerator<PlacedBlock> {
  const { reader } = opened;
  const { blockSizeBytes } = reader;
  const { sizeBytes } = disk;
  let zero: ByteRange | undefined;
  for await (const reference of reader.references(opened.diskItem(disk))) {
    const offsetBytes = reference.index * blockSizeBytes;
    const block = placeBlock(reader, reference, sizeBytes, sizeBytes);
    const lengthBytes = blockLengthAt(reference.index, sizeBytes, blockSizeBytes);
    const continues = zero && !block && zero.offsetBytes + zero.lengthBytes === offsetBytes;
    if (zero && continues) {
      zero = { ...zero, lengthBytes: zero.lengthBytes + lengthBytes };
      continue;
    }
    if (zero) yield { kind: 'zero', ...zero };
    zero = block ? undefined : { offsetBytes, lengthBytes };
    if (block) yield { kind: 'block', block };
  }
  if (zero) yield { kind: 'zero', ...zero };
}
