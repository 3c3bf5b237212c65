import { describe, expect, test } from 'vitest';
import { cut, fit, widthOf } from '../../../src/cli/output/text.ts';

const COMBINED = 'e\u0301';

describe('the width of a text', () => {
  test.each([
    ['web01', 5],
    ['データ', 6],
    ['ﾃﾞｰﾀ', 4],
    [COMBINED, 1],
    ['한국', 4],
    ['☁\uFE0F', 2],
    ['a\u200Bb', 2],
    ['', 0],
  ])('of %j is %d columns', (text, columns) => {
    expect(widthOf(text)).toBe(columns);
  });
});

describe('a text that is cut', () => {
  test.each([
    ['web01', 5, 'web01'],
    ['web01', 4, 'web…'],
    ['データ', 5, 'デー…'],
    ['データ', 4, 'デ…'],
    [`a${COMBINED}bc`, 3, `a${COMBINED}…`],
    ['web01', 1, '…'],
    ['web01', 0, ''],
  ])('%j to %d columns is %j', (text, columns, expected) => {
    expect(cut(text, columns)).toBe(expected);
  });

  test.each([0, 1, 2, 3, 4, 5, 6, 7])('or filled takes %d columns', (columns) => {
    expect(widthOf(fit('データ', columns))).toBe(columns);
  });
});
