/** What a run report tells about each VM, in the order in which people should read it. */
import { compareNames } from '../core/namePattern.ts';
import type { MessageLevel, SessionMessage } from '../core/messages.ts';
import type { VmState } from '../jobs/jobState.ts';
import type { RunReport, VmResult } from '../jobs/runReport.ts';
import { vmFinder } from '../jobs/vmFinder.ts';
import type { SessionReport } from '../sessions/shared/report.ts';
import {
  ageText,
  counted,
  isoText,
  type Outcome,
  OUTCOME_WORDS,
  type Problem,
  sumOf,
  timeText,
} from './words.ts';

/** Last good point of a VM. The report of a run has none of VMs that failed. */
export type LastPoint = Pick<VmState, 'vmName' | 'vmId' | 'lastSuccessAt'>;

export interface VmFacts {
  readonly vmName: string;
  readonly outcome: Outcome;
  readonly attempts: number;
  /** Modes of its disks. Empty without a session. */
  readonly mode: string;
  readonly readBytes: number | undefined;
  readonly storedBytes: number | undefined;
  readonly durationSeconds: number | undefined;
  /** ISO 8601; undefined when there is none, or when it is not known. */
  readonly lastPointAt: string | undefined;
  /** The failure, or messages of level `error`, then `warn`. The last may count more of them. */
  readonly problems: readonly Problem[];
  readonly report: SessionReport | undefined;
}

/** Failures come first. */
const ORDER: readonly Outcome[] = ['failure', 'notStarted', 'warning', 'success'];

/** End of something that began at `startedAt`, in milliseconds since 1970. */
export function endOf(part: {
  readonly startedAt: string;
  readonly durationSeconds: number;
}): number {
  return Date.parse(part.startedAt) + part.durationSeconds * 1000;
}

export function worstMessage(messages: readonly SessionMessage[]): SessionMessage | undefined {
  return (
    messages.find(({ level }) => level === 'error') ??
    messages.find(({ level }) => level === 'warn')
  );
}

function notStartedOf({ failedSteps }: RunReport): Problem {
  const plan = failedSteps.find(({ step, code }) => step === 'plan' && code !== 'CANCELLED');
  if (plan) return { code: plan.code, text: 'The plan of the run failed.', hint: plan.hint };
  const hint = 'Give the job a longer window, or let more VMs run at once.';
  return { code: '', text: 'The window or the run ended before its session began.', hint };
}

/** Messages of a VM or of a step that are shown. Its report has all. */
const MOST_MESSAGES = 5;

/** Messages of level `error`, then `warn`. The last problem may count more of them. */
export function messageProblems(messages: readonly SessionMessage[]): Problem[] {
  const ofLevel = (wanted: MessageLevel): SessionMessage[] =>
    messages.filter(({ level }) => level === wanted);
  const all = [...ofLevel('error'), ...ofLevel('warn')];
  const shown = all.slice(0, MOST_MESSAGES);
  const more = all.length - shown.length;
  return [
    ...shown.map(({ code, text, resolution: hint }) => ({ code, text, hint })),
    ...(more > 0 ? [{ code: '', text: `and ${more} more`, hint: '' }] : []),
  ];
}

function problemsOf({ outcome, failure, report }: VmResult, run: RunReport): Problem[] {
  if (failure) return [{ code: failure.code, text: failure.message, hint: failure.hint }];
  if (outcome === 'notStarted') return [notStartedOf(run)];
  return messageProblems(report?.messages ?? []);
}

function lastPointOf(
  result: VmResult,
  find: (vm: VmResult) => LastPoint | undefined,
): string | undefined {
  const { report } = result;
  return report ? isoText(endOf(report)) : find(result)?.lastSuccessAt;
}

/** The VMs of a run, failures first, then by name. */
export function vmFactsOf(report: RunReport, lastPoints: readonly LastPoint[]): VmFacts[] {
  const find = vmFinder(lastPoints);
  const facts = report.vms.map((result): VmFacts => {
    const { vmName, outcome, attempts, report: session } = result;
    const disks = session?.disks;
    return {
      vmName,
      outcome,
      attempts,
      mode: [...new Set(disks?.map((disk) => disk.mode))].join(' and '),
      readBytes: disks && sumOf(disks, (disk) => disk.readBytes),
      storedBytes: disks && sumOf(disks, (disk) => disk.storedBytes),
      durationSeconds: session?.durationSeconds,
      lastPointAt: lastPointOf(result, find),
      problems: problemsOf(result, report),
      report: session,
    };
  });
  const rank = ({ outcome }: VmFacts): number => ORDER.indexOf(outcome);
  return facts.toSorted((a, b) => rank(a) - rank(b) || compareNames(a.vmName, b.vmName));
}

/** True for a VM without a new point. */
export function isBad({ outcome }: Pick<VmFacts, 'outcome'>): boolean {
  return outcome === 'failure' || outcome === 'notStarted';
}

/** How old the last good point of a VM is that has no new one. Undefined for the others. */
export function lastPointText(vm: VmFacts, runEndMs: number): string | undefined {
  const { lastPointAt } = vm;
  if (!isBad(vm)) return undefined;
  if (lastPointAt === undefined) return 'Last good point: none known';
  const age = ageText(runEndMs - Date.parse(lastPointAt));
  return `Last good point: ${timeText(lastPointAt)}, ${age} before the end of this run`;
}

/** `12 VMs: 1 failed, 11 success`. */
export function countsText(report: RunReport): string {
  const counts = ORDER.flatMap((outcome) => {
    const count = report.vms.filter((vm) => vm.outcome === outcome).length;
    return count > 0 ? [`${count} ${OUTCOME_WORDS[outcome]}`] : [];
  });
  const total = counted(report.vms.length, 'VM');
  return counts.length > 0 ? `${total}: ${counts.join(', ')}` : total;
}

/** Name of the run. `backup` of several VMs has no job. */
export function runName(report: RunReport): string {
  return report.jobName === '' ? `Backup of ${counted(report.vms.length, 'VM')}` : report.jobName;
}
