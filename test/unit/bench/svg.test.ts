import { XMLValidator } from 'fast-xml-parser';
import { describe, expect, it } from 'vitest';
import { type BarPlot, drawPlot, type LinePlot, niceStep } from '../../../bench/svg.ts';

const BARS: BarPlot = {
  kind: 'bars',
  name: 'bars',
  title: 'a < b & c',
  yLabel: 'MiB/s',
  groups: ['text', 'zero'],
  series: [
    { name: 'ours', values: [100, 400] },
    { name: 'peer', values: [200, 300] },
  ],
};

const LINES: LinePlot = {
  kind: 'lines',
  name: 'lines',
  title: 'time',
  xLabel: 'GiB',
  yLabel: 's',
  series: [
    {
      name: 'ours',
      points: [
        { x: 1, y: 1 },
        { x: 2, y: 2 },
      ],
    },
  ],
};

/** Heights of the bars of the first series. */
function heights(svg: string): number[] {
  const pattern = /<rect x="[\d.]+" y="[\d.]+" width="[\d.]+" height="([\d.]+)" fill="#1f5fa8"\/>/g;
  return [...svg.matchAll(pattern)].map((match) => Number(match[1])).filter((h) => h > 12);
}

describe('drawPlot', () => {
  it.each([BARS, LINES])('makes well-formed XML of $kind, whatever is in the texts', (plot) => {
    expect(XMLValidator.validate(drawPlot(plot))).toBe(true);
  });

  it('draws bars in proportion to their values', () => {
    const [low, high] = heights(drawPlot(BARS));
    expect((high ?? 0) / (low ?? 1)).toBeCloseTo(4, 2);
  });

  it('draws a line through all points', () => {
    const points = /points="([^"]+)"/.exec(drawPlot(LINES))?.[1]?.split(' ') ?? [];
    expect(points.length).toBe(2);
    expect(points[1]).toBe('700.0,60.0');
  });

  it('draws values that are all zero', () => {
    const flat = { ...BARS, series: [{ name: 'ours', values: [0, 0] }] };
    expect(drawPlot(flat)).not.toContain('NaN');
  });
});

describe('niceStep', () => {
  it.each([
    [10, 2],
    [480, 100],
    [3, 1],
    [0.9, 0.2],
    [0, 1],
  ])('divides an axis up to %d by steps of %d', (most, step) => {
    expect(niceStep(most)).toBeCloseTo(step, 10);
  });
});
