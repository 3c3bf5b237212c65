/** Restore points of a VM: how much each added to the repository. */
import type { RestorePoint } from '../../repository/restorePoint.ts';
import { growthBars, legend } from './charts.ts';
import { html, type Html } from './html.ts';
import { id, table, type TableColumn, time } from './parts.ts';
import { bytesText, counted, sumOf, timeText } from '../words.ts';

/** Points of the chart. Those before them are one ground. */
const MAX_BARS = 60;
/** Most width of a bar. */
const BAR_REM = 6;
/** Rows of the table. */
const MAX_ROWS = 120;

const COLUMNS: readonly TableColumn<RestorePoint>[] = [
  { label: 'Point', cell: (point) => `no. ${point.number}` },
  { label: 'Made', cell: (point) => time(point.createdAt) },
  { label: 'Type', cell: (point) => point.type },
  { label: 'File', kind: 'number', cell: (point) => bytesText(point.fileBytes) },
  { label: 'Locked until', cell: ({ lockedUntil }) => lockedUntil && time(lockedUntil) },
  { label: 'Id', kind: 'wide', cell: (point) => id(point.pointId) },
];

/**
 * @param points - all that the repository has, oldest first.
 * @param pointId - of the session that the page shows; empty for a session without a point.
 */
export function chainPart(points: readonly RestorePoint[], pointId: string): Html {
  const total = bytesText(sumOf(points, (point) => point.fileBytes));
  const count = counted(points.length, 'restore point');
  return html`<figure><figcaption><span><b>${total}</b> <span class="soft">in ${count}</span></span></figcaption>${
    points.length > 1 && growthChart(points, pointId, `Growth: ${count}, ${total} in all`)
  }</figure>${pointTable(points)}`;
}

function growthChart(points: readonly RestorePoint[], pointId: string, label: string): Html {
  const shown = points.slice(-MAX_BARS);
  let earlierBytes = sumOf(points.slice(0, -MAX_BARS), (point) => point.fileBytes);
  const bars = shown.map(({ fileBytes, type, pointId: own }) => {
    const fill = own === pointId ? 'now' : type;
    const bar = { earlierBytes, ownBytes: fileBytes, fill } as const;
    earlierBytes += fileBytes;
    return bar;
  });
  const isShown = shown.some((point) => point.pointId === pointId);
  const ends = [shown.at(0), shown.at(-1)].map((point) => timeText(point?.createdAt ?? ''));
  const days = [...new Set(ends)];
  const parts = [
    { label: 'full', text: '', fill: 'full' },
    { label: 'increment', text: '', fill: 'increment' },
    ...(isShown ? [{ label: 'this session', text: '', fill: 'now' } as const] : []),
    { label: 'what was there before', text: '', fill: 'earlier' },
  ] as const;
  return html`<div class="growth-box" style="max-width:${bars.length * BAR_REM}rem">${growthBars(bars, label)}<div class="axis">${days.map((day) => html`<span>${day}</span>`)}</div></div>${legend(parts)}`;
}

function pointTable(points: readonly RestorePoint[]): Html {
  const rows = points.slice(-MAX_ROWS).toReversed();
  const more = points.length - rows.length;
  return html`<details><summary>Restore points as a table</summary>${table('Restore points', COLUMNS, rows)}${
    more > 0 && html`<p class="small soft">And ${more} older ones.</p>`
  }</details>`;
}
