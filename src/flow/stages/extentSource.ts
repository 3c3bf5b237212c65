/**
 * First stage: asks a device for its extents and emits the plan of one disk. No bytes of the disk
 * are read here.
 */
import { Readable } from 'node:stream';
import { clockOf, type StageStats } from '../../core/stats.ts';
import { planBlocks } from '../blockPlan.ts';
import type { BlockDevice, DiskTask, Extent, PlannedRun } from '../records.ts';
import type { Source } from '../connect.ts';

/** Options of {@link createExtentSource}. */
export interface ExtentSourceOptions {
  readonly task: DiskTask;
  readonly device: BlockDevice;
  readonly stats: StageStats;
}

/** Counts the extents and the time that the device takes to list them. */
async function* timed(
  extents: AsyncIterable<Extent> | Iterable<Extent>,
  stats: StageStats,
): AsyncGenerator<Extent> {
  const clock = clockOf(stats);
  let startedAtMs: number | undefined = clock.start();
  try {
    for await (const extent of extents) {
      clock.stop(startedAtMs);
      startedAtMs = undefined;
      stats.blocks++;
      stats.bytes += extent.lengthBytes;
      yield extent;
      startedAtMs = clock.start();
    }
  } finally {
    if (startedAtMs !== undefined) clock.stop(startedAtMs);
  }
}

/**
 * Source of {@link PlannedRun}. It asks for zero extents in full and compare mode, and for dirty
 * extents in incremental mode.
 *
 * Errors of the stream: `TRANSFER_BAD_EXTENTS`, and the errors of the device.
 */
export function createExtentSource(options: ExtentSourceOptions): Source<PlannedRun> {
  const { task, device, stats } = options;
  const stop = new AbortController();
  const context = task.mode === 'incremental' ? 'dirty' : 'zero';
  async function* plan(): AsyncGenerator<PlannedRun> {
    yield* planBlocks(task, timed(device.extents(context, stop.signal), stats));
  }
  const source = Readable.from(plan(), { objectMode: true, highWaterMark: 1 });
  // The generator cannot end while it waits for the device, so closing the source aborts that
  // first.
  const destroyReadable = source._destroy.bind(source);
  source._destroy = (error, done): void => {
    stop.abort(error ?? new Error('the source was closed'));
    destroyReadable(error, done);
  };
  return source;
}
