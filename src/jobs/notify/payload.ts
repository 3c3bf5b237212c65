/** The JSON document that webhooks and commands get. docs/monitoring.md describes it. */
import type { NotifyEvent } from '../jobFile.ts';
import {
  type FailedStep,
  type RunOutcome,
  type RunReport,
  stepMessages,
  type VmResult,
} from '../runReport.ts';

export interface NotifyPayload {
  readonly version: 1;
  /** The same in each try of a delivery, and at all receivers. */
  readonly id: string;
  readonly event: NotifyEvent | 'test';
  readonly job: string;
  /** Name of the machine that tells it. */
  readonly host: string;
  /** ISO 8601, as all times here. */
  readonly time: string;
  /** All in one line. */
  readonly text: string;
  readonly run?: RunPayload;
  /** Times of the schedule for which no run was started. */
  readonly missedSlots?: readonly string[];
}

export interface RunPayload {
  readonly runId: string;
  readonly outcome: RunOutcome;
  readonly repository: string;
  readonly startedAt: string;
  readonly durationSeconds: number;
  readonly vms: readonly VmPayload[];
  readonly failedSteps: readonly StepPayload[];
  readonly damagedVms: readonly string[];
  readonly vanishedVms: readonly string[];
  readonly newVms: readonly string[];
  /** Messages of the run, its sessions and its steps, of level `warn` and `error`. */
  readonly messageCount: number;
}

export interface ProblemPayload {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

export interface StepPayload extends ProblemPayload {
  readonly step: FailedStep['step'];
}

export interface VmPayload {
  readonly name: string;
  readonly id: string;
  readonly outcome: VmResult['outcome'];
  readonly attempts: number;
  readonly readBytes: number;
  readonly storedBytes: number;
  readonly failure?: ProblemPayload;
}

function problemOf({ code, message, hint }: ProblemPayload): ProblemPayload {
  return { code, message, hint };
}

function vmPayload({ vmName, vmId, outcome, attempts, report, failure }: VmResult): VmPayload {
  const disks = report?.disks ?? [];
  return {
    name: vmName,
    id: vmId,
    outcome,
    attempts,
    readBytes: disks.reduce((sum, disk) => sum + disk.readBytes, 0),
    storedBytes: disks.reduce((sum, disk) => sum + disk.storedBytes, 0),
    ...(failure ? { failure: problemOf(failure) } : {}),
  };
}

export function runPayload(report: RunReport): RunPayload {
  const ofSessions = report.vms.flatMap((vm) => vm.report?.messages ?? []);
  const messages = [...report.messages, ...ofSessions, ...stepMessages(report)];
  return {
    runId: report.runId,
    outcome: report.outcome,
    repository: report.repository,
    startedAt: report.startedAt,
    durationSeconds: report.durationSeconds,
    vms: report.vms.map(vmPayload),
    failedSteps: report.failedSteps.map((one) => ({ step: one.step, ...problemOf(one) })),
    damagedVms: report.verify?.damagedVms ?? [],
    vanishedVms: report.vanishedVms,
    newVms: report.newVms,
    messageCount: messages.filter(({ level }) => level !== 'info').length,
  };
}
