/** The blocks of a disk at a restore point, and of its changes, as they lie in the containers. */
import { blockLengthAt } from '../core/units.ts';
import type { PointReader } from '../repository/pointReader.ts';
import type { DiskPoint } from '../repository/restorePoint.ts';
import { type DiskView, placeBlock, type ViewBlock } from '../repository/restorePointView.ts';
import type { ByteRange, PointExtent } from './pointTypes.ts';

/** A block of a disk, which need not be stored. */
export type DiskBlock = Pick<ViewBlock, 'index' | 'lengthBytes'>;

/** A block that is stored, unless told otherwise, or a range of zeros. */
export type PlacedBlock<Block extends DiskBlock = ViewBlock> =
  | { readonly kind: 'block'; readonly block: Block }
  | ({ readonly kind: 'zero' } & ByteRange);

/** The blocks of a disk from `fromIndex` on that are not zeros, by ascending offset. */
export async function* viewBlocks(view: DiskView, fromIndex = 0): AsyncGenerator<PlacedBlock> {
  for await (const block of view.blocksIn(fromIndex, Infinity)) yield { kind: 'block', block };
}

/**
 * Adds the ranges between blocks as zeros, up to `endBytes`. Neighbouring zeros become one range.
 */
export async function* withZeros<Block extends DiskBlock>(
  blocks: AsyncIterable<PlacedBlock<Block>>,
  blockSizeBytes: number,
  fromBytes: number,
  endBytes: number,
): AsyncGenerator<PlacedBlock<Block>> {
  let doneBytes = fromBytes;
  const zeros = (toBytes: number): PlacedBlock<Block>[] => {
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

/**
 * Joins neighbouring blocks, and cuts the ranges at `fromBytes` and `endBytes`.
 *
 * @param placed - as {@link withZeros} gives them.
 */
export async function* extentsOf(
  placed: AsyncIterable<PlacedBlock<DiskBlock>>,
  blockSizeBytes: number,
  fromBytes: number,
  endBytes: number,
): AsyncGenerator<PointExtent> {
  let data: ByteRange | undefined;
  const cut = ({ offsetBytes, lengthBytes }: ByteRange, zero: boolean): PointExtent => {
    const start = Math.max(offsetBytes, fromBytes);
    const end = Math.min(offsetBytes + lengthBytes, endBytes);
    return { offsetBytes: start, lengthBytes: end - start, zero };
  };
  for await (const item of placed) {
    if (item.kind === 'block') {
      const { index, lengthBytes } = item.block;
      const offsetBytes = data?.offsetBytes ?? index * blockSizeBytes;
      data = { offsetBytes, lengthBytes: (data?.lengthBytes ?? 0) + lengthBytes };
      continue;
    }
    if (data) yield cut(data, false);
    data = undefined;
    yield cut(item, true);
  }
  if (data) yield cut(data, false);
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
