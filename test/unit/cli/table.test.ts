/** Widths of texts, and tables that fit a width. */
import { describe, expect, test } from 'vitest';
import {
  type Column,
  formatFact,
  formatRows,
  formatTables,
} from '../../../src/cli/output/table.ts';
import {
  countOf,
  cut,
  cutAtWord,
  fold,
  printable,
  shortIds,
  widthOf,
} from '../../../src/cli/output/text.ts';

const E_ACUTE = 'e\u0301';

describe('the width of a text', () => {
  test.each([
    ['abc', 3],
    ['', 0],
    ['b\u00FCro', 4],
    ['\u65E5\u672C', 4],
    ['\uD55C\uAE00', 4],
    ['\uFF21', 2],
    [E_ACUTE, 1],
    ['\u{1F600}', 2],
    ['\u{1F468}\u200D\u{1F469}\u200D\u{1F467}', 2],
    ['\u2764\uFE0F', 2],
    ['\u{1F1E9}\u{1F1EA}', 2],
    ['\u200B', 0],
    ['\u2026', 1],
  ])('%s is %d columns', (text, columns) => {
    expect(widthOf(text)).toBe(columns);
  });
});

describe('a cut', () => {
  test.each([
    ['fits', 4, 'fits'],
    ['longer', 4, 'lon\u2026'],
    ['\u65E5\u672C\u8A9E', 6, '\u65E5\u672C\u8A9E'],
    ['\u65E5\u672C\u8A9E', 5, '\u65E5\u672C\u2026'],
    // The second character would leave no room for the ellipsis.
    ['\u65E5\u672C\u8A9E', 4, '\u65E5\u2026'],
    [`a${E_ACUTE}bcd`, 3, `a${E_ACUTE}\u2026`],
    [
      '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}abc',
      3,
      '\u{1F468}\u200D\u{1F469}\u200D\u{1F467}\u2026',
    ],
  ])('of %s to %d columns is %s', (text, columns, expected) => {
    expect(cut(text, columns)).toBe(expected);
    expect(widthOf(cut(text, columns))).toBeLessThanOrEqual(columns);
  });

  test('at a word keeps whole words', () => {
    expect(cutAtWord('one two three', 9)).toBe('one two\u2026');
    expect(cutAtWord('one two', 7)).toBe('one two');
  });
});

describe('folded text', () => {
  test('breaks between words and is indented', () => {
    expect(fold('label  one two three', 11, 2)).toBe('label  one\n  two three');
  });

  test('keeps a word that is longer than a line, and leading spaces', () => {
    expect(fold('  a verylongword b', 8, 4)).toBe('  a\n    verylongword\n    b');
  });

  test('counts columns, not characters', () => {
    expect(fold('\u65E5\u672C \u65E5\u672C', 8)).toBe('\u65E5\u672C\n\u65E5\u672C');
  });
});

test('characters that could disturb a terminal are replaced', () => {
  expect(printable('a\u001B[31m\n\u202Eb')).toBe('a?[31m??b');
});

test.each([
  [0, '0 points'],
  [1, '1 point'],
  [2, '2 points'],
])('%d is counted as %s', (count, expected) => {
  expect(countOf(count, 'point')).toBe(expected);
});

test('a short id is the shortest unique beginning of 8 characters or more', () => {
  const ids = ['aaaaaaaa-1', 'aaaaaaaa-2', 'bbbbbbbbbbb', 'short', 'bbbbbbbb'];

  const short = shortIds(ids);

  expect(ids.map((id) => short.get(id))).toEqual([
    'aaaaaaaa-1',
    'aaaaaaaa-2',
    'bbbbbbbbb',
    'short',
    'bbbbbbbb',
  ]);
});

interface Row {
  readonly name: string;
  readonly size: string;
  readonly more?: string;
  readonly why?: string;
}

const COLUMNS: readonly Column<Row>[] = [
  ['name', (row) => row.name, { kind: 'name', style: () => 'red' }],
  ['size', (row) => row.size],
  ['more', (row) => row.more ?? '', { kind: 'extra' }],
  ['id', () => 'the whole id', { kind: 'full' }],
  ['why', (row) => row.why ?? '', { kind: 'note' }],
];
const ROWS: readonly Row[] = [
  { name: 'a', size: '5 B', more: 'm', why: 'first point' },
  { name: 'a-name-of-25-characters-xx', size: '100 B', more: 'nn', why: 'changes' },
];

function linesOf(columns: number, rows: readonly Row[] = ROWS): string[] {
  return formatRows(COLUMNS, rows, { columns, isColoured: false }).split('\n');
}

describe('a table', () => {
  test('has all columns in the full form', () => {
    expect(linesOf(Infinity)).toEqual([
      'name                        size   more  id            why',
      'a                             5 B  m     the whole id  first point',
      'a-name-of-25-characters-xx  100 B  nn    the whole id  changes',
    ]);
  });

  test('leaves out columns for the full form, and cuts names', () => {
    expect(linesOf(50)).toEqual([
      'name                      size   more  why',
      'a                           5 B  m     first point',
      'a-name-of-25-characters\u2026  100 B  nn    changes',
    ]);
  });

  test('leaves out extra columns before it cuts much', () => {
    expect(linesOf(42)).toEqual([
      'name                    size   why',
      'a                         5 B  first point',
      'a-name-of-25-characte\u2026  100 B  changes',
    ]);
  });

  test('puts notes under their rows before it cuts much, and extra columns return', () => {
    expect(linesOf(36)).toEqual([
      'name                     size   more',
      'a                          5 B  m',
      '    why: first point',
      'a-name-of-25-character\u2026  100 B  nn',
      '    why: changes',
    ]);
  });

  test('cuts names further when nothing else is left', () => {
    expect(linesOf(16)).toEqual([
      'name       size',
      'a            5 B',
      '    why: first',
      '      point',
      'a-name-o\u2026  100 B',
      '    why: changes',
    ]);
  });

  test('leaves out columns without a value before a name is cut', () => {
    const columns: Column<string>[] = [
      ['disk', (name) => name, { kind: 'name' }],
      ['ratio', () => '-', { kind: 'extra' }],
      ['size', () => '1 MiB', { kind: 'extra' }],
      ['rate', () => '0 B/s', { kind: 'extra' }],
    ];
    const form = { columns: 40, isColoured: false };
    const name = 'a-disk-with-a-name-of-33-columns-';

    expect(formatRows(columns, ['short'], form)).toContain('0 B/s');
    expect(formatRows(columns, [name], form).split('\n')[1]).toBe(`${name}  1 MiB`);
  });

  test('does not cut names to the same beginning while an extra column is shown', () => {
    const columns: Column<string>[] = [
      ['disk', (name) => name, { kind: 'name' }],
      ['disk id', () => 'x'.repeat(20), { kind: 'extra' }],
    ];
    const names = ['web01-new_web01_root_disk', 'web01-new_web01_root_data'];

    const text = formatRows(columns, names, { columns: 44, isColoured: false });

    expect(text.split('\n').slice(1)).toEqual(names);
  });

  test('has one layout with the other tables of an output', () => {
    const columns: Column<string>[] = [
      ['name', (name) => name, { kind: 'name' }],
      ['note', (name) => (name === 'a' ? 'word '.repeat(10).trim() : 'short'), { kind: 'note' }],
      ['seen', (name) => (name === 'a' ? 'today' : ''), { kind: 'extra' }],
    ];

    expect(formatTables(columns, [['a'], ['b'], []], { columns: 30, isColoured: false })).toEqual([
      [
        'name  seen',
        'a     today',
        '    note: word word word word',
        '      word word word word word',
        '      word',
      ].join('\n'),
      ['name  seen', 'b', '    note: short'].join('\n'),
      'name  seen',
    ]);
  });

  test('leaves out a column without texts, except in the full form', () => {
    const rows = [{ name: 'a', size: '5 B' }];

    expect(linesOf(80, rows)).toEqual(['name  size', 'a      5 B']);
    expect(linesOf(Infinity, rows)[0]).toBe('name  size  more  id            why');
  });

  test('aligns columns by what a terminal shows', () => {
    const rows = [
      { name: '\u65E5\u672C\u8A9E', size: '1 B' },
      { name: `caf${E_ACUTE}`, size: '2 B' },
      { name: '3com', size: '3 B' },
    ];

    expect(linesOf(80, rows)).toEqual([
      'name    size',
      '\u65E5\u672C\u8A9E   1 B',
      `caf${E_ACUTE}     2 B`,
      '3com     3 B',
    ]);
  });

  test.each([80, 100, 140])('of wide names fits %d columns', (columns) => {
    const rows = [{ name: '\u65E5\u672C'.repeat(50), size: '1 B', why: 'word '.repeat(40).trim() }];

    expect(Math.max(...linesOf(columns, rows).map(widthOf))).toBeLessThanOrEqual(columns);
  });

  test('has colours without a change of its columns', () => {
    const plain = linesOf(50).join('\n');
    const painted = formatRows(COLUMNS, ROWS, { columns: 50, isColoured: true });

    expect(painted).toContain('\u001B[1mname\u001B[22m');
    expect(painted).toContain('\u001B[31ma\u001B[39m   ');
    // oxlint-disable-next-line no-control-regex
    expect(painted.replaceAll(/\u001B\[\d+m/g, '')).toBe(plain);
  });
});

test('a long fact goes on under its beginning', () => {
  expect(formatFact('file', 'one two three', { columns: 20, isColoured: false })).toBe(
    'file        one two\n            three',
  );
});
