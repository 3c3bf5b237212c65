/** Report of a run that has none of its own: it was stopped, or it ended with an error. */
import type { BackupError } from '../../core/errors.ts';
import type { JobConfig } from '../jobFile.ts';
import type { JobState, OpenRun } from '../jobState.ts';
import type { RunReport, VmResult } from '../runReport.ts';

/** VMs of the run before that have no point of this run. */
function vmsLeft(state: JobState, openRun: OpenRun): VmResult[] {
  const done = new Set(openRun.doneVms);
  return state.vms
    .filter(({ vmId, vmName }) => !done.has(vmId) && !done.has(vmName))
    .map(({ vmId, vmName }) => ({ vmName, vmId, outcome: 'notStarted', attempts: 0 }));
}

/** @param state - of the job, for the VMs that were not done. */
export function brokenRun(
  job: JobConfig,
  state: JobState,
  openRun: OpenRun,
  { code, message, hint }: Pick<BackupError, 'code' | 'message' | 'hint'>,
  nowMs: number,
  trigger: RunReport['trigger'],
): RunReport {
  const { runId, slot, startedAt } = openRun;
  return {
    type: 'run',
    runId,
    jobName: job.name,
    repository: job.repository.place,
    trigger,
    slot,
    startedAt,
    durationSeconds: Math.max(0, (nowMs - Date.parse(startedAt)) / 1000),
    outcome: 'failure',
    vms: vmsLeft(state, openRun),
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [{ step: 'plan', code, message, hint }],
    messages: [],
  };
}
