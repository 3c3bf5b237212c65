/** Wrong options: each error is one line that says what to type instead. */
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { exitErrorOf, expectFailure, runCli } from '../helpers/cli/cli.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const NO_REPO = { OVIRT_REPO: undefined };

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
    const { stdout } = await runCli(['restore', '--help']);

    const text = stdout.replaceAll(/\s+/g, ' ');
    expect(text).toMatch(/--repo <dir> repository \(env: OVIRT_REPO\) \(required\)/);
    expect(text).toMatch(/--vm <name> VM name or id \(required\)/);
    expect(text.match(/\(required\)/g)).toHaveLength(2);
  });

  test('that are missing are named all at once', async () => {
    const result = await runCli(['restore', '--output', 'x', '--json'], NO_REPO);

    const { message, hint } = exitErrorOf(result);
    expect(message).toBe('missing: --repo <dir> (or OVIRT_REPO), --vm <name>');
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
