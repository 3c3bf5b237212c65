/** The command `export`: it serves until it is stopped, and says what it served. */
import { type ChildProcess, execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { composeAll, rot } from '../helpers/faults/bitRot.ts';
import { expectFailure, runCli, startCli } from '../helpers/cli/cli.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const folder = useTempFolder();

/** The first address that the server prints. */
async function uriOf(child: ChildProcess): Promise<string> {
  return await new Promise<string>((resolve) => {
    let text = '';
    child.stdout?.on('data', (more: string) => {
      text += more;
      const found = /nbd\+unix:[^\s"]+/.exec(text);
      if (found) resolve(found[0]);
    });
  });
}

it('serves a disk until Ctrl-C, which is its regular end', async () => {
  const content = blocks('aB0c');
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), content));
  const socket = folder.path('nbd.sock');
  const place = ['--repo', folder.path('repository'), '--vm', VM];
  const { child, ended } = startCli(['export', ...place, '--socket', socket]);

  const uri = await uriOf(child);
  await execute('nbdcopy', [uri, folder.path('copied.raw')]);
  child.kill('SIGINT');
  const { exitCode, stdout } = await ended;

  expect(readFileSync(folder.path('copied.raw')).equals(content)).toBe(true);
  expect(exitCode).toBe(EXIT_CODES.done);
  expect(stdout).toMatch(/^served \d+ requests of \d clients: 768\.0 KiB read$/m);
  expect(existsSync(socket)).toBe(false);
});

it.each([
  ['a line with its level', [], /error: disk\.raw: .*stored block/],
  [
    'an object with --json',
    ['--json'],
    /^\{"type":"export_problem".*"text":"disk\.raw: .*stored block/m,
  ],
])('tells a damaged block as %s', async (_what, args, expected) => {
  const repository = folder.path('repository');
  await backup(repository, writeImage(folder.path('disk.raw'), blocks('aB0c')));
  const vmFolder = path.join(
    repository,
    readdirSync(repository).find((name) => name.startsWith(VM)) ?? '',
  );
  rot(vmFolder, (await composeAll(vmFolder)).stored.values(), 1);
  const place = ['--repo', repository, '--vm', VM, '--socket', folder.path('nbd.sock')];
  const { child, ended } = startCli(['export', ...place, ...args]);

  const copying = execute('nbdcopy', [await uriOf(child), folder.path('copied.raw')]);
  await expect(copying).rejects.toThrow('nbdcopy');
  child.kill('SIGINT');
  const { exitCode, stderr } = await ended;

  expect(stderr).toMatch(expected);
  expect(stderr).toContain('closing the exports');
  expect(exitCode).toBe(EXIT_CODES.doneWithProblems);
});

it('keeps what clients wrote with --keep, and continues it', async () => {
  const content = blocks('aB0c');
  const repository = folder.path('repository');
  await backup(repository, writeImage(folder.path('disk.raw'), content));
  const place = ['--repo', repository, '--vm', VM, '--socket', folder.path('nbd.sock')];
  const writable = [...place, '--writable', folder.path('overlays')];
  const first = startCli(['export', ...writable, '--keep']);
  const uri = await uriOf(first.child);
  await execute('qemu-io', ['-f', 'raw', '-c', 'write -P 7 100 1000', uri]);
  first.child.kill('SIGINT');
  const ended = await first.ended;

  expect(ended.exitCode).toBe(EXIT_CODES.done);
  expect(ended.stdout).toContain(`writable, in ${folder.path('overlays')}; writes are kept;`);
  expect(ended.stdout).not.toContain('changed before');
  expect(ended.stdout).not.toContain('the same command');
  expect(ended.stdout).toContain('\n--point 1 goes on with these writes');
  expect(ended.stdout).toMatch(/^served \d+ requests of 1 client: .* read, 1000 B written$/m);
  expect(ended.stdout).toMatch(/^disk\.raw: 64\.0 KiB changed, kept in \//m);

  const refused = await runCli(['export', ...writable]);
  expectFailure(refused, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
  expect(refused.stderr).toContain('--keep continues it');

  const second = startCli(['export', ...writable, '--keep', '--json']);
  await execute('nbdcopy', [await uriOf(second.child), folder.path('copied.raw')]);
  second.child.kill('SIGTERM');
  const { exitCode, stderr, stdout } = await second.ended;

  content.fill(7, 100, 1100);
  expect(readFileSync(folder.path('copied.raw')).equals(content)).toBe(true);
  expect(exitCode).toBe(EXIT_CODES.done);
  expect(JSON.parse(stdout)).toMatchObject({ type: 'export', uris: [uri] });
  const summary: unknown = JSON.parse(/^\{"type":"export_summary".*$/m.exec(stderr)?.[0] ?? '');
  expect(summary).toMatchObject({
    clients: 0,
    bytesRead: 3 * BLOCK_BYTES,
    bytesWritten: 0,
    failures: 0,
    overlays: [{ exportName: 'disk.raw', isKept: true, changedBytes: 65_536 }],
  });
});

it('tells what is continued, that another server has it, and addresses for every folder', async () => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('aB')));
  const socket = path.relative(process.cwd(), folder.path('nbd.sock'));
  const place = ['--repo', folder.path('repository'), '--vm', VM];
  const args = ['export', ...place, '--writable', folder.path('overlays'), '--keep', '--socket'];
  const first = startCli([...args, socket]);
  const uri = await uriOf(first.child);
  await execute('qemu-io', ['-f', 'raw', '-c', 'write 0 4096', uri], { cwd: '/' });

  const refused = await runCli([...args, folder.path('other.sock')]);
  first.child.kill('SIGINT');
  await first.ended;
  const second = startCli([...args, socket]);
  await uriOf(second.child);
  second.child.kill('SIGINT');

  expect(uri).toContain(`?socket=${folder.path('nbd.sock')}`);
  expectFailure(refused, 'REPOSITORY_LOCKED', EXIT_CODES.repositoryLocked);
  expect(refused.stderr).toContain('error: the overlay ');
  expect(refused.stderr).toContain('or name another folder for the overlays');
  expect((await second.ended).stdout).toContain(
    'disk.raw: goes on with 64.0 KiB changed before, in /',
  );
});

it('names what is wrong with an address', async () => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('a')));
  const place = ['export', '--repo', folder.path('repository'), '--vm', VM];
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;

  const noFolder = await runCli([...place, '--socket', folder.path('nowhere', 'nbd.sock')]);
  const inUse = await runCli([...place, '--listen', `127.0.0.1:${port}`]);
  taken.close();

  expectFailure(noFolder, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  expect(noFolder.stderr).toContain(
    `the folder of the socket is missing: ${folder.path('nowhere')}`,
  );
  expectFailure(inUse, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  expect(inUse.stderr).toMatch(/the port is in use .* hint: choose another port/);
});

it('throws away what clients wrote without --keep', async () => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('aB')));
  const place = ['--repo', folder.path('repository'), '--vm', VM];
  const where = ['--socket', folder.path('nbd.sock'), '--writable', folder.path('overlays')];
  const { child, ended } = startCli(['export', ...place, ...where]);
  const uri = await uriOf(child);
  await execute('qemu-io', ['-f', 'raw', '-c', 'write 0 4096', uri]);
  child.kill('SIGINT');

  const { stdout } = await ended;
  expect(stdout).toContain('writes are deleted at the end; Ctrl-C ends it');
  expect(stdout).toContain(' changed, deleted');
  expect(stdout).not.toContain('goes on');
  expect(existsSync(folder.path('overlays'))).toBe(false);
});

it.each([
  ['no address', []],
  ['two addresses', ['--socket', 'a', '--listen', '127.0.0.1:1']],
  ['an address of others', ['--listen', '0.0.0.0:10809']],
  ['no port', ['--listen', '127.0.0.1']],
  ['a port above all', ['--listen', '127.0.0.1:70000']],
  ['--keep without a folder', ['--socket', 'a', '--keep']],
  ['a TLS folder without certificates', ['--listen', '0.0.0.0:0', '--tls', '/nowhere']],
  ['a long path of a socket', ['--socket', `/tmp/${'x'.repeat(120)}`]],
])('refuses %s', async (_what, args) => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('a')));

  const result = await runCli(['export', '--repo', folder.path('repository'), '--vm', VM, ...args]);

  expect(result.exitCode).toBe(EXIT_CODES.usage);
  expect(result.stderr).toContain('USAGE_INVALID_OPTION');
});
