/** Images and folders that behave badly, on the command line. */
import { utimesSync } from 'node:fs';
import { setInterval } from 'node:timers';
import { expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { backupArgs, expectFailure, runCli } from '../helpers/cli/cli.ts';
import { useCliChain } from '../helpers/cli/cliChain.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const chain = useCliChain(temp);

/** Runs a backup while another program writes to its image all the time. */
async function backupWhileWritten(...flags: string[]): Promise<Awaited<ReturnType<typeof runCli>>> {
  let seconds = 0;
  const writer = setInterval(() => utimesSync(chain.image, ++seconds, seconds), 1);
  try {
    return await runCli(chain.backupArgs(...flags));
  } finally {
    clearInterval(writer);
  }
}

test.each([
  [['--strict'], EXIT_CODES.doneWithProblems],
  [[], EXIT_CODES.done],
])('an image that changes while it is read ends with %j as %i', async (flags, exitCode) => {
  const result = await backupWhileWritten(...flags);
  const listed = await runCli(['list', '--repo', chain.repository]);

  expect(result.stderr).toMatch(/^warn: DSK-112 /);
  expect(result.exitCode).toBe(exitCode);
  expect(listed.stdout).toContain('changed while read');
});

test('a repository in a folder that takes no new folders is refused', async () => {
  const image = writeImage(temp.path('b'), blocks('a'));

  const result = await runCli(backupArgs('/proc/x/y', image, '--workers', '0'));

  expectFailure(result, 'REPOSITORY_IO', EXIT_CODES.failed);
});

test('a restore to a folder that takes no new folders is refused', async () => {
  const result = await runCli(chain.restoreArgs('--output', '/proc/x/y'));

  expectFailure(result, 'OUTPUT_IO', EXIT_CODES.failed);
});
