/** Where the sessions of a run are done: in this process, or by workers of a fleet. */
import type { SessionMessage } from '../../core/messages.ts';
import type { VmRunner, VmRunnerParts, VmSessionOptions } from '../../sessions/backup/vmRunner.ts';
import { createVmRunner } from '../../sessions/backup/vmRunner.ts';
import { type JobConfig, LOCAL_SESSIONS } from '../jobFile.ts';

export interface RunnerRequest {
  readonly job: JobConfig;
  readonly runId: string;
  /** Stay the caller's, who closes them after the last session. */
  readonly parts: VmRunnerParts;
  readonly sessions: VmSessionOptions;
  /** Gets what belongs to the run, and to no session of it. */
  readonly note: (message: SessionMessage) => void;
}

/** Runs the sessions of one run. */
export interface JobRunner extends VmRunner, AsyncDisposable {
  /** Sessions that it can do at once. @defaultValue as many as the job allows */
  readonly mostSessions?: number | undefined;
}

/** Opens what runs the sessions of one run. The caller disposes it after the last session. */
export type OpenRunner = (request: RunnerRequest) => Promise<JobRunner>;

/** Sessions in this process. */
export const openLocalRunner: OpenRunner = async ({ parts, sessions }) => ({
  ...createVmRunner(parts, sessions),
  mostSessions: LOCAL_SESSIONS,
  [Symbol.asyncDispose]: async () => {},
});
