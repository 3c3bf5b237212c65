/**
 * Delays of the simulated engine in seconds of a real one. The scheduler scales them.
 * Source: oVirt contract (timers of a real engine); each value lies within the range seen on real
 * engines.
 */

/** Preparation of a legacy backup: scratch disks, bitmaps. */
export const BACKUP_INITIALIZING_SECONDS = 1;
/** From `starting` to the frozen moment (snapshot or pull backup made by the host). */
export const BACKUP_FREEZE_SECONDS = 2;
/** From the frozen moment to `ready`. */
export const BACKUP_READY_SECONDS = 2;
/**
 * Time that a hybrid backup stays `ready` after an accepted finalize, until the next poll of its
 * command.
 */
export const HYBRID_STOP_LAG_SECONDS = 5;
/** Merge of the automatic snapshot. */
export const SNAPSHOT_MERGE_SECONDS = 8;
/** Tear-down of a legacy backup. */
export const BACKUP_FINALIZE_SECONDS = 2;
/** Time until a stopped backup that hangs in `starting` fails. */
export const BACKUP_ABORT_SECONDS = 5;

export const TRANSFER_READY_SECONDS = 1;
export const TRANSFER_TEARDOWN_SECONDS = 1;
/** Interval between polls of a transfer. It doubles from the minimum to the maximum. */
export const TRANSFER_POLL_MIN_SECONDS = 1;
export const TRANSFER_POLL_MAX_SECONDS = 10;
/** Default of `inactivity_timeout`. */
export const TRANSFER_INACTIVITY_SECONDS = 60;

/** Time that finished backups and transfers stay visible. */
export const RETENTION_SUCCESS_SECONDS: number = 15 * 60;
export const RETENTION_FAILURE_SECONDS: number = 30 * 60;

export const SESSION_IDLE_SECONDS: number = 30 * 60;

export const DISK_CREATE_SECONDS = 2;
export const DISK_REMOVE_SECONDS = 1;
export const DISK_CONVERT_SECONDS = 5;
export const SNAPSHOT_CREATE_SECONDS = 2;
export const CHECKPOINT_REMOVE_SECONDS = 1;
