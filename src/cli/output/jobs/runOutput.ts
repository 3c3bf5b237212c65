/** Output of `run`: a line for each VM, the steps, and what to do. */
import type { RunReport } from '../../../jobs/runReport.ts';
import { countsText, type VmFacts, vmFactsOf } from '../../../report/runFacts.ts';
import { noticesOf, type StepFacts, stepsOf } from '../../../report/runSteps.ts';
import { bytesText, OUTCOME_WORDS, problemText } from '../../../report/words.ts';
import { FULL_FORM, idIn, type OutputForm, paint, type Style } from '../outputForm.ts';
import { type Column, formatFact, formatLine, formatRows, formatSeconds } from '../table.ts';
import { cutAtWord } from '../text.ts';

/** Columns of a problem in the table. The whole text is below it. */
const MAX_PROBLEM_COLUMNS = 100;

const STYLES: Readonly<Record<VmFacts['outcome'], Style>> = {
  success: 'green',
  warning: 'yellow',
  failure: 'red',
  notStarted: 'red',
};

const COLUMNS: readonly Column<VmFacts>[] = [
  ['vm', (vm) => vm.vmName, { kind: 'name' }],
  ['result', (vm) => OUTCOME_WORDS[vm.outcome], { style: (vm) => STYLES[vm.outcome] }],
  ['mode', (vm) => vm.mode || '-'],
  ['read', (vm) => bytesText(vm.readBytes)],
  ['stored', (vm) => bytesText(vm.storedBytes)],
  [
    'duration',
    (vm) => (vm.durationSeconds === undefined ? '-' : formatSeconds(vm.durationSeconds)),
  ],
  ['tries', (vm) => String(vm.attempts), { kind: 'extra' }],
  [
    'problem',
    ({ problems: [first] }) => (first ? cutAtWord(problemText(first), MAX_PROBLEM_COLUMNS) : ''),
    { kind: 'note' },
  ],
];

function failedVm({ vmName, outcome, problems: [problem] }: VmFacts, form: OutputForm): string[] {
  if (outcome !== 'failure' || !problem) return [];
  const { code, text, hint } = problem;
  return [formatLine(`${vmName}: failed: ${text} (${code}) ${hint}`, form, 2)];
}

function stepLines({ name, outcome, text, problems }: StepFacts, form: OutputForm): string[] {
  const word = outcome === 'success' ? '' : `${OUTCOME_WORDS[outcome]}: `;
  return [
    formatLine(`${name}: ${word}${text}`, form, 2),
    ...problems.map(({ code, text: what, hint }) =>
      formatLine(`  ${[what, code && `(${code})`, hint].filter(Boolean).join(' ')}`, form, 4),
    ),
  ];
}

export function formatRun(report: RunReport, form: OutputForm = FULL_FORM): string {
  const { jobName, outcome, runId, durationSeconds } = report;
  const vms = vmFactsOf(report, []);
  const word = paint(OUTCOME_WORDS[outcome], STYLES[outcome], form.isColoured);
  const parts: readonly (readonly string[])[] = [
    [
      `${formatLine(`job ${jobName}`, form)}: ${word}, ${countsText(report)}`,
      ...(vms.length > 0 ? [formatRows(COLUMNS, vms, form)] : []),
    ],
    vms.flatMap((vm) => failedVm(vm, form)),
    stepsOf(report).flatMap((step) => stepLines(step, form)),
    noticesOf(report).map(({ title, items }) => formatLine(`${title}: ${items.join(', ')}`, form)),
    [
      formatFact('run', idIn(form, runId), form),
      formatFact('duration', formatSeconds(durationSeconds), form),
    ],
  ];
  return parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}
