import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boundedText, checkVmName, safeFileName } from '../../../src/repository/names.ts';

describe('safeFileName', () => {
  test.each([
    ['web-01.example_x', 'web-01.example_x'],
    ['my vm', 'my_vm'],
    ['../../etc', '__.._etc'],
    ['...', '_'],
    ['ü', '_'],
    ['', '_'],
  ])('makes of %j %j', (name, safe) => {
    expect(safeFileName(name)).toBe(safe);
  });

  test('never leaves a folder, hides a file or gets too long', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        expect(safeFileName(name)).toMatch(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$/);
      }),
    );
  });
});

describe('boundedText', () => {
  test.each([
    ['abc', 3, 'abc'],
    ['abcd', 3, 'ab…'],
    ['ab🖥d', 4, 'ab…'],
    ['', 3, ''],
  ])('makes of %j with at most %d units %j', (text, maxChars, bounded) => {
    expect(boundedText(text, maxChars)).toBe(bounded);
  });
});

describe('checkVmName', () => {
  test.each(['vm', 'a b', 'ü'.repeat(127), '..', '<&">'])('takes %j', (name) => {
    expect(() => checkVmName(name)).not.toThrow();
  });

  test.each(['', '  ', 'a\nb', 'a\0b', '\u007f', 'ü'.repeat(128)])('refuses %j', (name) => {
    expect(() => checkVmName(name)).toThrow(
      expect.objectContaining({ code: 'USAGE_INVALID_OPTION' }),
    );
  });
});
