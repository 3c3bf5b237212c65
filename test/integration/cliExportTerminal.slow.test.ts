/** The last line of a terminal during `export`: clients, requests and bytes. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { startInTerminal } from '../helpers/cli/terminal.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const folder = useTempFolder();

it('shows the clients while it runs, and the summary at the end', async () => {
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), blocks('aB')));
  const socket = folder.path('s');
  const args = ['export', '--repo', folder.path('repository'), '--vm', VM, '--socket', socket];
  const terminal = startInTerminal(folder.path(), 100, args, {});

  await terminal.shows(/^0 clients now; 0 requests of 0 clients: 0 B read$/);
  const client = await RawClient.open({ path: socket });
  await terminal.shows(/^1 client now; /);
  client.destroy();
  await execute('nbdcopy', [`nbd+unix:///?socket=${socket}`, 'null:']);
  await terminal.shows(/^0 clients now; \d+ requests of \d+ clients: 512\.0 KiB read$/);
  terminal.type('C-c');

  expect(await terminal.ended()).toBe(EXIT_CODES.done);
  const lines = terminal.lines();
  expect(lines.filter((line) => line.includes('clients now'))).toEqual([]);
  expect(lines.some((line) => /^served \d+ requests of \d+ clients: 512\.0 KiB/.test(line))).toBe(
    true,
  );
});
