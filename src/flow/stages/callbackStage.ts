/** A stage from a function of the user, which may wait. */
import { createStageStats } from '../../core/stats.ts';
import type { Stage } from '../connect.ts';
import { OrderedStage } from '../orderedStage.ts';
import { releaseSlot, slotOf } from '../records.ts';

/**
 * Wraps a function as a stage. Records come one at a time, in order.
 *
 * Ownership: the slot of a record is released when `work` returns undefined or a record without
 * that slot, and when `work` fails. `work` itself releases nothing.
 *
 * @param work - returns the record that goes on, or undefined to drop the record. Its `signal` is
 *   aborted when the chain ends early. The chain rejects only after `work` has ended, so a wait in
 *   it has to honour `signal`.
 */
export function callbackStage<In extends object, Out extends object>(
  work: (record: In, signal: AbortSignal) => Promise<Out | undefined> | Out | undefined,
): Stage<In, Out> {
  return new OrderedStage<In, Out>({
    concurrency: 1,
    stats: createStageStats(),
    run: async (record, signal) => {
      let next: Out | undefined;
      try {
        next = await work(record, signal);
        return next ? [next] : [];
      } finally {
        if (!next || slotOf(next) !== slotOf(record)) releaseSlot(record);
      }
    },
  });
}
