/** Two processes that want one lock at the same time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const PROCESSES = 4;

/**
 * Prints "ready", waits for a line, tries the lock, prints the result, holds it to the end of
 * input.
 */
const SCRIPT = `
  import { ChainLock } from './dist/store/folder/chainLock.js';
  const [folder] = process.argv.slice(-1);
  process.stdin.once('data', async () => {
    const outcome = await ChainLock.acquire(folder).then(() => 'won', (error) => error.code);
    process.stdout.write(outcome);
  });
  process.stdout.write('ready');
`;

async function said(child: ChildProcess): Promise<string> {
  const [text] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  return text.toString();
}

test('of several processes exactly one gets the lock', async () => {
  const args = ['--input-type=module', '--eval', SCRIPT, temp.path()];
  const children = Array.from({ length: PROCESSES }, () => spawn(process.execPath, args));
  try {
    await Promise.all(children.map(said));
    const outcomes = children.map(said);
    for (const child of children) child.stdin.write('go\n');

    expect((await Promise.all(outcomes)).toSorted()).toEqual([
      ...Array.from({ length: PROCESSES - 1 }, () => 'REPOSITORY_LOCKED'),
      'won',
    ]);
  } finally {
    for (const child of children) child.stdin.end();
  }
});
