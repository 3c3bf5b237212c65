/** `--file` of restore, verify, inspect and export on the command line. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import {
  blockOf,
  DISK_NAME,
  diskAfter,
  fileWithBlock,
  foreignChain,
  plainOf,
} from '../helpers/bytes/foreignChains.ts';
import { expectFailure, runCli, startCli } from '../helpers/cli/cli.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const temp = useTempFolder();
const files: string[] = [];

function write(name: string, content: Buffer): string {
  writeFileSync(temp.path(name), content);
  return temp.path(name);
}

beforeEach(() => {
  const contents = foreignChain({ method: 'zstd' });
  files.splice(0, files.length, ...contents.map((content, at) => write(`${at}.vib`, content)));
});

describe('restore --file', () => {
  it.each<[string, (all: readonly string[], out: string) => string[]]>([
    ['before other options', (all, out) => ['--file', ...all, '--output', out]],
    ['after other options', (all, out) => ['--output', out, '--file', ...all]],
    ['several times', (all, out) => [...all.flatMap((one) => ['--file', one]), '--output', out]],
    [
      'with the name of a disk',
      (all, out) => ['--disk', DISK_NAME, '--file', ...all, '--output', out],
    ],
  ])('takes files %s', async (_name, args) => {
    const result = await runCli(['restore', ...args(files, temp.path('out')), '--workers', '0']);

    expect(result.stderr).toBe('');
    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(readFileSync(temp.path('out', DISK_NAME)).equals(diskAfter(2))).toBe(true);
  });

  it.each<[string, string[], RegExp]>([
    ['--repo', ['--repo', 'somewhere'], /--repo and --file exclude each other/],
    ['--point', ['--point', '2'], /--point and --file exclude each other/],
    ['--damaged-from', ['--damaged-from', '2'], /--damaged-from and --file exclude each other/],
    ['--to-engine', ['--to-engine', '--as-vm', 'x', '--storage-domain', 'y'], /--to-engine and/],
    ['a file that stands alone', ['--output', 'x', 'alone.vib'], /too many arguments/],
  ])('refuses %s', async (_name, more, text) => {
    const output = more.includes('--output') || more.includes('--to-engine');
    const place = output ? [] : ['--output', temp.path('out')];
    const result = await runCli(['restore', '--file', ...files, ...place, ...more]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toMatch(text);
    expect(existsSync(temp.path('out'))).toBe(false);
  });

  it('does not take a file that is joined to the option by = twice', async () => {
    const result = await runCli(['restore', `--file=${files[0]}`, files[1] ?? '']);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  it('refuses a repository of the environment', async () => {
    const args = ['restore', '--file', ...files, '--output', temp.path('out')];
    const result = await runCli(args, { OVIRT_REPO: temp.path() });

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain('env -u OVIRT_REPO');
  });

  it.each(['restore', 'verify'])('or --repo is needed by %s', async (command) => {
    const result = await runCli([command], { OVIRT_REPO: '' });

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain('--repo <dir> (or OVIRT_REPO) or --file <files...>');
  });

  it.each([
    ['wrong order', () => [files[0], files[2], files[1]], 'USAGE_FILE_ORDER', EXIT_CODES.usage],
    ['no full', () => files.slice(1), 'CHAIN_PARENT_MISSING', EXIT_CODES.failed],
    ['a file twice', () => [files[0], files[0]], 'USAGE_FILE_ORDER', EXIT_CODES.usage],
    [
      'RLE',
      () => [
        write('x.vbk', fileWithBlock({ plain: plainOf(1), method: 'rle', stored: plainOf(1) })),
      ],
      'FORMAT_UNSUPPORTED',
      EXIT_CODES.failed,
    ],
    [
      'version 8',
      () => [write('x.vbk', fileWithBlock(blockOf(1, 'plain'), { version: 8 }))],
      'FORMAT_UNSUPPORTED',
      EXIT_CODES.failed,
    ],
    [
      'an encrypted file',
      () => [write('x.vbk', fileWithBlock(blockOf(1, 'plain'), { isBankEncrypted: true }))],
      'FORMAT_UNSUPPORTED',
      EXIT_CODES.failed,
    ],
    [
      'a cut file',
      () => [write('x.vbk', readFileSync(files[0] ?? '').subarray(0, 1_100_000))],
      'FORMAT_TRUNCATED',
      EXIT_CODES.failed,
    ],
    [
      'a damaged block',
      () => [write('x.vbk', fileWithBlock({ ...blockOf(1, 'zlib'), stored: Buffer.alloc(99, 1) }))],
      'INTEGRITY_DECODE_FAILED',
      EXIT_CODES.failed,
    ],
  ] as const)('ends with code and hint for %s', async (_name, given, code, exitCode) => {
    const names = given().map((name) => name ?? '');
    const result = await runCli(['restore', '--file', ...names, '--output', temp.path('out')]);

    expectFailure(result, code, exitCode);
    expect(existsSync(temp.path('out')) ? readdirSync(temp.path('out')) : []).toEqual([]);
  });
});

it('a file that is too short for a container is named as such', async () => {
  const args = ['--file', write('x.vbk', Buffer.alloc(99)), '--output', temp.path('out')];
  const result = await runCli(['restore', ...args]);

  expectFailure(result, 'FORMAT_TRUNCATED', EXIT_CODES.failed);
  expect(result.stderr).toContain('x.vbk: is not a VBK or VIB container, it has only 99 B');
});

describe('verify --file', () => {
  it('checks all files', async () => {
    const result = await runCli(['verify', '--file', ...files, '--workers', '0']);

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout).toMatch(/3 files verified in .*: no damage/);
  });

  it('ends with the exit code of damage', async () => {
    const bad = { ...blockOf(1, 'zstd'), stored: Buffer.alloc(500, 1) };
    const result = await runCli(['verify', '--file', write('x.vbk', fileWithBlock(bad))]);

    expect(result.exitCode).toBe(EXIT_CODES.damageFound);
    expect(result.stderr).toContain('INTEGRITY_DAMAGE_FOUND');
    expect(result.stdout).toContain('INTEGRITY_DECODE_FAILED');
  });

  it.each([['--resume'], ['--point', 'all']])('refuses %s', async (...more) => {
    const result = await runCli(['verify', '--file', ...files, ...more]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});

describe('inspect', () => {
  it('shows files, VMs and disks of a chain', async () => {
    const result = await runCli(['inspect', '--file', ...files]);

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout.match(/^format +version 13/gm)).toHaveLength(3);
    expect(result.stdout).toContain('4 zstd');
    expect(result.stdout).toMatch(/^VM +web server$/m);
    expect(result.stdout).toContain(DISK_NAME);
  });

  it('shows a chain as one JSON document', async () => {
    const result = await runCli(['inspect', '--json', '--file', ...files]);

    expect(JSON.parse(result.stdout)).toMatchObject({
      type: 'inspectFiles',
      files: [{ type: 'inspect' }, { type: 'inspect' }, { type: 'inspect' }],
      vms: [{ name: 'web server' }],
      messages: [],
    });
  });

  it('shows files that are no chain, and fails', async () => {
    const result = await runCli(['inspect', '--file', files[1] ?? '']);

    expect(result.exitCode).toBe(EXIT_CODES.failed);
    expect(result.stderr).toContain('CHAIN_PARENT_MISSING');
    expect(result.stdout).toMatch(/^problem +1\.vib holds changes only/m);
  });

  it('still takes one file without an option', async () => {
    const result = await runCli(['inspect', files[0] ?? '']);

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stdout).not.toContain('web server');
  });

  it.each([
    ['no file', () => []],
    ['a file beside --file', () => [files[0] ?? '', '--file', files[1] ?? '']],
  ])('refuses %s', async (_name, args) => {
    expectFailure(await runCli(['inspect', ...args()]), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});

describe('export --file', () => {
  it('serves the point of the last file', async () => {
    const socket = temp.path('nbd.sock');
    const { child, ended } = startCli(['export', '--file', ...files, '--socket', socket]);
    const uri = await new Promise<string>((resolve) => {
      let text = '';
      child.stdout?.on('data', (more: string) => {
        text += more;
        const found = /nbd\+unix:[^\s"]+/.exec(text);
        if (found) resolve(found[0]);
      });
    });

    await execute('nbdcopy', [uri, temp.path('copied.raw')]);
    child.kill('SIGINT');
    const { exitCode, stderr } = await ended;

    expect(stderr).not.toContain('error');
    expect(exitCode).toBe(EXIT_CODES.done);
    expect(readFileSync(temp.path('copied.raw')).equals(diskAfter(2))).toBe(true);
  });

  it('refuses a repository beside it', async () => {
    const result = await runCli(['export', '--file', ...files, '--repo', 'x', '--socket', 'y']);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });
});
