/** What the shipped command line really loads. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { backupArgs, startCli } from '../helpers/cli/cli.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const HELPERS = path.resolve(import.meta.dirname, '../helpers/cli');
const HEAVY = /node_modules\/(?:bullmq|ioredis|msgpackr|hono|@hono|preact|nodemailer)\//;
const temp = useTempFolder();

/** Source files that are in a file of the bundle: it names each before its code. */
function sourcesIn(file: string): string[] {
  const names = readFileSync(file, 'utf8').matchAll(/^\/\/ \.dist-next\/(\S+)$/gm);
  return [...names].map(([, name = '']) => name);
}

async function loadedBy(args: readonly string[]): Promise<{ files: string[]; sources: string[] }> {
  const list = temp.path('loaded');
  const preload = path.join(HELPERS, 'loadedModules.mjs');
  const { exitCode, stderr } = await startCli(args, {
    LOADED_MODULES: list,
    NODE_OPTIONS: `--import ${preload}`,
  }).ended;
  expect(exitCode, stderr).toBe(0);
  const files = readFileSync(list, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('node:') && !line.startsWith(HELPERS))
    .map((line) => (line.startsWith('file:') ? fileURLToPath(line) : line));
  const bundle = files.filter((file) => file.includes('/dist/bin/'));
  return { files, sources: bundle.flatMap((file) => sourcesIn(file)) };
}

function queueOrConsole(sources: readonly string[]): string[] {
  return sources.filter((source) => /^(?:fleet|console)\//.test(source));
}

it('a backup, a list and the help load no module of queue or console', async () => {
  const repository = temp.path('repo');
  const image = writeImage(temp.path('image'), blocks('Aa0'));

  const backup = await loadedBy(backupArgs(repository, image, '--workers', '1'));
  const list = await loadedBy(['list', '--repo', repository]);
  const help = await loadedBy(['--help']);

  for (const { files, sources } of [backup, list, help]) {
    expect(files.filter((file) => HEAVY.test(file))).toEqual([]);
    expect(queueOrConsole(sources)).toEqual([]);
  }
  expect(backup.sources).toContain('sessions/backup/backupImages.js');
  expect(help.sources).toContain('cli/program.js');
});

it('code of the queue would be found', () => {
  const fleet = sourcesIn(path.resolve('dist/bin/chunk-fleet.js'));

  expect(queueOrConsole(fleet)).toContain('fleet/planner/fleet.js');
});
