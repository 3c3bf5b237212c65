/** Wrong options: each error is one line that says what to type instead. */
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { exitErrorOf, expectFailure, runCli } from '../helpers/cli/cli.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const NO_REPO = { OVIRT_REPO: undefined };
/** Values of options that do not take `1`. */
const VALUES: Readonly<Record<string, string>> = { '--keep-within': '4w', '--block-size': '1MiB' };

/** Parses a command line without its work. @returns the command's name when it would start. */
async function parseQuietly(args: readonly string[]): Promise<string> {
  const program = createProgram(() => {});
  for (const command of program.commands) command.action(() => {});
  await program.parseAsync(args, { from: 'user' });
  return args[0] ?? '';
}

describe('a typo', () => {
  test.each([
    ['of a command', ['bakup'], 'USAGE_UNKNOWN_COMMAND', 'did you mean "backup"?'],
    ['of an option, before one that is missing', ['list', '--rep', 'x'], '', 'mean --repo?'],
    ['of an option with =', ['list', '--rep=x'], '', 'unknown option --rep '],
    [
      'of an option, among good ones',
      ['prune', '--repo', 'x', '--keep-lst', '3'],
      '',
      '--keep-last?',
    ],
  ])('%s is named in one line', async (_what, args, code, text) => {
    const result = await runCli(args, NO_REPO);

    expectFailure(result, code || 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(text);
  });
});

describe('required options', () => {
  test('are marked in the help', async () => {
    const { stdout } = await runCli(['synthesize', '--help']);

    const text = stdout.replaceAll(/\s+/g, ' ');
    expect(text).toMatch(/--repo <dir> repository \(env: OVIRT_REPO\) \(required\)/);
    expect(text).toMatch(/--vm <name> VM name or id \(required\)/);
    expect(text.match(/\(required\)/g)).toHaveLength(2);
  });

  test.each(['restore', 'export'])('of %s depend on the source', async (command) => {
    const { stdout } = await runCli([command, '--help']);

    const text = stdout.replaceAll(/\s+/g, ' ');
    expect(text).toMatch(/--repo <dir> repository, or --file \(env: OVIRT_REPO\)/);
    expect(text).toMatch(/--file <files\.\.\.> containers of one chain, oldest first/);
    expect(text).toMatch(/--vm <name> VM name or id \(required with --repo\)/);
  });

  test('that are missing are named all at once', async () => {
    const result = await runCli(['restore', '--output', 'x', '--json'], NO_REPO);

    const { message, hint } = exitErrorOf(result);
    expect(message).toBe('missing: --repo <dir> (or OVIRT_REPO) or --file <files...>, --vm <name>');
    expect(hint).toBe('see "ovirt-cbt restore --help"');
  });
});

test.each([
  ['backup', ['--workers', 'x']],
  ['verify', ['--frobnicate']],
  ['restore', []],
])('a hint names the help of %s', async (command, args) => {
  const { stderr } = await runCli([command, ...args], NO_REPO);

  expect(stderr).toContain(`"ovirt-cbt ${command} --help"`);
});

describe('an option that is given twice', () => {
  test.each([
    ['cleanup', '--repo', 'x', '--vm', 'web01', '--vm', 'web02'],
    ['verify', '--repo', 'x', '--vm', 'web01', '--vm=web02'],
    ['list', '--repo', 'x', '--vm', 'web01', '--vm', 'web01'],
    ['restore', '--repo', 'x', '--vm', 'web01', '--point', '3', '--point', '4'],
    ['inspect', 'x', '--log-level', 'info', '--log-level', 'debug'],
  ])('of %s is an error, and nothing is done', async (command, ...args) => {
    const result = await runCli([command, ...args, '--json']);

    const { code, message } = exitErrorOf(result);
    expect(result.exitCode).toBe(EXIT_CODES.usage);
    expect(code).toBe('USAGE_INVALID_OPTION');
    expect(message).toMatch(/^--[a-z-]+ was given 2 times; this command takes it once$/);
  });

  test('is refused by every command, unless its help says that it may be repeated', async () => {
    const { commands } = createProgram(() => {});
    for (const command of commands) {
      const { options, registeredArguments } = command;
      const name = command.name();
      const words = registeredArguments.map(({ argChoices }) => argChoices?.[0] ?? 'x');
      const required = options.filter((option) => option.mandatory).map(({ long }) => long ?? '');
      for (const option of options.filter((one) => one.required && !one.variadic)) {
        const value = option.argChoices?.[0] ?? VALUES[option.long ?? ''] ?? '1';
        const others = required.filter((long) => long !== option.long);
        const args = [option.long ?? '', value, option.long ?? '', value];
        const all = [...words, ...others.flatMap((long) => [long, 'x']), ...args];
        const work = parseQuietly([name, ...all]);
        if (option.description.includes('may be repeated')) await expect(work).resolves.toBe(name);
        else await expect(work, `${name} ${option.long}`).rejects.toThrow(' was given 2 times');
      }
    }
  });
});

test('OVIRT_REPO is the repository where --repo is not given', async () => {
  const repository = temp.path('of-the-environment');
  const env = { OVIRT_REPO: repository };

  const result = await runCli(['list'], env);
  const other = await runCli(['list', '--repo', temp.path('of-the-flag')], env);

  expectFailure(result, 'REPOSITORY_NOT_FOUND', EXIT_CODES.repositoryNotFound);
  expect(result.stderr).toContain(repository);
  expect(other.stderr).toContain('of-the-flag');
});

test('a share above 100% is refused as it was written', async () => {
  const result = await runCli(['verify', '--repo', 'x', '--sample', '150%']);

  expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  expect(result.stderr).toContain('--sample: 150% is more than 100%');
});

test.each(['0', '0%', '0.0'])('a share of %s is refused', async (share) => {
  const result = await runCli(['verify', '--repo', 'x', '--sample', share]);

  expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  expect(result.stderr).toContain(
    `--sample: ${share} is nothing (USAGE_INVALID_OPTION) hint: give more`,
  );
});

test('the help tells when the default of --block-size is 4 MiB', async () => {
  const { stdout } = await runCli(['backup', '--help']);

  expect(stdout.replaceAll(/\s+/g, ' ')).toContain('(default: 1MiB; 4MiB above 128 GiB of data)');
});

test('a password file that is missing is told in plain words', async () => {
  const env = {
    OVIRT_URL: 'https://x',
    OVIRT_USERNAME: 'x',
    OVIRT_PASSWORD_FILE: temp.path('none'),
  };

  const { stderr } = await runCli(['backup', '--repo', 'x', '--vm', 'x'], env);

  expect(stderr).toContain(`${temp.path('none')}: does not exist (ENOENT)`);
});
