/** All durations of a fleet, in milliseconds. */
export interface FleetTimings {
  /** A server that does not answer the first connection for so long is not there. */
  readonly connectMs: number;
  /** A connection that gives no answer for so long is made anew. */
  readonly silentMs: number;
  /** Longest pause between two tries to connect again. */
  readonly reconnectMs: number;
  /** An outage of the server is told after that. */
  readonly outageMs: number;
  /** The planner looks for results, and a worker with a free place looks for sessions. */
  readonly pollMs: number;
  /** A worker renews the leases of its sessions, and asks whether they are to stop. */
  readonly beatMs: number;
  /** A planner, a worker or a session whose lease was not renewed for so long is gone. */
  readonly leaseMs: number;
  /** A session without a lease and without a place in the queue is lost after that. */
  readonly graceMs: number;
  /** The planner tells after that time that there is no worker for a session that waits. */
  readonly noWorkerMs: number;
  /** How long the planner waits for the end of a session that is cancelled. */
  readonly cancelMs: number;
  /** How long a session waits for the lock of its chain. */
  readonly lockPatienceMs: number;
  /** A worker that could not begin a session takes none for so long. */
  readonly differsPauseMs: number;
  /** The same when the engine refused its login: engines lock accounts. */
  readonly loginPauseMs: number;
  /** A process for sessions that has none for so long ends. */
  readonly idleMs: number;
  /** A worker that stops waits so long for a server that does not answer. */
  readonly deliverMs: number;
  /** A worker tries for so long to deliver a result that the server refuses. */
  readonly refusedMs: number;
  /** Pause between two deliveries of the events of a session. */
  readonly feedMs: number;
  /** How long the keys of a session are kept on the server after their last change. */
  readonly keepMs: number;
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;

export const FLEET_TIMINGS: FleetTimings = {
  connectMs: 10 * SECOND_MS,
  silentMs: MINUTE_MS,
  reconnectMs: 2 * SECOND_MS,
  outageMs: 15 * SECOND_MS,
  pollMs: SECOND_MS,
  beatMs: 2 * SECOND_MS,
  leaseMs: MINUTE_MS,
  graceMs: 30 * SECOND_MS,
  noWorkerMs: MINUTE_MS,
  cancelMs: 5 * MINUTE_MS,
  lockPatienceMs: 5 * MINUTE_MS,
  differsPauseMs: 30 * SECOND_MS,
  loginPauseMs: 60 * MINUTE_MS,
  idleMs: MINUTE_MS,
  deliverMs: 30 * SECOND_MS,
  refusedMs: 10 * MINUTE_MS,
  feedMs: SECOND_MS / 2,
  keepMs: 3 * 24 * 60 * MINUTE_MS,
};
