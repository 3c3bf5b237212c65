/** A run report as plain text, for mails and for a terminal. */
import { printable } from '../core/namePattern.ts';
import type { RunReport } from '../jobs/runReport.ts';
import {
  countsText,
  endOf,
  type LastPoint,
  lastPointText,
  runName,
  type VmFacts,
  vmFactsOf,
} from './runFacts.ts';
import { noticesOf, type StepFacts, stepsOf } from './runSteps.ts';
import {
  adviceText,
  bytesText,
  type Origin,
  originText,
  type Problem,
  problemText,
  OUTCOME_WORDS,
  secondsText,
  timeText,
} from './words.ts';

function problemLines(problem: Problem): string[] {
  const what = problemText(problem);
  const advice = adviceText(problem.hint);
  return [
    ...(what === '' ? [] : [`    ${what}`]),
    ...(advice === '' ? [] : [`    What to do: ${advice}`]),
  ];
}

function vmLines(vm: VmFacts, endMs: number): string[] {
  const { vmName, outcome, mode, readBytes, storedBytes, durationSeconds, problems } = vm;
  const lastPoint = lastPointText(vm, endMs);
  const work =
    durationSeconds === undefined
      ? ''
      : ` - ${mode || 'no disk'}, read ${bytesText(readBytes)}, stored ${bytesText(storedBytes)}, ${secondsText(durationSeconds)}`;
  return [
    `  ${vmName}: ${OUTCOME_WORDS[outcome]}${work}`,
    ...problems.flatMap(problemLines),
    ...(lastPoint === undefined ? [] : [`    ${lastPoint}`]),
  ];
}

function stepLines({ name, outcome, text, problems }: StepFacts): string[] {
  return [`  ${name}: ${OUTCOME_WORDS[outcome]} - ${text}`, ...problems.flatMap(problemLines)];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length > 0 ? ['', title, ...lines] : [];
}

/**
 * Lines of at most one claim each, without control characters.
 *
 * @param lastPoints - of VMs that failed; others are in the report.
 */
export function runText(
  report: RunReport,
  lastPoints: readonly LastPoint[] = [],
  origin?: Origin,
): string {
  const { repository, startedAt, durationSeconds, outcome, messages, runId } = report;
  const endMs = endOf(report);
  const lines = [
    `${runName(report)}: ${OUTCOME_WORDS[outcome]}`,
    countsText(report),
    `Started ${timeText(startedAt)}, took ${secondsText(durationSeconds)}`,
    `Repository ${repository}`,
    ...(origin ? [originText(origin)] : []),
    ...section(
      'VMs',
      vmFactsOf(report, lastPoints).flatMap((vm) => vmLines(vm, endMs)),
    ),
    ...section('Steps', stepsOf(report).flatMap(stepLines)),
    ...noticesOf(report).flatMap(({ title, items }) =>
      section(
        title,
        items.map((item) => `  ${item}`),
      ),
    ),
    ...section(
      'Messages of the run',
      messages.flatMap(({ level, code, text, resolution }) => [
        `  ${level} ${code} ${text}`,
        ...problemLines({ code: '', text: '', hint: resolution }),
      ]),
    ),
    ...(runId === '' ? [] : ['', `Run ${runId}`]),
  ];
  return lines.map(printable).join('\n');
}
