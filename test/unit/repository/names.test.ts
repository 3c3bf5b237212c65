import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  boundedText,
  checkVmName,
  diskFileNames,
  safeFileName,
} from '../../../src/repository/names.ts';

describe('safeFileName', () => {
  test.each([
    ['web-01.example_x', 'web-01.example_x'],
    ['my vm', 'my vm'],
    ['../../etc', '__.._etc'],
    ['...', '_'],
    ['ü', 'ü'],
    ['disk ü 日本.raw', 'disk ü 日本.raw'],
    ['a:b*c?"<d>|\\', 'a:b*c?"<d>|\\'],
    ['a\0b\nc\u007fd\u0085e', 'a_b_c_d_e'],
    ['half \ud800', 'half _'],
    ['日'.repeat(70), '日'.repeat(66)],
    [`${'a'.repeat(198)}🖥`, 'a'.repeat(198)],
    ['', '_'],
  ])('makes of %j %j', (name, safe) => {
    expect(safeFileName(name)).toBe(safe);
  });

  test('never leaves a folder, hides a file or gets too long', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (name) => {
        const safe = safeFileName(name);
        expect(safe).toMatch(/^[^./][^/]*$/);
        expect(safe).not.toMatch(/\p{Cc}/u);
        expect(Buffer.byteLength(safe)).toBeLessThanOrEqual(200);
        expect(Buffer.from(safe).toString()).toBe(safe);
      }),
    );
  });
});

function namesOf(...aliases: readonly string[]): string[] {
  return diskFileNames(aliases.map((alias, k) => ({ alias, diskId: `id${k}` })));
}

describe('diskFileNames', () => {
  test.each([
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
    [
      ['a', 'a', 'a'],
      ['a', 'a.id1', 'a.id2'],
    ],
    [
      ['Disk', 'disk'],
      ['Disk', 'disk.id1'],
    ],
    [
      ['é', 'e\u0301'],
      ['é', 'e\u0301.id1'],
    ],
    [
      ['a/b', 'a_b'],
      ['a_b', 'a_b.id1'],
    ],
    [
      ['a', 'a', 'a.id1'],
      ['a', 'a.id1', 'a.id1.id2'],
    ],
  ])('of %j are %j', (aliases, names) => {
    expect(namesOf(...aliases)).toEqual(names);
  });

  test('stay apart and short when long names are equal', () => {
    const names = namesOf('x'.repeat(300), 'x'.repeat(300), '日'.repeat(300), '日'.repeat(299));

    expect(new Set(names).size).toBe(4);
    expect(Math.max(...names.map((name) => Buffer.byteLength(name)))).toBeLessThanOrEqual(200);
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
