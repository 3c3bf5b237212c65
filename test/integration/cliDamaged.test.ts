/** `restore` of a damaged point on the command line: exit code, table, JSON, refused options. */
import { readdirSync, readFileSync } from 'node:fs';
import { beforeEach, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { RestoreReport } from '../../src/sessions/restore/restoreImages.ts';
import { BLOCK_BYTES, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { FIRST, useCliChain } from '../helpers/cli/cliChain.ts';
import { backup } from '../helpers/repository/imageSessions.ts';
import { firstExtent } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const chain = useCliChain(temp);

/** The block `b` of the full is damaged. */
beforeEach(async () => {
  flipBit(chain.full(), (await firstExtent(chain.full(), 'lz4')).offsetBytes + 50);
});

function restoreArgs(...more: string[]): string[] {
  return chain.restoreArgs('--point', '1', ...more);
}

function withHole(): Buffer {
  return Buffer.from(FIRST).fill(0, BLOCK_BYTES, 2 * BLOCK_BYTES);
}

test('names --skip-damaged in the hint', async () => {
  const result = await runCli(restoreArgs());

  expect(result.exitCode).toBe(EXIT_CODES.failed);
  expect(result.stderr).toContain('--skip-damaged');
  expect(readdirSync(temp.path('out'))).toEqual([]);
});

test('shows the holes in the table, and ends with 13', async () => {
  const result = await runCli(restoreArgs('--skip-damaged'));

  expect(result.exitCode).toBe(EXIT_CODES.damageFound);
  expect(result.stdout).toMatch(/^disk +size +written +damaged +time +file$/m);
  expect(result.stdout).toMatch(/^damaged disk +offset +length +code$/m);
  expect(result.stdout).toMatch(/^a +262144 B +256\.0 KiB +INTEGRITY_/m);
  expect(result.stdout).toContain(`listed in ${temp.path('out', 'a.holes')}`);
  expect(result.stderr).toContain('REPO-521');
  expect(readFileSync(temp.path('out', 'a')).equals(withHole())).toBe(true);
});

test('gives the holes as JSON', async () => {
  const result = await runCli(restoreArgs('--skip-damaged', '--json'));

  expect(result.exitCode).toBe(EXIT_CODES.damageFound);
  const report = JSON.parse(result.stdout) as RestoreReport;
  expect(report.holes).toEqual([
    {
      diskId: report.disks[0]?.diskId,
      alias: 'a',
      offsetBytes: BLOCK_BYTES,
      lengthBytes: BLOCK_BYTES,
      code: expect.stringMatching(/^INTEGRITY_/),
      reason: expect.stringContaining('.vbk: stored block'),
    },
  ]);
  expect(report.failedDisks).toEqual([]);
});

test('of a sound point ends with 0', async () => {
  const result = await runCli(chain.restoreArgs('--skip-damaged', '--point', '2'));

  expect(result.exitCode).toBe(EXIT_CODES.done);
  expect(result.stdout).not.toContain('damaged');
});

test('takes damaged blocks from another point', async () => {
  writeImage(chain.image, FIRST);
  await backup(chain.repository, chain.image, { mode: 'full', blockSizeBytes: BLOCK_BYTES });

  const result = await runCli(restoreArgs('--damaged-from', '3'));

  expect(result.exitCode).toBe(EXIT_CODES.done);
  expect(result.stdout).toMatch(/^a .* 1 block /m);
  expect(readFileSync(temp.path('out', 'a')).equals(FIRST)).toBe(true);
});

test.each([['--skip-damaged'], ['--damaged-from', '2']])(
  'refuses %s with --to-engine',
  async (...option) => {
    const args = ['restore', '--repo', chain.repository, '--vm', 'vm', '--to-engine'];
    const target = ['--as-vm', 'new', '--storage-domain', 'data'];
    const result = await runCli([...args, ...target, ...option]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(`${option[0]} and --to-engine`);
  },
);
