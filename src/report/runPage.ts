/** The page of a run. */
import type { RunReport } from '../jobs/runReport.ts';
import { diskMaps, diskTable } from './page/diskParts.ts';
import { page } from './page/frame.ts';
import { html, type Html } from './page/html.ts';
import {
  badge,
  factList,
  id,
  messageList,
  name,
  problemNote,
  section,
  table,
  type TableColumn,
  type Tile,
  tiles,
  time,
} from './page/parts.ts';
import {
  countsText,
  endOf,
  isBad,
  type LastPoint,
  lastPointText,
  runName,
  type VmFacts,
  vmFactsOf,
  worstMessage,
} from './runFacts.ts';
import { noticesOf, type StepFacts, stepsOf } from './runSteps.ts';
import {
  ageText,
  isoText,
  bytesText,
  counted,
  type Origin,
  originText,
  OUTCOME_WORDS,
  secondsText,
  sumOf,
  timeText,
} from './words.ts';

const STARTED_BY = {
  command: 'a command',
  schedule: 'the schedule',
  console: 'a user of the console',
} as const;

/** VMs whose disks are shown. A page for a mail must stay small. */
const MAX_DETAILED_VMS = 100;

function ageOf({ lastPointAt }: VmFacts, endMs: number): string {
  return lastPointAt === undefined
    ? 'none known'
    : `${ageText(endMs - Date.parse(lastPointAt))} old`;
}

function header(report: RunReport): Html {
  const { outcome, startedAt, jobName } = report;
  const kind = jobName === '' ? 'Backup' : 'Run of a job';
  return html`<header><p class="kicker">${kind}, ${time(startedAt)}</p><div class="name"><h1>${name(runName(report))}</h1>${badge(outcome)}</div><p class="lead">${countsText(report)}.${
    outcome === 'success' && ' There is nothing to do.'
  }</p></header>
`;
}

function runTiles(report: RunReport, vms: readonly VmFacts[]): Tile[] {
  const good = vms.filter((vm) => !isBad(vm)).length;
  const retried = vms.filter((vm) => vm.attempts > 1).length;
  const { durationSeconds, missedSlots } = report;
  return [
    [
      'VMs with a new point',
      `${good} of ${vms.length}`,
      retried > 0 ? `${retried} tried again` : undefined,
    ],
    ['Read', bytesText(sumOf(vms, (vm) => vm.readBytes ?? 0))],
    ['Stored', bytesText(sumOf(vms, (vm) => vm.storedBytes ?? 0))],
    ['Duration', secondsText(durationSeconds), `until ${timeText(isoText(endOf(report)))}`],
    ...(missedSlots.length > 0 ? [['Missed before', missedSlots.length] as const] : []),
  ];
}

function vmNote(vm: VmFacts, endMs: number): Html[] {
  if (vm.problems.length === 0) return [];
  const lastPoint = lastPointText(vm, endMs);
  const last = lastPoint && html`<p class="soft">${lastPoint}.</p>`;
  return [problemNote(html`<b>${name(vm.vmName)}</b>`, vm.problems, vm.outcome, last)];
}

function stepNotes({ name: step, text, problems, outcome }: StepFacts): Html[] {
  if (outcome === 'success') return [];
  const [first = { code: '', text: '', hint: '' }, ...others] = problems;
  const whole = first.text === '' ? [{ ...first, text }] : [{ code: '', text, hint: '' }, first];
  return [...whole, ...others].map((problem) =>
    problemNote(html`<b>${step}</b>`, [problem], outcome),
  );
}

function missedNote({ missedSlots }: RunReport): Html[] {
  if (missedSlots.length === 0) return [];
  const text = `No run was started for ${missedSlots.map(timeText).join(', ')}.`;
  const hint = 'See whether the daemon or its machine was down, or an earlier run took too long.';
  return [problemNote(html`<b>Schedule</b>`, [{ code: '', text, hint }], 'warning')];
}

/** All that needs somebody: failed VMs, steps, missed times, then VMs with warnings. */
function attention(
  report: RunReport,
  vms: readonly VmFacts[],
  steps: readonly StepFacts[],
): Html | undefined {
  const ofVms = (wanted: readonly VmFacts[]): Html[] =>
    wanted.flatMap((vm) => vmNote(vm, endOf(report)));
  const notes = [
    ...ofVms(vms.filter(isBad)),
    ...steps.flatMap(stepNotes),
    ...missedNote(report),
    ...ofVms(vms.filter((vm) => !isBad(vm))),
  ];
  if (notes.length === 0) return undefined;
  return section('What needs attention', html`<ul class="notes">${notes}</ul>`, undefined, 'long');
}

function vmColumns(endMs: number): TableColumn<VmFacts>[] {
  return [
    { label: 'VM', cell: (vm) => name(vm.vmName) },
    {
      label: 'Result',
      kind: 'mark',
      cell: ({ outcome, attempts }) =>
        html`${badge(outcome)}${attempts > 1 && html`<small>${attempts} tries</small>`}`,
    },
    { label: 'Mode', cell: (vm) => vm.mode },
    {
      label: 'Read',
      kind: 'number',
      cell: (vm) => vm.readBytes !== undefined && bytesText(vm.readBytes),
    },
    {
      label: 'Stored',
      kind: 'number',
      cell: (vm) => vm.storedBytes !== undefined && bytesText(vm.storedBytes),
    },
    {
      label: 'Duration',
      kind: 'number',
      cell: (vm) => vm.durationSeconds !== undefined && secondsText(vm.durationSeconds),
    },
    { label: 'Last good point', kind: 'number', cell: (vm) => ageOf(vm, endMs) },
  ];
}

const STEP_COLUMNS: readonly TableColumn<StepFacts>[] = [
  { label: 'Step', cell: (step) => step.name },
  { label: 'Result', kind: 'mark', cell: (step) => badge(step.outcome) },
  { label: 'What happened', kind: 'wide', cell: (step) => step.text },
];

function vmDetail({ report, vmName, outcome }: VmFacts): Html | undefined {
  if (!report) return undefined;
  const { pointNumber, pointType, fileName, pointId, disks, messages } = report;
  const maps = diskMaps(disks);
  return html`<details class="vm"><summary><b>${name(vmName)}</b> <span class="soft">${OUTCOME_WORDS[outcome]}, point ${pointNumber} (${pointType}), ${counted(disks.length, 'disk')}</span></summary><div class="body">${diskTable(disks)}${
    maps && html`<div>${maps}</div>`
  }${messages.length > 0 && messageList(messages)}${factList([
    ['Restore point', id(pointId)],
    ['File', id(fileName)],
    ['Session', id(report.sessionId)],
  ])}</div></details>
`;
}

function details(vms: readonly VmFacts[]): Html | undefined {
  const withReport = vms.filter(({ report }) => report !== undefined);
  if (withReport.length === 0) return undefined;
  const left = withReport.length - MAX_DETAILED_VMS;
  const more =
    left > 0 && html`<p class="small soft">The repository has the details of ${left} more.</p>`;
  return section(
    'Details of each VM',
    [withReport.slice(0, MAX_DETAILED_VMS).map(vmDetail), more],
    undefined,
    'long',
  );
}

/** What changed since the run before. The missed times are among what needs attention. */
function changes(report: RunReport): Html | undefined {
  const { vanishedVms, newVms } = report;
  const all = noticesOf({ vanishedVms, newVms, missedSlots: [] });
  if (all.length === 0) return undefined;
  const facts = all.map(
    ({ title, items }) => [title, items.map((item) => html`<div>${name(item)}</div>`)] as const,
  );
  return section('Changes since the run before', factList(facts));
}

function evidence(report: RunReport, origin: Origin | undefined): Html {
  const { runId, repository, trigger, slot, startedAt, jobName } = report;
  return factList([
    ['Run', runId && id(runId)],
    ['Repository', id(repository)],
    ['Place', origin && originText(origin)],
    ['Started by', jobName === '' ? '' : STARTED_BY[trigger]],
    ['Time of the schedule', slot && time(slot)],
    ['Started', time(startedAt)],
    ['Ended', time(isoText(endOf(report)))],
  ]);
}

/**
 * A self-contained HTML document.
 *
 * @param lastPoints - of VMs that failed; others are in the report.
 */
export function runPage(
  report: RunReport,
  lastPoints: readonly LastPoint[] = [],
  madeAt: Date = new Date(),
  origin?: Origin,
): string {
  const vms = vmFactsOf(report, lastPoints);
  const steps = stepsOf(report);
  const messages =
    report.messages.length > 0 &&
    section('Messages of the run', messageList(report.messages), undefined, 'long');
  const isTold = worstMessage(report.messages) !== undefined;
  const body = html`${header(report)}${tiles(runTiles(report, vms))}${attention(report, vms, steps)}${isTold && messages}${
    vms.length > 0 && section('VMs', table('VMs', vmColumns(endOf(report)), vms), undefined, 'long')
  }${steps.length > 0 && section('Steps', table('Steps', STEP_COLUMNS, steps))}${changes(report)}${
    !isTold && messages
  }${details(vms)}${section('Evidence', evidence(report, origin), 'Names and ids, to find this run elsewhere.')}`;
  return page(`${runName(report)}: ${OUTCOME_WORDS[report.outcome]}`, body, madeAt);
}
