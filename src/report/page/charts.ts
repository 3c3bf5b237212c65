/** Charts as SVG without text. Their words and numbers stand in HTML next to them. */
import { html, type Html } from './html.ts';
import type { Fill } from './style.ts';

export interface Share {
  readonly label: string;
  /** Of any unit; 0 and less is left out. */
  readonly value: number;
  /** The value in words. */
  readonly text: string;
  readonly fill: Fill;
}

const BAR_UNITS = 1000;
const BAR_HEIGHT = 10;
/** Space between two parts of a bar. */
const GAP_UNITS = 2;

/** Two digits are enough for places in a chart. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** One bar, divided by the values. @param title - what the bar shows, in words. */
export function stackedBar(title: string, shares: readonly Share[]): Html {
  const shown = shares.filter(({ value }) => value > 0);
  const total = shown.reduce((sum, { value }) => sum + value, 0);
  let left = 0;
  const parts = shown.map(({ value, fill }) => {
    const width = (value / total) * BAR_UNITS;
    const gap = width > GAP_UNITS * 2 ? GAP_UNITS : 0;
    const part = html`<rect class="f-${fill}" x="${short(left)}" width="${short(width - gap)}" height="${BAR_HEIGHT}"/>`;
    left += width;
    return part;
  });
  const words = shown.map(({ label, text }) => `${label} ${text}`).join(', ');
  return html`<svg class="bar" role="img" aria-label="${title}: ${words || 'nothing'}" viewBox="0 0 ${BAR_UNITS} ${BAR_HEIGHT}" preserveAspectRatio="none">${parts}</svg>`;
}

/** Colours in words, with their values where a bar has some. */
export function legend(entries: readonly Pick<Share, 'label' | 'text' | 'fill'>[]): Html {
  const items = entries.map(
    ({ label, text, fill }) =>
      html`<li><svg viewBox="0 0 1 1" aria-hidden="true"><rect class="f-${fill}" width="1" height="1"/></svg>${label}${
        text === '' ? undefined : html` <b>${text}</b>`
      }</li>`,
  );
  return html`<ul class="legend">${items}</ul>`;
}

const MAP_HEIGHT = 24;
/** Height of the smallest share of changed bytes, so that one changed block is seen. */
const LEAST_HEIGHT = 8;
const ZERO_HEIGHT = 5;
const NINTHS = 9;

/** Outline over all cells: at each its height above the ground, 0 to {@link MAP_HEIGHT}. */
function outline(heights: readonly number[]): string {
  let path = `M0 ${MAP_HEIGHT}`;
  let at = 0;
  let left = 0;
  for (const [index, height] of [...heights, -1].entries()) {
    if (height === at && index < heights.length) continue;
    if (index > left) path += `h${index - left}`;
    if (index < heights.length) path += `V${short(MAP_HEIGHT - height)}`;
    left = index;
    at = height;
  }
  return `${path}V${MAP_HEIGHT}z`;
}

/** Ninths of a cell that changed; 0 for others. */
function ninthsOf(cell: string): number {
  return cell >= '1' && cell <= '9' ? Number(cell) : 0;
}

/**
 * Places of the changes on a disk, from its beginning to its end.
 *
 * @param cells - as in the report of a disk.
 */
export function blockMap(cells: string, label: string): Html {
  const all = cells.split('');
  const changed = all.map((cell) => {
    const ninths = ninthsOf(cell);
    if (ninths === 0) return 0;
    return LEAST_HEIGHT + ((MAP_HEIGHT - LEAST_HEIGHT) * (ninths - 1)) / (NINTHS - 1);
  });
  const zero = all.map((cell) => (cell === '0' ? ZERO_HEIGHT : 0));
  return html`<svg class="map" role="img" aria-label="${label}" viewBox="0 0 ${all.length} ${MAP_HEIGHT}" preserveAspectRatio="none"><path class="f-zero" d="${outline(zero)}"/><path class="f-changed" d="${outline(changed)}"/></svg>`;
}

/** Cells of each kind. */
export function countCells(cells: string): { changed: number; zero: number; unchanged: number } {
  const all = cells.split('');
  const changed = all.filter((cell) => ninthsOf(cell) > 0).length;
  const zero = all.filter((cell) => cell === '0').length;
  return { changed, zero, unchanged: all.length - changed - zero };
}

export interface GrowthBar {
  readonly earlierBytes: number;
  readonly ownBytes: number;
  readonly fill: Fill;
}

const GROWTH_HEIGHT = 100;
/** Share of its column that a bar fills. */
const BAR_SHARE = 0.78;

/** One column for each point: what was there before, and on it what the point added. */
export function growthBars(bars: readonly GrowthBar[], label: string): Html {
  const most = Math.max(1, ...bars.map((bar) => bar.earlierBytes + bar.ownBytes));
  const parts = bars.map(({ earlierBytes, ownBytes, fill }, index) => {
    const earlier = (earlierBytes / most) * GROWTH_HEIGHT;
    const own = Math.max(1, (ownBytes / most) * GROWTH_HEIGHT);
    const rect = (name: Fill, top: number, height: number): Html =>
      html`<rect class="f-${name}" x="${index}" y="${short(top)}" width="${BAR_SHARE}" height="${short(height)}"/>`;
    const top = Math.max(0, GROWTH_HEIGHT - earlier - own);
    return [earlier > 0 && rect('earlier', GROWTH_HEIGHT - earlier, earlier), rect(fill, top, own)];
  });
  return html`<svg class="growth" role="img" aria-label="${label}" viewBox="0 0 ${bars.length - 1 + BAR_SHARE} ${GROWTH_HEIGHT}" preserveAspectRatio="none">${parts}</svg>`;
}
