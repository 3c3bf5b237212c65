/** `prune` and `synthesize` as their users run them. */
import { beforeEach, describe, expect, test } from 'vitest';
import { ChainLock } from '../../src/store/folder/chainLock.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { backupImages } from '../../src/sessions/backup/backupImages.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { chainOf, expectPoints, type Pictured } from '../helpers/repository/prunes.ts';
import { pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import type { ListReport } from '../../src/sessions/inspect/listRepository.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

let chain: Pictured;
beforeEach(async () => {
  chain = await chainOf(
    temp,
    ['Ab', 'xb', 'xy'].map((text) => ({ a: blocks(text) })),
  );
});

function run(command: string, ...args: readonly string[]): ReturnType<typeof runCli> {
  return runCli([command, '--repo', chain.repository, '--workers', '0', ...args]);
}

describe('prune', () => {
  test('shows with --dry-run what it then does', async () => {
    const dry = await run('prune', '--keep-last', '2', '--dry-run');

    expect(dry).toMatchObject({ exitCode: 0, stderr: '' });
    expect(dry.stdout).toMatch(/1 +full .* merged into no\. 2\n/);
    expect(dry.stdout).toMatch(/2 +increment .* kept: last\n/);
    expect(dry.stdout).toMatch(/would delete .*, write about .*, free about /);
    expect(pointsOf(chain.repository)).toHaveLength(3);
    const real = await run('prune', '--keep-last', '2');
    expect(real.exitCode).toBe(0);
    expect(real.stdout).toMatch(/^deleted .*, wrote .*, freed /m);
    await expectPoints(chain, [1, 2]);
  });

  test('prints its report as JSON', async () => {
    const { stdout } = await run(
      'prune',
      '--keep-daily',
      '1',
      '--keep-within',
      '1h',
      '--json',
      '--vm',
      VM,
    );

    expect(JSON.parse(stdout)).toMatchObject({
      type: 'prune',
      dryRun: false,
      vms: [
        {
          vmName: VM,
          points: [{ keptBecause: ['within'] }, {}, { keptBecause: ['daily', 'within'] }],
        },
      ],
    });
  });

  test('needs a rule', async () => {
    expectFailure(await run('prune', '--keep-last', '0'), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expectFailure(await run('prune'), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  test.each([
    ['--keep-last', 'x'],
    ['--keep-last', '-1'],
    ['--keep-weekly', '1.5'],
    ['--keep-within', '7'],
  ])('refuses %s %s', async (option, value) => {
    expectFailure(await run('prune', option, value), 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
  });

  test('exits with 11 while a session runs', async () => {
    await using _lock = await ChainLock.acquire(vmFolderOf(chain.repository));

    const { exitCode, stdout, stderr } = await run('prune', '--keep-last', '1');

    expect([exitCode, stdout]).toEqual([EXIT_CODES.repositoryLocked, '']);
    expect(stderr.match(/REPOSITORY_LOCKED/g)).toHaveLength(1);
  });

  test('of a locked VM among others says nothing about its points but the failure', async () => {
    const images = [writeImage(temp.path('zz'), blocks('Ab'))];
    const { repository } = chain;
    const folder = vmFolderOf(repository);
    await backupImages({ repository, images, vmName: 'zz', workers: 0 });
    await using _lock = await ChainLock.acquire(folder);

    const { exitCode, stdout } = await run('prune', '--keep-last', '1');

    const [locked, other] = stdout.split('\n\n');
    expect(exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(locked).toMatch(/^vm \(.+\)\nfailed: .+ \(REPOSITORY_LOCKED\) /);
    expect(locked?.split('\n')).toHaveLength(2);
    expect(other).toMatch(/^zz /);
  });
});

describe('list of a merged point', () => {
  test.each([
    ['synthesize', '--vm', VM],
    ['prune', '--keep-last', '1'],
  ])('shows after %s what its container holds now', async (command, ...args) => {
    const last = writeImage(temp.path('a'), blocks('xy'));
    const fresh = await backup(temp.path('fresh'), last);
    await run(command, ...args);

    const listed = ['list', '--repo', chain.repository, '--vm', VM];
    const { stdout } = await runCli(listed);
    const report = JSON.parse((await runCli([...listed, '--json'])).stdout) as ListReport;

    const { changedBytes, storedBytes } = fresh.disks[0] ?? {};
    expect(report.vms[0]?.points.at(-1)?.disks).toMatchObject([
      { content: 'full', mode: 'compare', changedBytes, storedBytes },
    ]);
    expect(stdout).toMatch(/^ +3 +a +merged /m);
  });
});

describe('synthesize', () => {
  test('makes the newest point a full, once', async () => {
    const first = await run('synthesize', '--vm', VM);
    const second = await run('synthesize', '--vm', VM);

    expect([first.exitCode, second.exitCode]).toEqual([0, 0]);
    expect(first.stdout).toMatch(/restore point 3 \(\S+\) is a full now\nfile +\S+\.vbk \(/);
    expect(second.stdout).toMatch(/is a full already/);
    await expectPoints(chain, [0, 1, 2]);
  });

  test('needs a VM that was backed up', async () => {
    const result = await run('synthesize', '--vm', 'nobody');

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });
});
