/**
 * How long the clients wait, poll and retry: one table, so that tests can shrink it.
 *
 * @see oVirt SDK examples and defaults of the engine
 */

export interface OvirtTimings {
  /** First pause between polls of the engine. It looks at its own tasks once a second at most. */
  readonly pollMinMs: number;
  /** Longest pause between polls of the engine. */
  readonly pollMaxMs: number;
  readonly connectMs: number;
  /** Wait for the head of an answer of the engine. */
  readonly restReadMs: number;
  /** As `restReadMs`, for calls that work before they answer: new backups, transfers and VMs. */
  readonly restSlowReadMs: number;
  /** Reads are repeated this long while the engine is away; a login a tenth of it. */
  readonly getRetryWindowMs: number;
  /** First pause between these tries. */
  readonly getRetryMinMs: number;
  /** Longest pause between these tries. */
  readonly getRetryMaxMs: number;
  /** The start of a backup is repeated this long while the VM or a disk is busy. */
  readonly startRetryWindowMs: number;
  /** Pause between two starts of a backup. */
  readonly startRetryEveryMs: number;
  /** Wait until a backup is ready. */
  readonly backupReadyMs: number;
  /** Wait until a transfer can be created, until it is ready, or until its loss is noticed. */
  readonly transferReadyMs: number;
  /** Wait until a transfer has ended. Requests to finalize a backup may fail this long too. */
  readonly transferDoneMs: number;
  /** A backup that is finalizing for longer gives a warning (XFER-304). */
  readonly backupDoneWarnMs: number;
  /** Wait until a backup has ended. A snapshot merge may take hours. */
  readonly backupDoneMs: number;
  readonly diskReadyMs: number;
  readonly checkpointRemovedMs: number;
  /** How long to search for what a request without an answer may have created. */
  readonly lostAnswerMs: number;
  /** A snapshot that outlives its backup for longer is left over. */
  readonly snapshotGoneMs: number;
  /** Wait for the head of an answer of imageio, and for each piece of its body. */
  readonly imageioReadMs: number;
  /** Wait for the answer to a zero request or a flush. */
  readonly imageioZeroMs: number;
  /** Wait for a list of extents or a checksum. The server has them whole before it answers. */
  readonly imageioExtentsMs: number;
  /** Longest idle time of a ticket. One that is idle for half of it is pinged. */
  readonly pingEveryMs: number;
  /** Pause between requests for an open transfer, which keep the REST session alive. */
  readonly watchEveryMs: number;
  /** Time for the clean-up after a failure or a cancel. */
  readonly cleanupMs: number;
  /** First pause between tries of a data request. Each further one is twice as long. */
  readonly blockRetryMs: number;
}

const SECOND = 1000;
const MINUTE: number = 60 * SECOND;
const HOUR: number = 60 * MINUTE;

export const DEFAULT_TIMINGS: OvirtTimings = {
  pollMinMs: SECOND,
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

/** All times multiplied by `factor`, at least 1 ms. For tests: the lab scales its times too. */
export function scaleTimings(factor: number): OvirtTimings {
  const scaled = Object.entries(DEFAULT_TIMINGS).map(([name, ms]: [string, number]) => [
    name,
    Math.max(1, Math.round(ms * factor)),
  ]);
  return Object.fromEntries(scaled) as OvirtTimings;
}
