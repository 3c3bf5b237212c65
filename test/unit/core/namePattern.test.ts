/** Patterns of names. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isPattern, patternMatcher } from '../../../src/core/namePattern.ts';

describe('patternMatcher', () => {
  test.each([
    ['web*', ['web', 'web01', 'webserver.prod'], ['Web01', 'aweb', 'we']],
    ['*01', ['01', 'web01'], ['web010', '1']],
    ['web??', ['web01', 'web日本'], ['web1', 'web001']],
    ['*db*prod*', ['db-prod', 'old-db-1-prod-x'], ['prod-db', 'db']],
    ['a*a', ['aa', 'aba'], ['a', 'ab']],
    ['*', ['', 'x'], []],
    ['a.c', ['a.c'], ['abc']],
    ['[ab]*', ['[ab]1'], ['a1']],
  ])('%s', (pattern, fitting, others) => {
    const fits = patternMatcher(pattern);

    expect(fitting.filter((name) => !fits(name))).toEqual([]);
    expect(others.filter((name) => fits(name))).toEqual([]);
  });

  test('agrees with a regular expression', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 8 });
    const names = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 });
    fc.assert(
      fc.property(letters, names, (pattern, name) => {
        const source = pattern.replaceAll('*', '.*').replaceAll('?', '.');

        expect(patternMatcher(pattern)(name)).toBe(new RegExp(`^${source}$`).test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test('a hostile pattern takes no exponential time', () => {
    expect(patternMatcher('*a'.repeat(500))('a'.repeat(499))).toBe(false);
  });
});

test.each([
  ['web*', true],
  ['web?', true],
  ['web.01', false],
])('isPattern %s', (text, expected) => {
  expect(isPattern(text)).toBe(expected);
});
