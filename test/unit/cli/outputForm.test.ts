/** The form of outputs: width, colours, times of lines. */
import { afterEach, describe, expect, test } from 'vitest';
import {
  formatError,
  formatStderrJson,
  formatStderrLine,
} from '../../../src/cli/output/formatMessage.ts';
import { formOf, hasColours, paint } from '../../../src/cli/output/outputForm.ts';

const TERMINAL = { isTTY: true, columns: 100 } as const;
const NO_TERMINAL = { isTTY: false, columns: 100 } as unknown as typeof TERMINAL;

describe('colours', () => {
  test.each([
    ['of a terminal', TERMINAL, {}, true],
    ['of no terminal', NO_TERMINAL, {}, false],
    ['with NO_COLOR', TERMINAL, { NO_COLOR: '1' }, false],
    ['with NO_COLOR=0', TERMINAL, { NO_COLOR: '0' }, false],
    ['with an empty NO_COLOR', TERMINAL, { NO_COLOR: '' }, true],
    ['with TERM=dumb', TERMINAL, { TERM: 'dumb' }, false],
    ['with FORCE_COLOR and no terminal', NO_TERMINAL, { FORCE_COLOR: '1' }, true],
    ['with FORCE_COLOR=0', TERMINAL, { FORCE_COLOR: '0' }, false],
    ['with FORCE_COLOR and NO_COLOR', TERMINAL, { FORCE_COLOR: '1', NO_COLOR: '1' }, false],
    ['with FORCE_COLOR and TERM=dumb', TERMINAL, { FORCE_COLOR: '1', TERM: 'dumb' }, false],
  ])('%s', (_title, stream, environment, expected) => {
    expect(hasColours(stream, environment)).toBe(expected);
  });

  test('are not added to an empty text', () => {
    expect(paint('', 'red', true)).toBe('');
    expect(paint('a', undefined, true)).toBe('a');
    expect(paint('a', 'red', false)).toBe('a');
  });
});

describe('the form of stdout', () => {
  test.each([
    ['has the width of the terminal', {}, TERMINAL, 100],
    ['has 80 columns when the terminal tells none', {}, { isTTY: true, columns: 0 } as const, 80],
    ['is full with --wide', { wide: true }, TERMINAL, Infinity],
    ['is full without a terminal', {}, NO_TERMINAL, Infinity],
  ])('%s', (_title, flags, stream, columns) => {
    expect(formOf(flags, stream, {}).columns).toBe(columns);
  });
});

describe('a line of stderr', () => {
  const { TZ, NO_COLOR, FORCE_COLOR, TERM } = process.env;
  afterEach(() => {
    Object.assign(process.env, { TZ, NO_COLOR, FORCE_COLOR, TERM });
    for (const [name, value] of Object.entries({ TZ, NO_COLOR, FORCE_COLOR, TERM })) {
      if (value === undefined) delete process.env[name];
    }
  });

  test('begins with the local time without a terminal', () => {
    expect(formatStderrLine('warn: a text', 'warn', NO_TERMINAL)).toMatch(
      /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d warn: a text$/,
    );
    expect(formatStderrLine('a status', undefined, NO_TERMINAL)).toMatch(/\d a status$/);
  });

  test.each([
    ['info', 'info: x'],
    ['warn', '\u001B[33mwarn:\u001B[39m x'],
    ['error', '\u001B[31merror:\u001B[39m x'],
  ] as const)('has its level %s in colour on a terminal', (level, expected) => {
    process.env['TERM'] = 'xterm';
    delete process.env['NO_COLOR'];
    delete process.env['FORCE_COLOR'];

    expect(formatStderrLine(`${level}: x`, level, TERMINAL)).toBe(expected);
  });

  test('is folded between words on a terminal only, and the hint has its own line', () => {
    process.env['NO_COLOR'] = '1';
    const narrow = { isTTY: true, columns: 30 } as const;
    const error = formatError(
      'the disk is not there (X_Y)',
      'look for it at another place',
      narrow,
    );

    expect(formatStderrLine(error, 'error', narrow).split('\n')).toEqual([
      'error: the disk is not there',
      '  (X_Y)',
      '  hint: look for it at another',
      '  place',
    ]);
    const plain = formatError('the disk is not there (X_Y)', 'look for it', NO_TERMINAL);
    expect(plain).toBe('error: the disk is not there (X_Y) hint: look for it');
    const long = `warn: ${'word '.repeat(100)}`;
    expect(formatStderrLine(long, 'warn', NO_TERMINAL)).not.toContain('\n');
  });

  test('is an object with its time in UTC', () => {
    expect(JSON.parse(formatStderrJson('t', { a: 1 }))).toEqual({
      type: 't',
      time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
      a: 1,
    });
  });
});
