/** Loads items of a sequence before their reader asks for them. */
import { MIB } from '../core/units.ts';

const READ_AHEAD_BLOCKS = 8;
const READ_AHEAD_BYTES = 32 * MIB;

/** Blocks to load ahead, so that memory stays bounded with large blocks too. */
export function readAheadOf(blockSizeBytes: number): number {
  return Math.min(READ_AHEAD_BLOCKS, Math.max(2, Math.floor(READ_AHEAD_BYTES / blockSizeBytes)));
}

/**
 * Loads up to `count` items at the same time and gives the results in order. A failure is thrown
 * when its turn comes. A reader that stops early waits for the loads under way.
 */
export async function* loadAhead<Item, Loaded>(
  source: AsyncIterable<Item>,
  load: (item: Item) => Promise<Loaded>,
  count: number,
): AsyncGenerator<Loaded> {
  const ahead: Promise<Loaded>[] = [];
  try {
    for await (const item of source) {
      const next = load(item);
      // Nobody listens before its turn.
      next.catch(() => {});
      ahead.push(next);
      const first = ahead.length >= count ? ahead.shift() : undefined;
      if (first) yield await first;
    }
    for (let first = ahead.shift(); first; first = ahead.shift()) yield await first;
  } finally {
    await Promise.allSettled(ahead);
  }
}
