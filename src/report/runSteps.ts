/** What a run did after and around the backups, and what changed since the run before. */
import type { SessionMessage } from '../core/messages.ts';
import type {
  FailedStep,
  HookResult,
  RunOutcome,
  RunReport,
  VerifySummary,
} from '../jobs/runReport.ts';
import type { CopyReport } from '../sessions/copy/copyReport.ts';
import type { PruneReport } from '../sessions/retention/pruneReport.ts';
import { messageProblems } from './runFacts.ts';
import { bytesText, counted, type Problem, secondsText, sumOf, timeText } from './words.ts';

export interface StepFacts {
  readonly name: string;
  /** `warning`: done, with messages of level `warn` or `error`. */
  readonly outcome: RunOutcome;
  readonly text: string;
  readonly problems: readonly Problem[];
}

/** Something that changed, which is no result of a step. */
export interface Notice {
  readonly title: string;
  readonly items: readonly string[];
}

type Changes = Pick<RunReport, 'missedSlots' | 'vanishedVms' | 'newVms'>;

interface Failed {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

function problemOf(failed: Failed, where: string): Problem {
  return { code: failed.code, text: `${where}: ${failed.message}`, hint: failed.hint };
}

/** A step that was done. `failures` and `warnings` are its problems. */
function doneStep(
  name: string,
  text: string,
  failures: readonly Problem[],
  warnings: readonly Problem[],
  hasFailed: boolean = failures.length > 0,
): StepFacts {
  const outcome = hasFailed ? 'failure' : warnings.length > 0 ? 'warning' : 'success';
  return { name, outcome, text, problems: [...failures, ...warnings] };
}

/** Messages of several VMs, each with the name of its VM. */
function vmWarnings(
  vms: readonly { readonly vmName: string; readonly messages: readonly SessionMessage[] }[],
): Problem[] {
  const named = vms.flatMap(({ vmName, messages }) =>
    messages.map((message) => ({ ...message, text: `${vmName}: ${message.text}` })),
  );
  return messageProblems(named);
}

function hookStep({ when, program, exitCode, durationSeconds, timedOut }: HookResult): StepFacts {
  const end = exitCode === undefined ? 'was not started, or was killed' : `exit code ${exitCode}`;
  const text = `${timedOut ? 'ran too long and was killed' : end}, ${secondsText(durationSeconds)}`;
  const name = `hook ${when}: ${program}`;
  return doneStep(name, text, [], [], exitCode !== 0);
}

function pruneStep({ vms, dryRun }: PruneReport): StepFacts {
  const points = vms.flatMap((vm) => vm.points);
  const count = (action: string): number => points.filter((p) => p.action === action).length;
  const failures = vms.flatMap(({ failure, vmName }) =>
    failure ? [problemOf(failure, vmName)] : [],
  );
  const counts = `${counted(count('keep'), 'point')} kept, ${count('delete')} deleted, ${count('merge')} merged`;
  const deleted = bytesText(sumOf(vms, (vm) => vm.deletedBytes));
  const written = bytesText(sumOf(vms, (vm) => vm.writtenBytes));
  const text = `${dryRun ? 'plan only: ' : ''}${counts}; ${deleted} deleted, ${written} written`;
  return doneStep('prune', text, failures, vmWarnings(vms));
}

function verifyStep(verify: VerifySummary): StepFacts {
  const { outcome, damageCount, damagedVms, readBytes, durationSeconds } = verify;
  const work = `${bytesText(readBytes)} read in ${secondsText(durationSeconds)}`;
  const found =
    outcome === 'ok'
      ? 'no damage'
      : `${damageCount} findings of damage in ${damagedVms.join(', ')}`;
  const failures = verify.failures.map((failure) => problemOf(failure, failure.folder));
  const hasFailed = outcome === 'damaged' || failures.length > 0;
  const warnings = messageProblems(verify.messages ?? []);
  return doneStep('verify', `${found}; ${work}`, failures, warnings, hasFailed);
}

function copyStep({ to, vms, durationSeconds, ...report }: CopyReport): StepFacts {
  const copied = vms.flatMap((vm) => vm.copied);
  const size = bytesText(sumOf(copied, (point) => point.fileBytes));
  const verified = copied.filter((point) => point.isVerified).length;
  const failures = [
    ...report.failures.map((failure) => problemOf(failure, failure.folder)),
    ...vms.flatMap((vm) =>
      vm.failed.map((point) => problemOf(point, `${vm.vmName}, point ${point.number}`)),
    ),
  ];
  const work = `${counted(copied.length, 'point')} (${size}) copied to ${to}`;
  const text = `${work}, ${verified} read again; ${secondsText(durationSeconds)}`;
  return doneStep('copy', text, failures, vmWarnings(vms));
}

function failedStep({ step, code, message, hint }: FailedStep): StepFacts {
  return { name: step, outcome: 'failure', text: message, problems: [{ code, text: '', hint }] };
}

/** Prune, verify and copy, as far as they were done. */
export function workStepsOf({ prune, verify, copy }: RunReport): StepFacts[] {
  return [
    ...(prune ? [pruneStep(prune)] : []),
    ...(verify ? [verifyStep(verify)] : []),
    ...(copy ? [copyStep(copy)] : []),
  ];
}

/** In the order in which they happened. A step that failed as a whole comes first. */
export function stepsOf(report: RunReport): StepFacts[] {
  const { hooks, failedSteps } = report;
  return [
    ...failedSteps.map(failedStep),
    ...hooks.filter(({ when }) => when === 'before').map(hookStep),
    ...workStepsOf(report),
    ...hooks.filter(({ when }) => when === 'after').map(hookStep),
  ];
}

/** Missed times, VMs that are gone, and VMs that are new. Empty lists are left out. */
export function noticesOf({ missedSlots, vanishedVms, newVms }: Changes): Notice[] {
  const notices: Notice[] = [
    { title: 'Missed times of the schedule', items: missedSlots.map(timeText) },
    { title: 'VMs no longer selected', items: vanishedVms },
    { title: 'New VMs', items: newVms },
  ];
  return notices.filter(({ items }) => items.length > 0);
}
