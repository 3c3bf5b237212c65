/** Report of a run of a job. The repository keeps it, and mails, pages and metrics show it. */
import type { SessionMessage } from '../core/messages.ts';
import type { FailedSession } from '../sessions/backup/vmRunner.ts';
import type { CopyReport } from '../sessions/copy/copyReport.ts';
import type { FolderFailure } from '../sessions/shared/folderFailures.ts';
import type { PruneReport } from '../sessions/retention/pruneReport.ts';
import type { SessionReport } from '../sessions/shared/report.ts';

/** `warning`: done, with a message of level `warn` or `error`. */
export type RunOutcome = 'success' | 'warning' | 'failure';

/** Result of a VM in a run: of its last session, when it was tried again. */
export interface VmResult {
  readonly vmName: string;
  /** Empty when the VM was not found. */
  readonly vmId: string;
  /** `notStarted`: the window or the run ended before. */
  readonly outcome: RunOutcome | 'notStarted';
  /** Sessions of this VM in this run. */
  readonly attempts: number;
  readonly report?: SessionReport | undefined;
  readonly failure?: FailedSession | undefined;
}

/** A step after the backups that failed as a whole. The run is a failure then. */
export interface FailedStep {
  readonly step: 'plan' | 'prune' | 'verify' | 'copy' | 'hook';
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface HookResult {
  readonly when: 'before' | 'after';
  /** The program, without its arguments: they may hold secrets. */
  readonly program: string;
  /** Undefined when it was killed, or could not be started. */
  readonly exitCode: number | undefined;
  readonly durationSeconds: number;
  readonly timedOut: boolean;
}

export interface VerifySummary {
  readonly outcome: 'ok' | 'damaged';
  readonly damageCount: number;
  readonly damagedVms: readonly string[];
  readonly readBytes: number;
  readonly durationSeconds: number;
  readonly failures: readonly FolderFailure[];
  /** Absent in reports of older versions. */
  readonly messages?: readonly SessionMessage[] | undefined;
}

export interface RunReport {
  readonly type: 'run';
  readonly runId: string;
  readonly jobName: string;
  readonly repository: string;
  /** `schedule`: the daemon started it at its time. `console`: the daemon, when a user said so. */
  readonly trigger: 'command' | 'schedule' | 'console';
  /** Some VMs of the job were named by hand (`--only`). It says nothing about the whole job. */
  readonly isPartial?: boolean | undefined;
  /** Time of the schedule that this run is for, ISO 8601; absent for other runs. */
  readonly slot?: string | undefined;
  readonly startedAt: string;
  readonly durationSeconds: number;
  /** `failure`: a VM, a step or a hook failed, or a VM was not started. */
  readonly outcome: RunOutcome;
  /** Sorted by name. */
  readonly vms: readonly VmResult[];
  /** VMs of earlier runs that the selection does not give any more. */
  readonly vanishedVms: readonly string[];
  /** VMs that no earlier run of this job has had. Empty in the first run. */
  readonly newVms: readonly string[];
  /** Times of the schedule that no run was started for, since the run before. ISO 8601. */
  readonly missedSlots: readonly string[];
  readonly hooks: readonly HookResult[];
  readonly failedSteps: readonly FailedStep[];
  readonly prune?: PruneReport | undefined;
  readonly verify?: VerifySummary | undefined;
  readonly copy?: CopyReport | undefined;
  /** Messages of the run. Those of sessions are in their reports. */
  readonly messages: readonly SessionMessage[];
}

/** Messages of prune, verify and copy. */
export function stepMessages({
  prune,
  verify,
  copy,
}: Pick<RunReport, 'prune' | 'verify' | 'copy'>): SessionMessage[] {
  const ofVms = [...(prune?.vms ?? []), ...(copy?.vms ?? [])].flatMap((vm) => vm.messages);
  return [...ofVms, ...(verify?.messages ?? [])];
}
