/** Long chains of the compiled command line where a process may hold few files open. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

const temp = useSharedTempFolder();
const POINTS = 60;
const MOST_OPEN_FILES = 48;

function run(...args: readonly string[]): { readonly exitCode: number | null; text: string } {
  const script = `ulimit -n ${MOST_OPEN_FILES} && exec "$0" dist/cli/launch.cjs "$@"`;
  const result = spawnSync('bash', ['-c', script, process.execPath, ...args], { encoding: 'utf8' });
  return { exitCode: result.status, text: result.stderr };
}

let repository = '';
let image = '';

beforeAll(async () => {
  repository = temp.path('repo');
  image = temp.path('a');
  const content = blocks('A'.repeat(POINTS));
  for (let k = 0; k < POINTS; k++) {
    content.fill(k + 1, k * BLOCK_BYTES, k * BLOCK_BYTES + 4096);
    await backup(repository, writeImage(image, content));
  }
  expect(pointsOf(repository)).toHaveLength(POINTS);
});

test.each([
  ['backup', ['--image', 'IMAGE', '--name', 'vm']],
  ['verify', ['--point', 'all']],
  ['restore', ['--vm', 'vm', '--output', 'OUTPUT']],
  ['prune', ['--keep-last', '2']],
])('%s of 60 points works with 48 open files', async (command, flags) => {
  const places: Record<string, string> = { IMAGE: image, OUTPUT: temp.path('out') };
  const args = flags.map((flag) => places[flag] ?? flag);

  const result = run(command, '--repo', repository, '--workers', '2', ...args);

  expect(result).toEqual({ exitCode: 0, text: '' });
  await expectRestored(repository, { a: readFileSync(image) });
});
