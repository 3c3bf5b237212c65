/**
 * Pure planning: turns the extents of a disk into runs of container blocks.
 *
 * Every byte belongs to exactly one block. A block that mixes zero and data counts as data. A block
 * that is dirty in any part counts as dirty. Only a block that is zero in every part counts as
 * zero. Neighbouring blocks of one state form a run. So the cost follows the number of extents, not
 * the size of the disk.
 */
import { TransferError } from '../core/errors.ts';
import type { DiskTask, Extent, PlannedRun } from './records.ts';

interface State {
  zero: boolean;
  dirty: boolean;
}

interface Span extends State {
  readonly firstBlock: number;
  endBlock: number;
}

function badExtents(task: DiskTask, what: string, offsetBytes: number): TransferError {
  return new TransferError(
    'TRANSFER_BAD_EXTENTS',
    `extents of disk ${task.alias} (${task.diskId}): ${what} at ${offsetBytes} B`,
    { details: { diskId: task.diskId, offsetBytes } },
  );
}

function toRun(task: DiskTask, span: Span): PlannedRun {
  const offsetBytes = span.firstBlock * task.blockSizeBytes;
  const endBytes = Math.min(span.endBlock * task.blockSizeBytes, task.virtualSizeBytes);
  return {
    kind: 'planned',
    diskId: task.diskId,
    index: span.firstBlock,
    blockCount: span.endBlock - span.firstBlock,
    offsetBytes,
    lengthBytes: endBytes - offsetBytes,
    zero: span.zero,
    dirty: span.dirty,
  };
}

/** A part that is data makes the whole block data. A dirty part makes the whole block dirty. */
function mergeInto(state: State, extent: State): void {
  state.zero &&= extent.zero;
  state.dirty ||= extent.dirty;
}

/**
 * Turns checked extents into spans of blocks with one state. An extent that starts inside a block
 * first merges into that block; its other blocks follow as a span.
 */
class SpanBuilder {
  readonly #task: DiskTask;
  #open: Span | undefined;

  constructor(task: DiskTask) {
    this.#task = task;
  }

  /**
   * Adds the next extent; extents come in ascending order without gaps. Yields the spans that can
   * no longer grow.
   */
  *add(extent: Extent): Generator<Span> {
    const { blockSizeBytes } = this.#task;
    const state = { zero: extent.zero, dirty: extent.dirty ?? true };
    const endBytes = extent.offsetBytes + extent.lengthBytes;
    let firstBlock = Math.floor(extent.offsetBytes / blockSizeBytes);
    const endBlock = Math.ceil(endBytes / blockSizeBytes);
    if (extent.offsetBytes % blockSizeBytes !== 0) {
      yield* this.#mergePartial(firstBlock, state);
      firstBlock++;
    }
    if (firstBlock < endBlock) yield* this.#append({ ...state, firstBlock, endBlock });
  }

  /** Yields the last span. Call it after the last extent. */
  *finish(): Generator<Span> {
    if (this.#open) yield this.#open;
    this.#open = undefined;
  }

  /**
   * Merges the extent into the block that it shares with the extent before it: the last block of
   * the open span. When the state differs, that block becomes the open span, and the blocks before
   * it are yielded.
   */
  *#mergePartial(block: number, state: State): Generator<Span> {
    const open = this.#open;
    if (!open || (open.zero === state.zero && open.dirty === state.dirty)) return;
    if (open.firstBlock < block) {
      yield { ...open, endBlock: block };
      this.#open = { zero: open.zero, dirty: open.dirty, firstBlock: block, endBlock: block + 1 };
    }
    if (this.#open) mergeInto(this.#open, state);
  }

  *#append(span: Span): Generator<Span> {
    const open = this.#open;
    if (open && open.zero === span.zero && open.dirty === span.dirty) {
      open.endBlock = span.endBlock;
      return;
    }
    if (open) yield open;
    this.#open = span;
  }
}

/**
 * Plans a disk: yields runs in ascending order that cover every block exactly once.
 *
 * @param extents - ascending, without gap or overlap, covering `[0, virtualSizeBytes)`; this is
 *   checked. An extent without a `dirty` flag counts as dirty (full and compare sessions).
 * @throws {@link TransferError} `TRANSFER_BAD_EXTENTS` on a gap, an overlap or a wrong end.
 */
export async function* planBlocks(
  task: DiskTask,
  extents: AsyncIterable<Extent> | Iterable<Extent>,
): AsyncGenerator<PlannedRun> {
  const spans = new SpanBuilder(task);
  let nextBytes = 0;
  for await (const extent of extents) {
    if (!Number.isSafeInteger(extent.lengthBytes) || extent.lengthBytes <= 0) {
      throw badExtents(task, `wrong length ${extent.lengthBytes} B`, extent.offsetBytes);
    }
    if (extent.offsetBytes !== nextBytes) throw badExtents(task, 'gap or overlap', nextBytes);
    nextBytes += extent.lengthBytes;
    if (nextBytes > task.virtualSizeBytes)
      throw badExtents(task, 'one ends beyond the disk,', nextBytes);
    for (const span of spans.add(extent)) yield toRun(task, span);
  }
  if (nextBytes !== task.virtualSizeBytes)
    throw badExtents(task, 'the last one ends too early,', nextBytes);
  for (const span of spans.finish()) yield toRun(task, span);
}

/**
 * Bytes of the blocks that a plan reads: those that are neither clean nor zero.
 *
 * @throws as {@link planBlocks}
 */
export async function dataBytesOf(
  task: DiskTask,
  extents: AsyncIterable<Extent> | Iterable<Extent>,
): Promise<number> {
  let dataBytes = 0;
  for await (const run of planBlocks(task, extents)) {
    if (run.dirty && !run.zero) dataBytes += run.lengthBytes;
  }
  return dataBytes;
}
