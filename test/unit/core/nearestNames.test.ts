/** Names that a mistyped one may have meant. */
import { describe, expect, test } from 'vitest';
import { didYouMean, nearestNames } from '../../../src/core/nearestNames.ts';

const VMS = ['web01', 'web02', 'web10', 'db01', 'mail', 'Files01'];

describe('nearestNames', () => {
  test.each([
    ['a wrong letter', 'wab01', ['web01']],
    ['swapped letters', 'wbe01', ['web01']],
    ['a letter too many', 'maill', ['mail']],
    ['a letter too few', 'db1', ['db01']],
    ['another case', 'files01', ['Files01']],
    ['a beginning', 'web', ['web01', 'web02', 'web10']],
    ['two digits', 'web11', ['web01', 'web10']],
    ['something else', 'printer', []],
    ['nothing', '', []],
  ])('of %s', (_what, wanted, near) => {
    expect(nearestNames(wanted, VMS)).toEqual(near);
  });

  test('are at most three', () => {
    const many = Array.from({ length: 2000 }, (_, k) => `web${k}`);

    expect(nearestNames('web', many)).toHaveLength(3);
  });
});

describe('didYouMean', () => {
  test('starts a hint', () => {
    expect(didYouMean('wbe01', VMS)).toBe('did you mean "web01"? ');
  });

  test('says nothing when no name is near', () => {
    expect(didYouMean('printer', VMS)).toBe('');
  });
});
