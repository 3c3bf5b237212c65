/** The command `files`, with a guestfish that needs no appliance. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { type CliResult, exitErrorOf, runCli, startCli, until } from '../helpers/cli/cli.ts';
import { composeAll, rot } from '../helpers/faults/bitRot.ts';
import { type FakeGuestfish, fakeGuestfish } from '../helpers/faults/fakeGuestfish.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const CONTENT = blocks('aB0c');
/** Names that a shell, a terminal or guestfish could take for something else. */
const HARD_NAMES = ['a b', "it's", 'q"b\\s', 'new\nline', '--dash', '{x,y}', '*', '| cat', 'größe'];
const LONG_NAME = `${'n'.repeat(200)}.txt`;

let fake: FakeGuestfish;

beforeEach(async () => {
  fake = fakeGuestfish(folder);
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), CONTENT));
});

function argsOf(...more: readonly string[]): string[] {
  return ['files', '--repo', folder.path('repository'), '--vm', VM, ...more];
}

async function files(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
  const result = await runCli(argsOf(...args), fake.env(env));
  expect(readdirSync(fake.temporary), 'temporary files').toEqual([]);
  return result;
}

function put(name: string, content = name): void {
  const file = path.join(fake.guest, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
}

function output(...names: readonly string[]): string {
  return folder.path('out', ...names);
}

function mounts(): string[] {
  return fake.log().filter((line) => line.startsWith('mount '));
}

interface Listed {
  readonly entries: readonly {
    readonly name: string;
    readonly path: string;
    readonly kind: string;
    readonly sizeBytes: number;
    readonly modifiedAt: string;
  }[];
}

function listed(result: CliResult): Listed['entries'] {
  expect(result.exitCode, result.stderr).toBe(EXIT_CODES.done);
  return (JSON.parse(result.stdout) as Listed).entries;
}

describe('ls', () => {
  it('shows type, size and time of the files of a folder', async () => {
    put('etc/hosts', '127.0.0.1');
    put('etc/ssh/config');
    symlinkSync('hosts', path.join(fake.guest, 'etc/alias'));

    const { stdout, stderr, exitCode } = await files(['ls', '/etc']);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout.split('\n').map((line) => line.replace(/ \d{4}-.* \+\d\d:\d\d /, ''))).toEqual([
      'type    size  modified                    name',
      'link          alias',
      'file     9 B  hosts',
      'folder        ssh',
      '',
    ]);
    expect(stderr).toBe('starting the appliance of libguestfs, which takes some seconds\n');
  });

  it('shows names as they are in JSON, and safe ones in a table', async () => {
    for (const name of HARD_NAMES) put(`d/${name}`);

    const entries = listed(await files(['ls', 'd', '--json']));
    const { stdout } = await files(['ls', 'd']);

    expect(entries.map(({ name }) => name)).toEqual(HARD_NAMES.toSorted());
    expect(entries[0]).toMatchObject({ kind: 'file', sizeBytes: 'd/*'.length });
    expect(Date.parse(entries[0]?.modifiedAt ?? '')).toBeGreaterThan(0);
    expect(stdout).toMatch(/new\?line$/m);
  });

  it('asks in several commands for more names than a line of guestfish holds', async () => {
    const names = Array.from({ length: 300 }, (_value, k) => `${k} ${'x'.repeat(80)}`);
    for (const name of names) put(`d/${name}`);

    const entries = listed(await files(['ls', 'd', '--json']));

    expect(entries.map(({ name }) => name)).toEqual(names.toSorted());
  });

  it('shows one file, and the root without a path', async () => {
    put('one', 'content');

    const file = listed(await files(['ls', '/one', '--json']));
    const root = listed(await files(['ls', '--json']));

    expect(file).toMatchObject([{ name: 'one', path: '/one', sizeBytes: 7 }]);
    expect(root).toEqual(file);
  });

  it('says that a path does not exist', async () => {
    const { exitCode, stderr } = await files(['ls', '/none']);

    expect(stderr).toContain('there is no /none in the guest (USAGE_NOT_FOUND)');
    expect(exitCode).toBe(EXIT_CODES.usage);
  });
});

describe('find', () => {
  beforeEach(() => {
    for (const name of ['etc/a.conf', 'etc/x/b.conf', 'var/a.log', 'var/größe.conf']) put(name);
  });

  it.each([
    ['a name', '*.conf', ['/etc/a.conf', '/etc/x/b.conf', '/var/größe.conf']],
    ['a letter', 'gr??e.conf', ['/var/größe.conf']],
    ['a path', '/etc/*.conf', ['/etc/a.conf', '/etc/x/b.conf']],
    ['a folder', 'x', ['/etc/x']],
    ['nothing', '*.none', []],
  ])('compares a pattern: %s', async (_what, pattern, expected) => {
    const entries = listed(await files(['find', pattern, '--json']));

    expect(entries.map((entry) => entry.path)).toEqual(expected);
  });

  it('says that nothing is found', async () => {
    expect((await files(['find', 'none'])).stdout).toBe('nothing found\n');
  });
});

describe('get', () => {
  it('copies a folder with all names, links and times, for its owner only', async () => {
    for (const name of HARD_NAMES) put(`d/${name}`);
    put(`d/sub/${LONG_NAME}`, 'x'.repeat(100_000));
    put('d/script');
    execFileSync('chmod', ['4755', path.join(fake.guest, 'd/script')]);
    execFileSync('touch', ['-d', '@1000000000', path.join(fake.guest, 'd/script')]);
    symlinkSync('../outside', path.join(fake.guest, 'd/link'));
    linkSync(path.join(fake.guest, 'd/script'), path.join(fake.guest, 'd/second'));
    execFileSync('mkfifo', [path.join(fake.guest, 'd/pipe')]);

    const { stdout, exitCode } = await files(['get', '/d', '--output', output()]);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout).toMatch(/^12 files, 2 folders, 1 link, 97\.7 KiB in .*out$/m);
    expect(stdout).toContain('left out, because it has no content: pipe');
    for (const name of HARD_NAMES)
      expect(readFileSync(output('d', name), 'utf8')).toBe(`d/${name}`);
    expect(statSync(output('d/sub', LONG_NAME)).size).toBe(100_000);
    expect(statSync(output('d/sub', LONG_NAME)).mode & 0o7777).toBe(0o600);
    expect(statSync(output('d/script')).mode & 0o7777).toBe(0o700);
    expect(statSync(output('d/script')).mtimeMs).toBe(1e12);
    expect(readFileSync(output('d/second'), 'utf8')).toBe('d/script');
    expect(readlinkSync(output('d/link'))).toBe('../outside');
    expect(readdirSync(output())).toEqual(['d']);
  });

  it('keeps times before 1970', async () => {
    for (const name of ['d/old', 'alone']) {
      put(name);
      execFileSync('touch', ['-d', '@-86400', path.join(fake.guest, name)]);
    }

    await files(['get', '/d', '/alone', '--output', output()]);

    expect(statSync(output('d/old')).mtimeMs).toBe(-86_400_000);
    expect(statSync(output('alone')).mtimeMs).toBe(-86_400_000);
  });

  it('leaves holes of files in a folder as holes', async () => {
    const size = 64 * 1024 * 1024;
    put('d/lastlog', 'begin');
    truncateSync(path.join(fake.guest, 'd/lastlog'), size);
    writeFileSync(path.join(fake.guest, 'd/lastlog'), 'end', { flag: 'a' });

    const { exitCode } = await files(['get', '/d', '--output', output()]);

    expect(exitCode).toBe(EXIT_CODES.done);
    const { blocks, size: copiedBytes } = statSync(output('d/lastlog'));
    expect(copiedBytes).toBe(size + 3);
    expect(blocks * 512).toBeLessThan(size / 8);
    const content = readFileSync(output('d/lastlog'));
    expect(content.equals(readFileSync(path.join(fake.guest, 'd/lastlog')))).toBe(true);
  });

  it('copies links and devices that have several names', async () => {
    put('d/file');
    symlinkSync('file', path.join(fake.guest, 'd/a'));
    linkSync(path.join(fake.guest, 'd/a'), path.join(fake.guest, 'd/b'));
    execFileSync('mkfifo', [path.join(fake.guest, 'd/pipe')]);
    linkSync(path.join(fake.guest, 'd/pipe'), path.join(fake.guest, 'd/queue'));

    const { stdout, exitCode } = await files(['get', '/d', '--output', output()]);

    expect(exitCode).toBe(EXIT_CODES.done);
    expect(stdout).toMatch(/^1 file, 1 folder, 2 links, /m);
    expect(['a', 'b'].map((name) => readlinkSync(output('d', name)))).toEqual(['file', 'file']);
    expect(stdout).toMatch(/left out, because it has no content: (pipe|queue)/);
    expect(readdirSync(output('d')).toSorted()).toEqual(['a', 'b', 'file']);
  });

  it('copies files and folders together, and follows a link that is named', async () => {
    put('etc/real', 'content');
    put('var/x');
    put('srv/y');
    symlinkSync('real', path.join(fake.guest, 'etc/link'));

    const result = await files([
      'get',
      '/etc/link',
      'var',
      '/srv/',
      '--output',
      output(),
      '--json',
    ]);

    expect(JSON.parse(result.stdout)).toMatchObject({
      type: 'files',
      action: 'get',
      vmName: VM,
      pointNumber: 1,
      output: output(),
      files: 3,
      folders: 2,
      bytes: 7 + 5 + 5,
    });
    expect(readFileSync(output('link'), 'utf8')).toBe('content');
    expect(statSync(output('link')).mode & 0o777).toBe(0o600);
    expect(readFileSync(output('var/x'), 'utf8')).toBe('var/x');
    expect(readFileSync(output('srv/y'), 'utf8')).toBe('srv/y');
  });

  it('keeps existing files, and starts nothing then', async () => {
    put('hosts');
    mkdirSync(output());
    writeFileSync(output('hosts'), 'mine');

    const { exitCode, stderr } = await files(['get', '/hosts', '--output', output()]);

    expect(exitCode).toBe(EXIT_CODES.usage);
    expect(stderr).toContain('USAGE_OUTPUT_EXISTS');
    expect(readFileSync(output('hosts'), 'utf8')).toBe('mine');
    expect(fake.log()).toEqual([]);
  });

  it.each([
    ['a second path that does not exist', ['/d', '/none'], {}, 'USAGE_NOT_FOUND'],
    ['an archive that ends with an error', ['/d'], { FAKE_FAULT: 'tar' }, 'TOOL_FAILED'],
    [
      'an archive that is none',
      ['/d'],
      { FAKE_TAR: 'head -c 9999 /dev/zero | tr "\\0" x' },
      'TOOL_FAILED',
    ],
    ['a full volume', ['/d/x'], { FAKE_FAULT: 'full' }, 'OUTPUT_FULL'],
    ['a file that comes too short', ['/d/x'], { FAKE_FAULT: 'short' }, 'OUTPUT_IO'],
    ['a name that leads out', ['/d'], { FAKE_TAR: 'tar -P -cf - ../d/x' }, 'OUTPUT_IO'],
    ['a name twice', ['/d'], { FAKE_TAR: 'tar -cf - . ./x' }, 'OUTPUT_IO'],
    ['a pipe', ['/pipe'], {}, 'USAGE_INVALID_OPTION'],
  ])('leaves nothing after %s', async (_what, paths, env, code) => {
    put('d/x', 'content');
    execFileSync('mkfifo', [path.join(fake.guest, 'pipe')]);

    const result = await files(['get', ...paths, '--output', output(), '--json'], env);

    expect(exitErrorOf(result).code).toBe(code);
    expect(readdirSync(output())).toEqual([]);
    expect(existsSync(folder.path('x'))).toBe(false);
  });

  it('writes nothing through a link of the guest', async () => {
    put('d/x', 'content');
    mkdirSync(folder.path('victim'));
    // A damaged folder can hold a name twice: as a link, and as a folder.
    const first = folder.path('first');
    mkdirSync(first);
    symlinkSync(folder.path('victim'), path.join(first, 'a'));
    const second = folder.path('second');
    mkdirSync(path.join(second, 'a'), { recursive: true });
    writeFileSync(path.join(second, 'a', 'file'), 'hostile');
    const entries = `. -C '${first}' ./a -C '${second}' ./a ./a/file`;

    const result = await files(['get', '/d', '--output', output(), '--json'], {
      FAKE_TAR: `tar -cf - --no-recursion ${entries}`,
    });

    expect(exitErrorOf(result).message).toMatch(/\/d\/a: EEXIST/);
    expect(exitErrorOf(result).code).toBe('OUTPUT_IO');
    expect(readdirSync(folder.path('victim'))).toEqual([]);
    expect(readdirSync(output())).toEqual([]);
  });

  it.each([
    ['no folder', ['get', '/a'], '--output is missing'],
    ['no path', ['get', '--output', 'out'], 'no path is given'],
    ['the root', ['get', '/', '--output', 'out'], 'the root of the guest has no name'],
    ['two equal names', ['get', '/a/x', '/b/x', '--output', 'out'], 'two of the paths end with x'],
    ['an empty path', ['get', '', '--output', 'out'], 'a path is empty'],
    ['a folder for ls', ['ls', '--output', 'out'], '--output belongs to "files get"'],
    ['two patterns', ['find', 'a', 'b'], 'find takes one pattern'],
    ['two folders', ['ls', 'a', 'b'], 'ls takes one path'],
    ['an unknown action', ['rm', 'a'], 'Allowed choices are ls, get, find'],
    ['a path that is too long', ['ls', 'x'.repeat(9000)], 'too long for guestfish'],
  ])('refuses %s', async (_what, args, text) => {
    const { exitCode, stderr } = await files(args);

    expect(stderr).toContain(text);
    expect(stderr).toContain('USAGE_INVALID_OPTION');
    expect(exitCode).toBe(EXIT_CODES.usage);
  });
});

describe('file systems', () => {
  it('are served privately, with all bytes of the disk', async () => {
    await files(['ls'], { FAKE_FAULT: 'read' });

    expect(fake.log().slice(1, 3)).toEqual([
      'drive  readonly:true format:raw protocol:nbd 600 700',
      `read 0 ${CONTENT.length}`,
    ]);
  });

  it('are mounted as the operating system does, its root first', async () => {
    const { exitCode, stderr } = await files(['ls'], {
      FAKE_OS: '/dev/sda2',
      FAKE_MOUNTS: '/boot/efi: /dev/sda3\n/boot: /dev/bad\n/: /dev/sda2',
    });

    expect(mounts()).toEqual([
      'mount /dev/sda2 /',
      'mount /dev/bad /boot',
      'mount /dev/sda3 /boot/efi',
    ]);
    expect(stderr).toContain('/boot is not mounted: guestfish: mount exited with status 32');
    expect(exitCode).toBe(EXIT_CODES.done);
  });

  it.each([
    ['several without a system', {}, 'there is no operating system'],
    ['several systems', { FAKE_OS: '/dev/sda\n/dev/sdb' }, 'there are several operating systems'],
  ])('need a choice: %s', async (_what, env, text) => {
    const list = '/dev/sda: ext4\n/dev/sdb: swap\n/dev/vg/a: b: xfs';
    const { exitCode, stderr } = await files(['ls'], { FAKE_FILE_SYSTEMS: list, ...env });

    expect(stderr).toContain(`${text}; file systems: /dev/sda (ext4), /dev/vg/a: b (xfs)`);
    expect(stderr).toContain('hint: choose one with --filesystem; /dev/sda is disk.raw');
    expect(exitCode).toBe(EXIT_CODES.usage);
  });

  it('can be chosen', async () => {
    const env = { FAKE_FILE_SYSTEMS: '/dev/sda: ext4\n/dev/sdb: xfs' };
    const chosen = await files(['ls', '--filesystem', '/dev/sdb'], env);
    const unknown = await files(['ls', '--filesystem', '/dev/sdc'], env);

    expect(chosen.exitCode).toBe(EXIT_CODES.done);
    expect(mounts()).toEqual(['mount /dev/sdb /']);
    expect(unknown.stderr).toContain('there is no file system /dev/sdc (USAGE_NOT_FOUND)');
  });

  it('may be missing', async () => {
    const { stderr } = await files(['ls'], { FAKE_FILE_SYSTEMS: '/dev/sda: crypto_LUKS' });

    expect(stderr).toContain('no file system that can be mounted (USAGE_NOT_FOUND)');
  });
});

describe('failures', () => {
  it('of a machine without guestfish say what to install', async () => {
    const { exitCode, stderr } = await files(['ls'], { PATH: folder.make('empty') });

    expect(stderr).toMatch(/guestfish cannot be started \(TOOL_MISSING\) hint: .*Debian: .*RHEL/);
    expect(exitCode).toBe(EXIT_CODES.usage);
  });

  it.each([
    ['that cannot start', 'launch', 'guestfish: the appliance crashed; launch failed'],
    ['that dies', 'die', 'guestfish: first line; no memory'],
  ])('of an appliance %s', async (_what, fault, text) => {
    const { exitCode, stderr } = await files(['ls'], { FAKE_FAULT: fault });

    expect(stderr).toContain(`error: ${text} (TOOL_FAILED)`);
    expect(exitCode).toBe(EXIT_CODES.failed);
  });

  it.each([
    ['without a kernel', 'supermin', {}, 'hint: the appliance needs a Linux kernel'],
    ['with KVM', 'launch', {}, 'hint: LIBGUESTFS_BACKEND_SETTINGS=force_tcg does without KVM'],
    [
      'without KVM',
      'launch',
      { LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' },
      'hint: LIBGUESTFS_DEBUG',
    ],
  ])('of an appliance %s say what to try', async (_what, fault, env, hint) => {
    const settings = { LIBGUESTFS_BACKEND_SETTINGS: '', ...env };
    const { stderr } = await files(['ls'], { FAKE_FAULT: fault, ...settings });

    expect(stderr).toContain(hint);
  });

  it('of a damaged point are told once, and are damage', async () => {
    const repository = folder.path('repository');
    const [name = ''] = readdirSync(repository).filter((one) => one.startsWith(VM));
    const vmFolder = path.join(repository, name);
    rot(vmFolder, (await composeAll(vmFolder)).stored.values(), 1);

    const { exitCode, stderr } = await files(['ls'], { FAKE_FAULT: 'read' });

    expect(stderr).toMatch(/^error: disk\.raw: .*stored block/m);
    expect(stderr).toMatch(
      /damaged blocks: guestfish: Input\/output error \(INTEGRITY_DAMAGE_FOUND/,
    );
    expect(exitCode).toBe(EXIT_CODES.damageFound);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('end appliance and servers after %s', async (signal) => {
    const running = startCli(argsOf('ls'), fake.env({ FAKE_FAULT: 'hang' }));
    const pids = (): number[] =>
      fake
        .log()
        .flatMap((line) => /^(?:started )?(\d+)$/.exec(line)?.[1] ?? [])
        .map(Number);
    await until(running, () => pids().length === 2);

    running.child.kill(signal);
    const { exitCode, stderr } = await running.ended;

    expect(stderr).toContain('ending the appliance of libguestfs');
    expect(exitCode).toBe(signal === 'SIGINT' ? EXIT_CODES.interrupted : EXIT_CODES.terminated);
    expect(readdirSync(fake.temporary)).toEqual([]);
    for (const pid of pids()) await gone(pid);
  });
});

/** Returns when a process has ended. */
async function gone(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) {
    await wait(10);
  }
}
