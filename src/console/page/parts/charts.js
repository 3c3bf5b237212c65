// @ts-check
/** Charts as SVG. Words and numbers stand beside them in HTML. */
/** @import { DiskMap, PointRow, RepositoryRow } from '../../contract.ts' */
import { html } from '../vendor/preact.js';
import { bytesText, counted, percentOf, timeText } from '../words.js';

const MAP_HEIGHT = 24;
/** Height of the smallest share of changed bytes, so that one changed block is seen. */
const LEAST_HEIGHT = 8;
const ZERO_HEIGHT = 5;
const NINTHS = 9;

/** Ninths of a cell that changed; 0 for other cells. @param {string} cell */
function ninthsOf(cell) {
  return cell >= '1' && cell <= '9' ? Number(cell) : 0;
}

/** Outline over all cells. @param {readonly number[]} heights - 0 to {@link MAP_HEIGHT} */
function outline(heights) {
  const steps = heights.map((height) => `V${(MAP_HEIGHT - height).toFixed(1)}h1`);
  return `M0 ${MAP_HEIGHT}${steps.join('')}V${MAP_HEIGHT}z`;
}

/** @param {{ entries: readonly (readonly [string, string])[] }} props - colour, word */
export function Legend({ entries }) {
  return html`<ul class="legend">
    ${entries.map(([fill, label]) => html`<li key=${label}><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="f-${fill}" width="1" height="1" /></svg>${label}</li>`)}
  </ul>`;
}

/** @param {string} cells */
function countCells(cells) {
  const all = cells.split('');
  const changed = all.filter((cell) => ninthsOf(cell) > 0).length;
  const zero = all.filter((cell) => cell === '0').length;
  return { changed, zero, unchanged: all.length - changed - zero };
}

/**
 * Where on a disk the changes lie, from its beginning to its end.
 *
 * @param {{ map: DiskMap }} props
 */
export function BlockMap({ map }) {
  const { alias, cells, cellBytes, sizeBytes, mode } = map;
  const { changed, zero, unchanged } = countCells(cells);
  const counts = `${changed} of ${counted(cells.length, 'part')} ${mode === 'full' ? 'with data' : 'changed'}`;
  const all = cells.split('');
  const heights = all.map((cell) => {
    const ninths = ninthsOf(cell);
    return ninths === 0
      ? 0
      : LEAST_HEIGHT + ((MAP_HEIGHT - LEAST_HEIGHT) * (ninths - 1)) / (NINTHS - 1);
  });
  const zeros = all.map((cell) => (cell === '0' ? ZERO_HEIGHT : 0));
  const places = [0, 0.25, 0.5, 0.75, 1].map((part) => bytesText(sizeBytes * part));
  return html`<figure class="disk-map">
    <figcaption><b><bdi class="name" title=${alias}>${alias}</bdi></b> <span class="soft">${mode}, ${counts}, ${bytesText(cellBytes)} each</span></figcaption>
    <svg class="map" role="img" aria-label=${`Block map of ${alias}: ${counts}, ${zero} zero, ${unchanged} unchanged`} viewBox="0 0 ${all.length || 1} ${MAP_HEIGHT}" preserveAspectRatio="none">
      <path class="f-zero" d=${outline(zeros)} /><path class="f-changed" d=${outline(heights)} />
    </svg>
    <div class="axis" aria-hidden="true">${places.map((place) => html`<span>${place}</span>`)}</div>
    <${MapRanges} map=${map} />
  </figure>`;
}

export const MAP_LEGEND = /** @type {const} */ ([
  ['changed', 'changed, the higher the more of it'],
  ['zero', 'zero'],
  ['rest', 'unchanged'],
]);

/** @typedef {{ kind: 'changed' | 'zero', from: number, to: number, ninths: number }} Range */

/** Neighbours of one kind, joined. @param {string} cells @returns {Range[]} */
function rangesOf(cells) {
  /** @type {Range[]} */
  const ranges = [];
  for (const [index, cell] of cells.split('').entries()) {
    if (cell === '.') continue;
    const ninths = ninthsOf(cell);
    const kind = ninths > 0 ? 'changed' : 'zero';
    const last = ranges.at(-1);
    if (last?.kind === kind && last.to === index) {
      last.to++;
      last.ninths += ninths;
    } else ranges.push({ kind, from: index, to: index + 1, ninths });
  }
  return ranges;
}

/** The map in words. @param {{ map: DiskMap }} props */
function MapRanges({ map: { cells, cellBytes, sizeBytes } }) {
  const ranges = rangesOf(cells);
  if (ranges.length === 0) return undefined;
  const line = (/** @type {Range} */ { kind, from, to, ninths }) => {
    const place = `${bytesText(from * cellBytes)} to ${bytesText(Math.min(to * cellBytes, sizeBytes))}`;
    const share = `up to ${percentOf(ninths, (to - from) * NINTHS)} % changed`;
    return html`<li key=${from}>${place}: ${kind === 'zero' ? 'zero' : share}</li>`;
  };
  return html`<details><summary>Map in words</summary><ul class="ranges">${ranges.map(line)}</ul></details>`;
}

/**
 * What a repository held at the end of each day.
 *
 * @param {{ growth: RepositoryRow['growth'], name: string }} props
 */
export function GrowthChart({ growth, name }) {
  const [first, last] = [growth.at(0), growth.at(-1)];
  if (!first || !last) return html`<p class="soft small">No points.</p>`;
  const most = Math.max(1, ...growth.map(({ storedBytes }) => storedBytes));
  const step = 100 / Math.max(1, growth.length);
  const tops = growth.map(({ storedBytes }) => 100 - (storedBytes / most) * 100);
  const path = tops.map((top) => `V${top.toFixed(2)}h${step.toFixed(4)}`).join('');
  const label = `Size of ${name} by day: ${bytesText(first.storedBytes)} on ${timeText(first.day, 'date')}, ${bytesText(last.storedBytes)} on ${timeText(last.day, 'date')}`;
  return html`<div class="row growth-head"><h3>Growth</h3><span class="soft small">highest ${bytesText(most)}</span></div>
    <figure>
      <svg class="growth" role="img" aria-label=${label} viewBox="0 0 100 100" preserveAspectRatio="none"><path class="f-earlier" d=${`M0 100${path}V100z`} /></svg>
      <div class="axis" aria-hidden="true"><span>${timeText(first.day, 'date')}</span>${growth.length > 1 && html`<span>${timeText(last.day, 'date')}</span>`}</div>
    </figure>`;
}

/**
 * How full a repository is.
 *
 * @param {{ storedBytes: number, freeBytes: number | undefined }} props
 */
export function FillBar({ storedBytes, freeBytes }) {
  if (freeBytes === undefined) return undefined;
  const percent = percentOf(storedBytes, storedBytes + freeBytes);
  const text = `${bytesText(storedBytes)} stored, ${bytesText(freeBytes)} free`;
  return html`<svg class="bar" role="img" aria-label=${text} viewBox="0 0 100 10" preserveAspectRatio="none">
    <rect class="f-changed" width=${percent} height="10" /></svg>`;
}

const COLUMN_HEIGHT = 100;
const LEAST_COLUMN = 3;

/**
 * A point of a chain as a column; its shape tells what it is.
 *
 * @param {{ point: PointRow, mostBytes: number }} props
 */
export function PointColumn({ point, mostBytes }) {
  const { type, fileBytes, isDamaged } = point;
  const height = Math.max(LEAST_COLUMN, (fileBytes / Math.max(1, mostBytes)) * COLUMN_HEIGHT);
  const top = COLUMN_HEIGHT - height;
  const [left, width] = type === 'full' ? [4, 32] : [11, 18];
  return html`<svg viewBox="0 0 40 ${COLUMN_HEIGHT}" aria-hidden="true" focusable="false">
    <rect class=${isDamaged ? 'f-damaged' : `f-${type}`} x=${left} y=${top} width=${width} height=${height} rx="2" />
  </svg>`;
}
