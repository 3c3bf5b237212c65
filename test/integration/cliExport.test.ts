/** The command `export`: it serves until it is stopped, and says what it served. */
import { type ChildProcess, execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { composeAll, rot } from '../helpers/faults/bitRot.ts';
import { runCli, startCli } from '../helpers/cli/cli.ts';
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

it.each([
  ['no address', []],
  ['two addresses', ['--socket', 'a', '--listen', '127.0.0.1:1']],
  ['an address of others', ['--listen', '0.0.0.0:10809']],
  ['no port', ['--listen', '127.0.0.1']],
  ['a port above all', ['--listen', '127.0.0.1:70000']],
])('refuses %s', async (_what, args) => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('a')));

  const result = await runCli(['export', '--repo', folder.path('repository'), '--vm', VM, ...args]);

  expect(result.exitCode).toBe(EXIT_CODES.usage);
  expect(result.stderr).toContain('USAGE_INVALID_OPTION');
});
