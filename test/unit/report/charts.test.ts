import { describe, expect, it } from 'vitest';
import {
  blockMap,
  countCells,
  growthBars,
  legend,
  stackedBar,
} from '../../../src/report/page/charts.ts';

/** Value of an attribute in each element that has it. */
function valuesOf(svg: string, attribute: string): string[] {
  return [...svg.matchAll(new RegExp(` ${attribute}="([^"]*)"`, 'g'))].map(
    ([, value = '']) => value,
  );
}

describe('a stacked bar', () => {
  const bar = stackedBar('Time', [
    { label: 'read', value: 3, text: '3 s', fill: 'read' },
    { label: 'none', value: 0, text: '0 s', fill: 'wait' },
    { label: 'write', value: 1, text: '1 s', fill: 'write' },
  ]).text;

  it('has parts as wide as their values, with a gap', () => {
    expect(valuesOf(bar, 'x')).toEqual(['0', '750']);
    expect(valuesOf(bar, 'width')).toEqual(['748', '248']);
  });

  it('says its values in words', () => {
    expect(valuesOf(bar, 'aria-label')).toEqual(['Time: read 3 s, write 1 s']);
  });

  it('is empty without values', () => {
    expect(stackedBar('Time', []).text).toContain('aria-label="Time: nothing"');
  });
});

it('a legend has words and numbers', () => {
  const text = legend([{ label: 'read', text: '3 s', fill: 'read' }]).text;

  expect(text).toContain('class="f-read"');
  expect(text).toContain('read <b>3 s</b>');
});

describe('a block map', () => {
  it('draws each cell as high as its share, and joins equal neighbours', () => {
    const [zero, changed] = valuesOf(blockMap('..99100.', 'map').text, 'd');

    expect(changed).toBe('M0 24h2V0h2V16h1V24h3V24z');
    expect(zero).toBe('M0 24h5V19h2V24h1V24z');
  });

  it('is as wide as it has cells', () => {
    expect(blockMap('.'.repeat(240), 'map').text).toContain('viewBox="0 0 240 24"');
  });

  it('takes cells that it does not know for unchanged ones', () => {
    const [, changed] = valuesOf(blockMap('<x\u{1F600}', 'map').text, 'd');

    expect(changed).toBe('M0 24h4V24z');
    expect(countCells('<x.0159')).toEqual({ changed: 3, zero: 1, unchanged: 3 });
  });
});

describe('bars of growth', () => {
  it('stand on what was there before', () => {
    const text = growthBars(
      [
        { earlierBytes: 0, ownBytes: 60, fill: 'full' },
        { earlierBytes: 60, ownBytes: 40, fill: 'increment' },
      ],
      'growth',
    ).text;

    expect(valuesOf(text, 'y')).toEqual(['40', '40', '0']);
    expect(valuesOf(text, 'height')).toEqual(['60', '60', '40']);
  });

  it('show a point that added almost nothing', () => {
    const text = growthBars([{ earlierBytes: 1e12, ownBytes: 1, fill: 'now' }], 'growth').text;

    expect(valuesOf(text, 'height')).toEqual(['100', '1']);
    expect(valuesOf(text, 'y')).toEqual(['0', '0']);
  });
});
