/** A backup of several VMs without a job, in the form of a run, so that it has the same page. */
import type { RunReport, VmResult } from '../jobs/runReport.ts';
import type { JobReport } from '../sessions/backup/backupVms.ts';
import type { SessionReport } from '../sessions/shared/report.ts';
import { worstMessage } from './runFacts.ts';

function resultOf(report: SessionReport): VmResult {
  const { vmName, vmId, messages } = report;
  const outcome = worstMessage(messages) ? 'warning' : 'success';
  return { vmName, vmId, outcome, attempts: 1, report };
}

/** @param repository - path or URL. */
export function runOfBackup(
  { sessions, failures }: JobReport,
  repository: string,
  startedAt: Date,
  endedAt: Date,
): RunReport {
  const done = sessions.map(resultOf);
  const failed = failures.map(
    (failure): VmResult => ({
      vmName: failure.vmName,
      vmId: '',
      outcome: 'failure',
      attempts: 1,
      failure,
    }),
  );
  const isWarned = done.some(({ outcome }) => outcome === 'warning');
  return {
    type: 'run',
    runId: '',
    jobName: '',
    repository,
    trigger: 'command',
    startedAt: startedAt.toISOString(),
    durationSeconds: (endedAt.getTime() - startedAt.getTime()) / 1000,
    outcome: failed.length > 0 ? 'failure' : isWarned ? 'warning' : 'success',
    vms: [...done, ...failed],
    vanishedVms: [],
    newVms: [],
    missedSlots: [],
    hooks: [],
    failedSteps: [],
    messages: [],
  };
}
