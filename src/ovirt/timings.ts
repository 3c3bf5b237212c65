/** How long the clients wait, poll and retry: one table, so that tests can shrink it. Contract: oVirt SDK examples, engine defaults. */

export interface OvirtTimings {
  /** Polls of engine entities begin at this pause and slow down to `pollMaxMs`. */
  readonly pollMinMs: number;
  readonly pollMaxMs: number;
  readonly connectMs: number;
  /** Until the head of an engine answer. */
  readonly restReadMs: number;
  /** As `restReadMs`, for calls that work inside the request: start of a backup, import of a VM. */
  readonly restSlowReadMs: number;
  /** GETs are repeated this long while the engine is away. */
  readonly getRetryWindowMs: number;
  readonly getRetryMinMs: number;
  readonly getRetryMaxMs: number;
  /** A busy VM or disk is tried again this long … */
  readonly startRetryWindowMs: number;
  /** … at this pace. */
  readonly startRetryEveryMs: number;
  readonly backupReadyMs: number;
  readonly transferReadyMs: number;
  readonly transferDoneMs: number;
  /** After this time of finalizing a warning is given (XFER-304) … */
  readonly backupDoneWarnMs: number;
  /** … and after this time waiting ends. A snapshot merge may take hours. */
  readonly backupDoneMs: number;
  readonly diskReadyMs: number;
  readonly checkpointRemovedMs: number;
  /** How long something that a lost request may have made is looked for. */
  readonly lostAnswerMs: number;
  /** How long a snapshot may outlive its backup before it counts as left over. */
  readonly snapshotGoneMs: number;
  /** Until the head of an imageio answer, and between pieces of its body. */
  readonly imageioReadMs: number;
  readonly imageioZeroMs: number;
  /** A list of extents is collected before its first byte is sent. */
  readonly imageioExtentsMs: number;
  /** Ping a transfer when no data request finished for this long. */
  readonly pingEveryMs: number;
  /** Look at the transfer in the engine, which also keeps the REST session alive. */
  readonly watchEveryMs: number;
  /** Clean-up after a failure or a cancel runs on this clock of its own. */
  readonly cleanupMs: number;
  /** First pause between tries of a data request. */
  readonly blockRetryMs: number;
}

const SECOND = 1000;
const MINUTE: number = 60 * SECOND;
const HOUR: number = 60 * MINUTE;

export const DEFAULT_TIMINGS: OvirtTimings = {
  pollMinMs: 250,
  pollMaxMs: 5 * SECOND,
  connectMs: 10 * SECOND,
  restReadMs: MINUTE,
  restSlowReadMs: 5 * MINUTE,
  getRetryWindowMs: 5 * MINUTE,
  getRetryMinMs: SECOND,
  getRetryMaxMs: 15 * SECOND,
  startRetryWindowMs: 15 * MINUTE,
  startRetryEveryMs: 30 * SECOND,
  backupReadyMs: 15 * MINUTE,
  transferReadyMs: 2 * MINUTE,
  transferDoneMs: 15 * MINUTE,
  backupDoneWarnMs: 10 * MINUTE,
  backupDoneMs: 6 * HOUR,
  diskReadyMs: 5 * MINUTE,
  checkpointRemovedMs: 2 * MINUTE,
  lostAnswerMs: 20 * SECOND,
  snapshotGoneMs: 30 * SECOND,
  imageioReadMs: MINUTE,
  imageioZeroMs: 2 * MINUTE,
  imageioExtentsMs: 30 * MINUTE,
  pingEveryMs: 20 * SECOND,
  watchEveryMs: 15 * SECOND,
  cleanupMs: MINUTE,
  blockRetryMs: 200,
};

/** All times multiplied by `factor`; for tests against the lab, which scales the engine's times. */
export function scaleTimings(factor: number): OvirtTimings {
  const scaled = Object.entries(DEFAULT_TIMINGS).map(([name, ms]: [string, number]) => [
    name,
    Math.max(1, Math.round(ms * factor)),
  ]);
  return Object.fromEntries(scaled) as OvirtTimings;
}
