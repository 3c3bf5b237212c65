/** A run report as plain text, for mails and for a terminal. */
import { printable } from '../core/namePattern.ts';
import type { RunReport } from '../jobs/runReport.ts';
import { countsText, endOf, type LastPoint, runName, type VmFacts, vmFactsOf } from './runFacts.ts';
import { noticesOf, type StepFacts, stepsOf } from './runSteps.ts';
import {
  ageText,
  bytesText,
  type Origin,
  originText,
  type Problem,
  OUTCOME_WORDS,
  secondsText,
  timeText,
} from './words.ts';

function problemLines({ code, text, hint }: Problem): string[] {
  const what = [code, text].filter((part) => part !== '').join(' ');
  const advice = hint === '' || hint === 'None.' ? [] : [`    What to do: ${hint}`];
  return [...(what === '' ? [] : [`    ${what}`]), ...advice];
}

function lastPointLine({ lastPointAt, outcome }: VmFacts, endMs: number): string[] {
  if (outcome === 'success' || outcome === 'warning') return [];
  if (lastPointAt === undefined) return ['    Last good point: none known'];
  const age = ageText(endMs - Date.parse(lastPointAt));
  return [`    Last good point: ${timeText(lastPointAt)}, ${age} before the end of this run`];
}

function vmLines(vm: VmFacts, endMs: number): string[] {
  const { vmName, outcome, mode, readBytes, storedBytes, durationSeconds, problems } = vm;
  const work =
    durationSeconds === undefined
      ? ''
      : ` - ${mode || 'no disk'}, read ${bytesText(readBytes)}, stored ${bytesText(storedBytes)}, ${secondsText(durationSeconds)}`;
  return [
    `  ${vmName}: ${OUTCOME_WORDS[outcome]}${work}`,
    ...problems.flatMap(problemLines),
    ...lastPointLine(vm, endMs),
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
