/** What a run comes to: its outcome and its exit code. All functions are pure. */
import { codeExit, EXIT_CODES } from '../../core/errors.ts';
import type { SessionMessage } from '../../core/messages.ts';
import type { CopyReport } from '../../sessions/copy/copyReport.ts';
import type { PruneReport } from '../../sessions/retention/pruneReport.ts';
import {
  type RunOutcome,
  type RunReport,
  stepMessages,
  type VerifySummary,
  type VmResult,
} from '../runReport.ts';

type Judged = Omit<RunReport, 'outcome'>;

export function hasProblem({ level }: SessionMessage): boolean {
  return level !== 'info';
}

function pruneFailed(prune: PruneReport | undefined): boolean {
  return prune?.vms.some(({ failure }) => failure !== undefined) ?? false;
}

function verifyFailed(verify: VerifySummary | undefined): boolean {
  return verify !== undefined && (verify.outcome === 'damaged' || verify.failures.length > 0);
}

function copyFailed(copy: CopyReport | undefined): boolean {
  if (!copy) return false;
  return copy.failures.length > 0 || copy.vms.some(({ failed }) => failed.length > 0);
}

/** Messages of the run and of its steps, without those of the sessions. */
function ownMessages(report: Judged): SessionMessage[] {
  return [...report.messages, ...stepMessages(report)];
}

/** A warning that is accepted becomes a note. An error stays one. */
function lowered(
  messages: readonly SessionMessage[],
  accept: readonly string[],
): readonly SessionMessage[] {
  return messages.map((message) =>
    message.level === 'warn' && accept.includes(message.code)
      ? { ...message, level: 'info' as const }
      : message,
  );
}

/** The VM is a warning only for messages that are not accepted. */
function acceptedVm(vm: VmResult, accept: readonly string[]): VmResult {
  if (!vm.report) return vm;
  const report = { ...vm.report, messages: lowered(vm.report.messages, accept) };
  const isClean = vm.outcome === 'warning' && !report.messages.some(hasProblem);
  return { ...vm, report, outcome: isClean ? 'success' : vm.outcome };
}

interface Step {
  readonly vms: readonly { readonly messages: readonly SessionMessage[] }[];
}

function acceptedIn<Report extends Step>(step: Report, accept: readonly string[]): Report {
  const vms = step.vms.map((vm) => ({ ...vm, messages: lowered(vm.messages, accept) }));
  return { ...step, vms };
}

/**
 * The report with its outcome. Warnings that the job accepts are notes in it.
 *
 * @param accept - codes of messages.
 */
export function concluded(report: Judged, accept: readonly string[]): RunReport {
  const { prune, verify, copy } = report;
  const judged: Judged = {
    ...report,
    vms: report.vms.map((vm) => acceptedVm(vm, accept)),
    ...(prune ? { prune: acceptedIn(prune, accept) } : {}),
    ...(verify?.messages
      ? { verify: { ...verify, messages: lowered(verify.messages, accept) } }
      : {}),
    ...(copy ? { copy: acceptedIn(copy, accept) } : {}),
    messages: lowered(report.messages, accept),
  };
  return { ...judged, outcome: outcomeOf(judged) };
}

export function outcomeOf(report: Judged): RunOutcome {
  const { vms, failedSteps, prune, verify, copy } = report;
  const isDone = vms.every(({ outcome }) => outcome === 'success' || outcome === 'warning');
  const stepFailed = pruneFailed(prune) || verifyFailed(verify) || copyFailed(copy);
  if (!isDone || failedSteps.length > 0 || stepFailed) return 'failure';
  const hasWarning = vms.some(({ outcome }) => outcome === 'warning');
  return hasWarning || ownMessages(report).some(hasProblem) ? 'warning' : 'success';
}

/**
 * Exit code 0; 3 when a VM or a step failed, after a message of level error, and with `strict`
 * after a warning; 1 when no VM has a new point. A plan that failed gives the code of its error.
 */
export function exitCodeOfRun(report: RunReport, strict: boolean): number {
  const { outcome, vms, failedSteps } = report;
  const sessions = vms.flatMap((vm) => vm.report?.messages ?? []);
  const hasError = [...sessions, ...ownMessages(report)].some(({ level }) => level === 'error');
  if (outcome !== 'failure') {
    return hasError || (strict && outcome === 'warning')
      ? EXIT_CODES.doneWithProblems
      : EXIT_CODES.done;
  }
  if (vms.some((vm) => vm.outcome === 'success' || vm.outcome === 'warning')) {
    return EXIT_CODES.doneWithProblems;
  }
  const plan = failedSteps.find(({ step }) => step === 'plan');
  return codeExit(plan?.code ?? '') ?? EXIT_CODES.failed;
}
