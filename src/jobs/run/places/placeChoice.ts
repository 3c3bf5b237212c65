/** Which of the VMs that wait gets the next place of an engine, within all limits. */
import type { GatedSession, PlacedSessions } from './placedSessions.ts';
import type { WaitingSessions } from './waitingSessions.ts';

/** The VMs of one run that wait, with what decides between runs. */
export interface Line<Session extends GatedSession> {
  /** 1 is the highest. */
  readonly priority: number;
  /** Sessions of the line at once. */
  readonly parallelVms: number;
  readonly waiting: WaitingSessions<Session>;
  /** Sessions of the line that have a place. */
  readonly active: number;
  /** Since when the line has waited for its next place. */
  readonly sinceMs: number;
}

/** A line rises by one step of its priority for each such time without a place. */
export const PRIORITY_STEP_MS = 600_000;

type Rank = Pick<Line<GatedSession>, 'priority' | 'sinceMs'>;

function rankOf({ priority, sinceMs }: Rank, nowMs: number): number {
  return priority - Math.floor(Math.max(0, nowMs - sinceMs) / PRIORITY_STEP_MS);
}

/**
 * The line and the VM that get the next place: the best priority first, then the line with the
 * fewest sessions, then the one that has waited longest. A line whose VMs all have to wait for
 * their limits lets others pass. The rank has no lower bound, so no line waits for ever.
 */
export function choosePlace<Session extends GatedSession, Own extends Line<Session>>(
  lines: readonly Own[],
  placed: PlacedSessions,
  nowMs: number,
): { readonly line: Own; readonly session: Session } | undefined {
  const ranked = lines.toSorted(
    (a, b) => rankOf(a, nowMs) - rankOf(b, nowMs) || a.active - b.active || a.sinceMs - b.sinceMs,
  );
  for (const line of ranked) {
    const session = line.active < line.parallelVms ? line.waiting.first(placed) : undefined;
    if (session) return { line, session };
  }
  return undefined;
}
