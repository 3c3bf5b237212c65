/**
 * What a job remembers between its runs, in a file of the state folder. Notifications, metrics and
 * the schedule need it. The past itself is in the repository.
 */
import type { RunOutcome } from './runReport.ts';

/** A VM of a job, after its last run. Times are ISO 8601. */
export interface VmState {
  readonly vmName: string;
  readonly vmId: string;
  readonly lastOutcome: RunOutcome | 'notStarted';
  /** End of the last session that committed a point; absent when none has. */
  readonly lastSuccessAt?: string | undefined;
  readonly lastDurationSeconds?: number | undefined;
  readonly lastReadBytes?: number | undefined;
  readonly lastStoredBytes?: number | undefined;
  readonly lastPointType?: 'full' | 'increment' | undefined;
  /** Until then the newest point is locked against deletion. */
  readonly lockedUntil?: string | undefined;
  /** Damage that verify found in its latest point. */
  readonly isDamaged?: boolean | undefined;
}

export interface LastRun {
  readonly runId: string;
  readonly startedAt: string;
  readonly endedAt: string;
  readonly outcome: RunOutcome;
}

/** A run that has started and not ended. */
export interface OpenRun {
  readonly runId: string;
  readonly startedAt: string;
  readonly slot?: string | undefined;
  /** Ids, or names where the id is unknown, of VMs whose sessions have ended with a point. */
  readonly doneVms: readonly string[];
  /** A user stopped it. */
  readonly isStopped?: boolean | undefined;
}

/** The schedule that a daemon watches. Times before `since` are none of its. */
export interface WatchedSchedule {
  /** Cron pattern and time zone. A schedule that was changed is watched from then on. */
  readonly schedule: string;
  readonly since: string;
}

export interface JobState {
  readonly format: 'ovirt-cbt-state/1';
  readonly jobName: string;
  /** Newest time of the schedule that was started or told as missed. */
  readonly lastSlot?: string | undefined;
  /** Absent until a daemon has seen the job. */
  readonly watched?: WatchedSchedule | undefined;
  readonly openRun?: OpenRun | undefined;
  readonly lastRun?: LastRun | undefined;
  /** End of the last run without failure. */
  readonly lastSuccessAt?: string | undefined;
  /** Sum of all missed times of the schedule. */
  readonly missedSlots: number;
  /** Notifications that could not be delivered, as a sum. */
  readonly failedNotifications: number;
  /** Sorted by name. */
  readonly vms: readonly VmState[];
}
