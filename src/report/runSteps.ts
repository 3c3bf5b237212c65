/** What a run did after and around the backups, and what changed since the run before. */
import type { FailedStep, HookResult, RunReport, VerifySummary } from '../jobs/runReport.ts';
import type { CopyReport } from '../sessions/copy/copyReport.ts';
import type { PruneReport } from '../sessions/retention/pruneReport.ts';
import { bytesText, counted, type Problem, secondsText, sumOf, timeText } from './words.ts';

export interface StepFacts {
  readonly name: string;
  readonly outcome: 'success' | 'failure';
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

function outcomeOf(isGood: boolean): StepFacts['outcome'] {
  return isGood ? 'success' : 'failure';
}

function hookStep({ when, program, exitCode, durationSeconds, timedOut }: HookResult): StepFacts {
  const end = exitCode === undefined ? 'was not started, or was killed' : `exit code ${exitCode}`;
  const text = `${timedOut ? 'ran too long and was killed' : end}, ${secondsText(durationSeconds)}`;
  const name = `hook ${when}: ${program}`;
  return { name, outcome: outcomeOf(exitCode === 0), text, problems: [] };
}

function pruneStep({ vms, dryRun }: PruneReport): StepFacts {
  const points = vms.flatMap((vm) => vm.points);
  const count = (action: string): number => points.filter((p) => p.action === action).length;
  const problems = vms.flatMap(({ failure, vmName }) =>
    failure ? [problemOf(failure, vmName)] : [],
  );
  const counts = `${counted(count('keep'), 'point')} kept, ${count('delete')} deleted, ${count('merge')} merged`;
  const deleted = bytesText(sumOf(vms, (vm) => vm.deletedBytes));
  const written = bytesText(sumOf(vms, (vm) => vm.writtenBytes));
  const text = `${dryRun ? 'plan only: ' : ''}${counts}; ${deleted} deleted, ${written} written`;
  return { name: 'prune', outcome: outcomeOf(problems.length === 0), text, problems };
}

function verifyStep(verify: VerifySummary): StepFacts {
  const { outcome, damageCount, damagedVms, readBytes, durationSeconds, failures } = verify;
  const work = `${bytesText(readBytes)} read in ${secondsText(durationSeconds)}`;
  const found =
    outcome === 'ok'
      ? 'no damage'
      : `${damageCount} findings of damage in ${damagedVms.join(', ')}`;
  const problems = failures.map((failure) => problemOf(failure, failure.folder));
  const isGood = outcome === 'ok' && failures.length === 0;
  return { name: 'verify', outcome: outcomeOf(isGood), text: `${found}; ${work}`, problems };
}

function copyStep({ to, vms, failures, durationSeconds }: CopyReport): StepFacts {
  const copied = vms.flatMap((vm) => vm.copied);
  const size = bytesText(sumOf(copied, (point) => point.fileBytes));
  const verified = copied.filter((point) => point.isVerified).length;
  const problems = [
    ...failures.map((failure) => problemOf(failure, failure.folder)),
    ...vms.flatMap((vm) =>
      vm.failed.map((point) => problemOf(point, `${vm.vmName}, point ${point.number}`)),
    ),
  ];
  const work = `${counted(copied.length, 'point')} (${size}) copied to ${to}`;
  const text = `${work}, ${verified} read again; ${secondsText(durationSeconds)}`;
  return { name: 'copy', outcome: outcomeOf(problems.length === 0), text, problems };
}

function failedStep({ step, code, message, hint }: FailedStep): StepFacts {
  return { name: step, outcome: 'failure', text: message, problems: [{ code, text: '', hint }] };
}

/** In the order in which they happened. A step that failed as a whole comes first. */
export function stepsOf(report: RunReport): StepFacts[] {
  const { hooks, failedSteps, prune, verify, copy } = report;
  return [
    ...failedSteps.map(failedStep),
    ...hooks.filter(({ when }) => when === 'before').map(hookStep),
    ...(prune ? [pruneStep(prune)] : []),
    ...(verify ? [verifyStep(verify)] : []),
    ...(copy ? [copyStep(copy)] : []),
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
