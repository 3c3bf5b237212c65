/** Two kinds of plots as SVG text: groups of bars, and lines. */

export interface BarPlot {
  readonly kind: 'bars';
  /** Name of the file, without suffix. */
  readonly name: string;
  readonly title: string;
  readonly yLabel: string;
  readonly groups: readonly string[];
  /** One value per group each. */
  readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
}

export interface LinePlot {
  readonly kind: 'lines';
  readonly name: string;
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly { readonly x: number; readonly y: number }[];
  }[];
}

export type Plot = BarPlot | LinePlot;

const [WIDTH, HEIGHT] = [720, 400];
const FRAME = { left: 70, right: 700, top: 60, bottom: 340 };
const COLOURS = ['#1f5fa8', '#c77f1a', '#4a8f4a', '#8a4a8f'];
const TICKS = 5;

function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function text(x: number, y: number, content: string, anchor = 'middle'): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escape(content)}</text>`;
}

/** The next of 1, 2, 2.5 and 5 times a power of ten. So the axis ends on a round number. */
export function niceStep(most: number): number {
  if (!(most > 0)) return 1;
  const rough = most / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
}

interface Axis {
  readonly most: number;
  readonly step: number;
}

function axisOf(values: readonly number[]): Axis {
  const highest = Math.max(0, ...values);
  const step = niceStep(highest);
  return { step, most: Math.max(step, Math.ceil(highest / step) * step) };
}

function yOf(value: number, axis: Axis): number {
  return FRAME.bottom - (value / axis.most) * (FRAME.bottom - FRAME.top);
}

function xOf(value: number, axis: Axis): number {
  return FRAME.left + (value / axis.most) * (FRAME.right - FRAME.left);
}

function ticks({ most, step }: Axis): number[] {
  return Array.from({ length: Math.round(most / step) + 1 }, (_, k) => k * step);
}

function label(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function grid(axis: Axis): string[] {
  return ticks(axis).flatMap((tick) => {
    const y = yOf(tick, axis);
    const line = `<line x1="${FRAME.left}" x2="${FRAME.right}" y1="${y}" y2="${y}" stroke="#ccc"/>`;
    return [line, text(FRAME.left - 8, y + 4, label(tick), 'end')];
  });
}

function legend(names: readonly string[]): string[] {
  return names.flatMap((name, k) => {
    const x = FRAME.left + k * 150;
    const box = `<rect x="${x}" y="36" width="12" height="12" fill="${COLOURS[k]}"/>`;
    return [box, text(x + 18, 46, name, 'start')];
  });
}

function page(plot: Plot, body: readonly string[]): string {
  const rotated = `<text x="16" y="200" text-anchor="middle" transform="rotate(-90 16 200)">${escape(plot.yLabel)}</text>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${FRAME.left}" y="22" font-size="15">${escape(plot.title)}</text>`,
    rotated,
    ...legend(plot.series.map((series) => series.name)),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

function drawBars(plot: BarPlot): string {
  const axis = axisOf(plot.series.flatMap((series) => series.values));
  const groupWidth = (FRAME.right - FRAME.left) / plot.groups.length;
  const barWidth = (groupWidth * 0.7) / plot.series.length;
  const body = plot.groups.flatMap((group, g) => {
    const left = FRAME.left + g * groupWidth + groupWidth * 0.15;
    const bars = plot.series.flatMap(({ values }, k) => {
      const [x, y] = [left + k * barWidth, yOf(values[g] ?? 0, axis)];
      const size = `width="${barWidth.toFixed(1)}" height="${(FRAME.bottom - y).toFixed(1)}"`;
      const bar = `<rect x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${size} fill="${COLOURS[k]}"/>`;
      return [bar, text(x + barWidth / 2, y - 4, label(Math.round(values[g] ?? 0)))];
    });
    return [...bars, text(left + groupWidth * 0.35, FRAME.bottom + 18, group)];
  });
  return page(plot, [...grid(axis), ...body]);
}

function drawLines(plot: LinePlot): string {
  const points = plot.series.flatMap((series) => series.points);
  const [xAxis, yAxis] = [axisOf(points.map(({ x }) => x)), axisOf(points.map(({ y }) => y))];
  const at = ({ x, y }: { x: number; y: number }): string =>
    `${xOf(x, xAxis).toFixed(1)},${yOf(y, yAxis).toFixed(1)}`;
  const lines = plot.series.flatMap((series, k) => [
    `<polyline fill="none" stroke="${COLOURS[k]}" stroke-width="2" points="${series.points.map(at).join(' ')}"/>`,
    ...series.points.map((point) => {
      const [cx, cy] = at(point).split(',');
      return `<circle cx="${cx}" cy="${cy}" r="3.5" fill="${COLOURS[k]}"/>`;
    }),
  ]);
  const marks = ticks(xAxis).map((tick) => text(xOf(tick, xAxis), FRAME.bottom + 18, label(tick)));
  const caption = text((FRAME.left + FRAME.right) / 2, FRAME.bottom + 40, plot.xLabel);
  return page(plot, [...grid(yAxis), ...marks, caption, ...lines]);
}

/** Draws a plot; one colour per series, at most four. */
export function drawPlot(plot: Plot): string {
  return plot.kind === 'bars' ? drawBars(plot) : drawLines(plot);
}
