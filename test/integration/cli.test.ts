/** The command line as a program: its output and its exit codes. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import {
  HOLES_ARE_READ,
  backupArgs,
  exitErrorOf,
  expectFailure,
  runCli,
  startCli,
  until,
} from '../helpers/cli/cli.ts';
import {
  blocks,
  MIB,
  sha256,
  sha256OfFile,
  writeImage,
  writeSparseImage,
} from '../helpers/bytes/images.ts';
import { inTurn } from '../helpers/longForm.ts';
import { backup, expectClean, expectRestored, VM } from '../helpers/repository/imageSessions.ts';
import { filesOf, onlyFileOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const COMMANDS = ['backup', 'list', 'rescan', 'inspect', 'verify', 'restore', 'demo'];

let repository = '';
let image = '';
beforeEach(() => {
  repository = temp.path('repo');
  image = writeImage(temp.path('a'), blocks('AbC0'));
});

test('a reader that closes the pipe early gets no stack trace', async () => {
  await runCli(inlineBackup());
  const entry = path.resolve(import.meta.dirname, '../../dist/cli/launch.cjs');
  const command = `"$0" "${entry}" list --repo "$1" --json | true`;

  const { stderr } = await promisify(execFile)('sh', ['-c', command, process.execPath, repository]);

  expect(stderr).toBe('');
});

test.each([
  ['16 threads', {}, '16'],
  ['as many as the environment says', { UV_THREADPOOL_SIZE: '3' }, '3'],
])('its start gives the pool of libuv %s', async (_title, more, expected) => {
  const { UV_THREADPOOL_SIZE: _own, ...env } = process.env;
  const launch = path.resolve(import.meta.dirname, '../../dist/cli/launch.cjs');
  const script = `process.argv.push('x', '--version'); require(${JSON.stringify(launch)});
    process.stdout.write(process.env.UV_THREADPOOL_SIZE + ' ');`;

  const options = { env: { ...env, ...more } };
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], options);

  expect(stdout.split(' ')[0]).toBe(expected);
});

function inlineBackup(...more: string[]): string[] {
  return backupArgs(repository, image, '--workers', '0', ...more);
}

interface LogLine {
  readonly level: number;
  readonly time: number;
  readonly msg: string;
  readonly code?: string;
}

function logLines(file: string): LogLine[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as LogLine);
}

test.each([
  ['Asia/Kolkata', '+05:30'],
  ['Pacific/Marquesas', '-09:30'],
  ['UTC', '+00:00'],
])('list shows the time of a point in the zone %s', async (zone, offset) => {
  await backup(repository, image);
  const [point] = pointsOf(repository);
  const instant = Math.floor(Date.parse(point?.createdAt ?? '') / 1000) * 1000;

  const { stdout } = await startCli(['list', '--repo', repository], { TZ: zone }).ended;

  const shown = /(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) ([+-]\d\d:\d\d)/.exec(stdout) ?? [];
  expect(shown[3]).toBe(offset);
  expect(Date.parse(`${shown[1]}T${shown[2]}${shown[3]}`)).toBe(instant);
});

test('verify says that it reads all blocks by default', async () => {
  const { stdout } = await runCli(['verify', '--help']);

  expect(stdout.replaceAll(/\s+/g, ' ')).toMatch(/--sample <percent> .*\(default: all\)/);
  expect(stdout).not.toMatch(/default: 1\b/);
});

describe('the command line', () => {
  test('backs up, lists, verifies, inspects, rescans and restores', async () => {
    const full = await runCli(inlineBackup());
    expect(full.exitCode).toBe(0);
    expect(full.stderr).toBe(
      `info: REPO-530 New repository started in ${repository}. If you have a repository already, check --repo or the job file.\n`,
    );
    expect(full.stdout).toMatch(/restore point 1 \(full\)/);
    writeImage(image, blocks('AxC0'));
    expect((await runCli(inlineBackup())).stdout).toMatch(/restore point 2 \(increment\)/);

    const output = temp.path('out');
    const results = await Promise.all([
      runCli(['list', '--repo', repository]),
      runCli(['inspect', onlyFileOf(repository, '.vib')]),
      runCli(['verify', '--repo', repository, '--point', 'all', '--sample', '50%']),
      runCli(['restore', '--repo', repository, '--vm', VM, '--output', output]),
    ]);
    const rescanned = await runCli(['rescan', '--repo', repository]);

    expect([...results, rescanned].map((result) => [result.exitCode, result.stderr])).toEqual(
      Array.from({ length: 5 }, () => [0, '']),
    );
    expect(sha256OfFile(temp.path('out', 'a'))).toBe(sha256(blocks('AxC0')));
  });

  test.each([[], ...COMMANDS.map((command) => [command])])(
    'explains itself: %s',
    async (...args) => {
      const { exitCode, stdout, stderr } = await runCli([...args, '--help']);

      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(stdout).toMatch(/^Usage: ovirt-cbt/);
      expect(stdout).toContain('--help');
      if (args.length > 0) expect(stdout).toContain('--json');
    },
  );

  test('names the exit codes in its help', async () => {
    const { stdout } = await runCli(['--help']);

    for (const code of Object.values(EXIT_CODES)) expect(stdout).toContain(`${code} `);
  });

  test('prints its version', async () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

    expect(await runCli(['--version'])).toMatchObject({ exitCode: 0, stdout: `${version}\n` });
  });

  test.each(
    inTurn([
      ['no command', [], 'USAGE_UNKNOWN_COMMAND'],
      ['an unknown command', ['frobnicate'], 'USAGE_UNKNOWN_COMMAND'],
      ['an unknown option', ['list', '--frobnicate'], 'USAGE_INVALID_OPTION'],
      ['a missing option', ['list'], 'USAGE_INVALID_OPTION'],
      ['a mode that does not exist', ['backup', '--mode', 'magic'], 'USAGE_INVALID_OPTION'],
      ['a count in words', ['backup', '--workers', 'many'], 'USAGE_INVALID_OPTION'],
      ['a size in words', ['backup', '--block-size', 'big'], 'USAGE_INVALID_OPTION'],
      ['a share in words', ['verify', '--sample', 'some'], 'USAGE_INVALID_OPTION'],
      ['a share of nothing', ['verify', '--repo', 'x', '--sample', '0%'], 'USAGE_INVALID_OPTION'],
      [
        'a log level that does not exist',
        ['list', '--repo', 'x', '--log-level', 'loud'],
        'USAGE_INVALID_OPTION',
      ],
    ]),
  )('refuses %s', async (_name, args, code) => {
    expectFailure(await runCli(args), code, EXIT_CODES.usage);
  });

  test('refuses more workers than it can have', async () => {
    const args = inlineBackup().map((arg) => (arg === '0' ? '65' : arg));

    expectFailure(await runCli(args), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  test('refuses a log file that it cannot write', async () => {
    const result = await runCli(inlineBackup('--log-file', temp.path('none', 'log')));

    expect(result.exitCode).not.toBe(EXIT_CODES.internal);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });
});

describe('--json', () => {
  test('prints exactly one document for every command', async () => {
    const made = await runCli(inlineBackup('--json'));
    expect(JSON.parse(made.stdout)).toMatchObject({ type: 'backup', messages: [] });
    const commands = [
      ['list', '--repo', repository],
      ['verify', '--repo', repository],
      ['rescan', '--repo', repository],
      ['inspect', onlyFileOf(repository, '.vbk')],
      ['restore', '--repo', repository, '--vm', VM, '--output', temp.path('out')],
    ];
    for (const args of commands) {
      const { exitCode, stdout, stderr } = await runCli([...args, '--json']);

      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ type: args[0] });
    }
  });

  test('ends a failure with one object on stderr, and prints no result', async () => {
    const result = await runCli(['list', '--json', '--repo', temp.path('none')]);

    expect(result.exitCode).toBe(EXIT_CODES.repositoryNotFound);
    expect(result.stdout).toBe('');
    expect(exitErrorOf(result)).toEqual({
      type: 'exit_error',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string,
      exitCode: EXIT_CODES.repositoryNotFound,
      code: 'REPOSITORY_NOT_FOUND',
      message: expect.any(String) as string,
      hint: expect.any(String) as string,
    });
  });

  test('ends wrong usage with such an object too', async () => {
    const result = await runCli(['frobnicate', '--json']);

    expect(exitErrorOf(result)).toMatchObject({ exitCode: 2, code: 'USAGE_UNKNOWN_COMMAND' });
  });
});

describe('--log-file', () => {
  test('writes JSON lines, with the code of every message', async () => {
    const log = temp.path('log');
    const other = writeImage(temp.path('b'), blocks('D'));
    await backup(repository, [image, other]);

    const result = await runCli(inlineBackup('--log-file', log));

    expect(result.exitCode).toBe(0);
    expect(result.stderr).toMatch(/^warn: DSK-111 /);
    expect(logLines(log).map((line) => line.msg)).toEqual(
      expect.arrayContaining(['session started', 'disk done', 'session committed']),
    );
    expect(logLines(log).filter((line) => line.code)).toMatchObject([
      { code: 'DSK-111', level: 40 },
    ]);
  });

  test('writes how a command failed', async () => {
    const log = temp.path('log');

    await runCli(['restore', '--repo', repository, '--vm', VM, '--output', 'x', '--log-file', log]);

    expect(logLines(log).at(-1)).toMatchObject({ code: 'REPOSITORY_NOT_FOUND', level: 50 });
  });
});

describe('warnings', () => {
  test.each([
    ['do not change the exit code', [], EXIT_CODES.done],
    ['end with exit code 3 under --strict', ['--strict'], EXIT_CODES.doneWithProblems],
  ])('%s', async (_name, more, exitCode) => {
    await backup(repository, [image, writeImage(temp.path('b'), blocks('D'))]);

    const result = await runCli(inlineBackup(...more));

    expect(result.exitCode).toBe(exitCode);
    expect(pointsOf(repository)).toHaveLength(2);
  });
});

describe('a signal during a session', () => {
  test.each([
    ['SIGINT', EXIT_CODES.interrupted],
    ['SIGTERM', EXIT_CODES.terminated],
    ['SIGHUP', EXIT_CODES.hungUp],
  ] as const)('%s stops it in order', async (signal, exitCode) => {
    await backup(repository, image);
    writeSparseImage(image, 8192 * MIB, blocks('AbC0'));
    const running = startCli(inlineBackup(), HOLES_ARE_READ);
    expect(await until(running, () => filesOf(repository, '.partial').length > 0)).toBe(true);

    running.child.kill(signal);
    const result = await running.ended;

    expect(result.exitCode).toBe(exitCode);
    expect(result.stderr).toMatch(/\(CANCELLED\)/);
    expect(result.stderr).not.toMatch(/^\s+at /m);
    expect(filesOf(repository).map((name) => name.split('.').at(-1))).toEqual(['vbk', 'vbm']);
    await expectRestored(repository, { a: blocks('AbC0') });
    await expectClean(repository);
  });
});
