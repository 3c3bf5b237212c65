/** The manual page that the build has made, read by the programs that show it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { EXAMPLES } from '../../src/cli/reference/manTexts.ts';
import { isInstalled } from '../helpers/cli/shells.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';

const ROOT = path.resolve(import.meta.dirname, '../..');
const PAGE = path.join(ROOT, 'dist/man/ovirt-cbt.1');
const program = createProgram(() => {});
const commands = new Map(program.commands.map((command) => [command.name(), command]));

/** The page as troff gets it, with its escapes undone. */
function source(): string {
  return readFileSync(PAGE, 'utf8').replaceAll(/\\-/g, '-');
}

describe('the manual page', () => {
  // npm links the pages of a list only.
  it('is what package.json lists', () => {
    const { man } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
      readonly man: readonly string[];
    };

    expect(man.map((page) => path.join(ROOT, page))).toEqual([PAGE]);
  });

  it('has no finding of mandoc', (context) => {
    const { error, stdout } = spawnSync('mandoc', ['-Tlint', PAGE], { encoding: 'utf8' });
    if (error) context.skip('mandoc is not installed here');

    expect(stdout).toBe('');
  });

  it('is shown by man without a warning, in 80 columns', (context) => {
    if (!isInstalled('man')) context.skip('man is not installed here');
    const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '80', MAN_KEEP_FORMATTING: '' };
    const { status, stdout, stderr } = spawnSync('man', ['--warnings', '-l', PAGE], {
      encoding: 'utf8',
      env,
    });
    const lines = stdout.split('\n');

    expect([status, stderr]).toEqual([0, '']);
    expect(lines).toContain('NAME');
    expect(lines.some((line) => /^ {3}backup \[options\]$/.test(line))).toBe(true);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it.each([...commands.keys()])('has the command %s with all its options', (name) => {
    const section = source()
      .split('\n.SS ')
      .find((part) => part.startsWith(`"\\fB${name}\\fR`));
    const shared = source()
      .split('\n.SH ')
      .find((part) => part.startsWith('OPTIONS OF EVERY'));
    const flags = commands.get(name)?.options.map(({ long }) => long ?? '') ?? [];

    expect(flags.length).toBeGreaterThan(0);
    const text = `${section}${shared}`;
    expect(flags.filter((flag) => !text.includes(`\\fB${flag}\\fR`))).toEqual([]);
  });

  it.each(Object.values(EXIT_CODES))('has the exit code %d', (code) => {
    expect(source()).toContain(`.TP\n\\fB${code}\\fR\n`);
  });

  it('names every variable of the sources', () => {
    const read = execFileSync('grep', ['-rhoE', String.raw`\bOVIRT_[A-Z_]+\b`, 'src'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const variables = new Set(read.trim().split('\n'));
    const environment = source()
      .split('\n.SH ')
      .find((part) => part.startsWith('ENVIRONMENT'));

    expect(variables.size).toBeGreaterThan(6);
    expect([...variables].filter((name) => !environment?.includes(name))).toEqual([]);
  });

  it.each(EXAMPLES)('has an example that the parser takes: %s', (_why, line) => {
    const [, name = '', ...words] = line.split(' ');
    const flags = words.filter((word) => word.startsWith('--'));
    const known = commands.get(name)?.options.map(({ long }) => long);

    expect(known).toBeDefined();
    expect(flags.filter((flag) => !known?.includes(flag))).toEqual([]);
  });
});
