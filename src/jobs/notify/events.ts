/** Which event a run is to a receiver. */
import type { NotifyEvent } from '../jobFile.ts';
import type { JobState } from '../jobState.ts';
import type { RunOutcome, RunReport } from '../runReport.ts';

/** Events of a run, the one that tells most first. */
function eventsOf(outcome: RunOutcome, isRecovered: boolean): readonly NotifyEvent[] {
  if (!isRecovered) return [outcome];
  return outcome === 'warning' ? ['warning', 'recovered'] : ['recovered', outcome];
}

/**
 * The event of a run that a receiver is told; undefined when it wants none of them. A run without
 * failure is `recovered` when the run before failed. To those who want warnings, a run with a
 * warning stays a warning. A run of some VMs is only a failure or a warning: the others may be bad.
 *
 * @param wanted - events that the receiver wants.
 * @param previous - what the job remembered before this run.
 */
export function runEvent(
  wanted: readonly NotifyEvent[],
  { outcome, isPartial }: Pick<RunReport, 'outcome' | 'isPartial'>,
  previous: JobState | undefined,
): NotifyEvent | undefined {
  if (isPartial && outcome === 'success') return undefined;
  const isRecovered =
    !isPartial && outcome !== 'failure' && previous?.lastRun?.outcome === 'failure';
  return eventsOf(outcome, isRecovered).find((event) => wanted.includes(event));
}
