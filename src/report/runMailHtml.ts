/** A run report as the HTML part of a mail: tables and inline styles, which mail programs show. */
import type { RunReport } from '../jobs/runReport.ts';
import { html, type Html } from './page/html.ts';
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
  type Outcome,
  OUTCOME_WORDS,
  secondsText,
  timeText,
} from './words.ts';

/** Text on ground, each pair with a contrast of at least 4.5. */
const COLOURS: Readonly<Record<Outcome, readonly [text: string, ground: string]>> = {
  success: ['#14532d', '#dcfce7'],
  warning: ['#713f12', '#fef3c7'],
  failure: ['#7f1d1d', '#fee2e2'],
  notStarted: ['#7f1d1d', '#fee2e2'],
};

const FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif";
const CELL =
  'padding:8px 10px;border-bottom:1px solid #e2e5ea;text-align:left;vertical-align:top;font-size:14px';
const HEAD = `${CELL};color:#4b5563;font-weight:600`;
const TABLE = 'border-collapse:collapse;width:100%';
const TITLE = 'font-size:16px;margin:24px 0 8px';
const SMALL = 'color:#4b5563;font-size:13px;margin:4px 0 0';

function badge(outcome: Outcome): Html {
  const [text, ground] = COLOURS[outcome];
  const style = `display:inline-block;padding:2px 8px;border-radius:10px;font-size:13px;font-weight:600;white-space:nowrap;color:${text};background:${ground}`;
  return html`<span style="${style}">${OUTCOME_WORDS[outcome]}</span>`;
}

function problemPart(problem: Problem): Html {
  const what = problemText(problem);
  const advice = adviceText(problem.hint);
  return html`${what && html`<p style="font-size:13px;margin:4px 0 0">${what}</p>`}${
    advice && html`<p style="${SMALL}"><b>What to do:</b> ${advice}</p>`
  }`;
}

function vmRow(vm: VmFacts, endMs: number): Html {
  const { vmName, outcome, mode, readBytes, storedBytes, durationSeconds, problems } = vm;
  const lastPoint = lastPointText(vm, endMs);
  const work = [
    mode || 'no disk',
    `${bytesText(readBytes)} read`,
    `${bytesText(storedBytes)} stored`,
    secondsText(durationSeconds ?? 0),
  ];
  return html`<tr>
<td style="${CELL}"><b><bdi>${vmName}</bdi></b>${
    durationSeconds !== undefined && html`<p style="${SMALL}">${work.join(', ')}</p>`
  }${problems.map(problemPart)}${lastPoint && html`<p style="${SMALL}">${lastPoint}</p>`}</td>
<td style="${CELL}">${badge(outcome)}</td>
</tr>`;
}

function stepRow({ name, outcome, text, problems }: StepFacts): Html {
  return html`<tr>
<td style="${CELL}"><b>${name}</b><p style="${SMALL}">${text}</p>${problems.map(problemPart)}</td>
<td style="${CELL}">${badge(outcome)}</td>
</tr>`;
}

function table(title: string, columns: readonly string[], rows: readonly Html[]): Html | undefined {
  if (rows.length === 0) return undefined;
  const heads = columns.map((column) => html`<th scope="col" style="${HEAD}">${column}</th>`);
  return html`<h2 style="${TITLE}">${title}</h2>
<table style="${TABLE}"><thead><tr>${heads}</tr></thead><tbody>${rows}</tbody></table>`;
}

/**
 * A whole document without images, SVG, classes and links.
 *
 * @param lastPoints - of VMs that failed; others are in the report.
 */
export function runMailHtml(
  report: RunReport,
  lastPoints: readonly LastPoint[] = [],
  origin?: Origin,
): string {
  const { repository, startedAt, durationSeconds, outcome, messages, runId } = report;
  const endMs = endOf(report);
  const vms = vmFactsOf(report, lastPoints).map((vm) => vmRow(vm, endMs));
  const notices = noticesOf(report).map(
    ({ title, items }) => html`<h2 style="${TITLE}">${title}</h2>
<ul style="margin:0;padding-left:20px;font-size:14px">${items.map((item) => html`<li><bdi>${item}</bdi></li>`)}</ul>`,
  );
  const told = messages.map(
    ({ level, code, text, resolution }) => html`<tr>
<td style="${CELL};white-space:nowrap">${level} ${code}</td>
<td style="${CELL}">${text}${problemPart({ code: '', text: '', hint: resolution })}</td>
</tr>`,
  );
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${runName(report)}: ${OUTCOME_WORDS[outcome]}</title></head>
<body style="margin:0;padding:20px;background:#ffffff;color:#111827;word-break:break-word;${FONT}">
<div style="max-width:820px">
<h1 style="font-size:20px;margin:0 0 8px"><bdi>${runName(report)}</bdi> ${badge(outcome)}</h1>
<p style="font-size:14px;margin:0 0 4px">${countsText(report)}</p>
<p style="${SMALL}">Started ${timeText(startedAt)}, took ${secondsText(durationSeconds)}</p>
<p style="${SMALL}">Repository ${repository}</p>
${origin && html`<p style="${SMALL}">${originText(origin)}</p>`}
${table('VMs', ['VM', 'Result'], vms)}
${table('Steps', ['Step', 'Result'], stepsOf(report).map(stepRow))}
${notices}
${table('Messages of the run', ['Message', 'Text'], told)}
${runId === '' ? undefined : html`<p style="${SMALL}">Run ${runId}</p>`}
</div></body></html>
`.text;
}
