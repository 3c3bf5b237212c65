/** What the daemon needs of the rest of the product. Tests give their own parts. */
import type { MessageLevel, SessionMessage } from '../../core/messages.ts';
import type { Clock } from '../clock.ts';
import type { JobConfig, JobFile } from '../jobFile.ts';
import type { OpenRun } from '../jobState.ts';
import type { RunReport } from '../runReport.ts';
import type { StateFolder } from '../state/stateFolder.ts';

export type JobStates = Pick<StateFolder, 'read' | 'readAll' | 'update' | 'lockJob' | 'lockDaemon'>;

export interface JobPlace {
  readonly file: JobFile;
  readonly states: JobStates;
}

export interface RunRequest extends JobPlace {
  readonly job: JobConfig;
  /** Its state was written before. With VMs that are done, the run continues. */
  readonly openRun: OpenRun;
  readonly trigger: 'schedule' | 'console';
  /** Names, ids or patterns: only these VMs of the job. */
  readonly only?: readonly string[] | undefined;
  /** Slots since the run before that no run was started for. */
  readonly missedSlots: readonly Date[];
  /**
   * Aborted when the daemon stops, or when a user stops the run: sessions end in order. A run of
   * the schedule stays open when the daemon stops.
   */
  readonly signal: AbortSignal;
}

/** A run has begun or ended. */
export interface RunEvent {
  readonly type: 'started' | 'ended';
  readonly jobName: string;
  readonly runId: string;
}

export interface DaemonParts {
  readonly clock: Clock;
  /** Reads and checks the job file. */
  readonly load: () => Promise<JobFile>;
  readonly openStates: (file: JobFile) => Promise<JobStates>;
  /** Runs a job. The state that it leaves, its history and its notifications are its own. */
  readonly run: (request: RunRequest) => Promise<RunReport>;
  /** Keeps and tells a report of a run that did not come to its end. */
  readonly conclude: (request: JobPlace & { job: JobConfig }, report: RunReport) => Promise<void>;
  /**
   * Tells the receivers of a job that slots were missed, and writes the metrics.
   *
   * @param isRepeated - the receivers know of this cause already, and are not told again.
   */
  readonly tellMissed: (
    request: JobPlace & { job: JobConfig },
    slots: readonly Date[],
    isRepeated: boolean,
  ) => Promise<void>;
  readonly onRun?: ((event: RunEvent) => void) | undefined;
  /** @param jobName - of the job that the message is about. */
  readonly onMessage: (message: SessionMessage, jobName?: string) => void;
  /** A line for people: a run has begun or ended. */
  readonly onNote: (text: string, level: MessageLevel, fields: object) => void;
}
