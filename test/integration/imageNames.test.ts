/** Names of the disks of images: a name that stays while the file name changes. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import type { SessionReport } from '../../src/sessions/shared/report.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { backup, expectClean, expectRestored, VM } from '../helpers/repository/imageSessions.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const repository = (): string => temp.path('repo');

function snapshot(name: string, letters: string): string {
  return writeImage(temp.path(name), blocks(letters));
}

async function runBackup(...images: string[]): ReturnType<typeof runCli> {
  const where = ['--name', VM, '--repo', repository(), '--workers', '0', '--json'];
  return await runCli(['backup', '--image', ...images, ...where, '--block-size', '256KiB']);
}

async function backedUp(...images: string[]): Promise<SessionReport> {
  const { exitCode, stdout, stderr } = await runBackup(...images);
  expect(exitCode, stderr).toBe(EXIT_CODES.done);
  return JSON.parse(stdout) as SessionReport;
}

describe('--image NAME=FILE', () => {
  test('names one disk, whatever its file is called', async () => {
    await backedUp(`root=${snapshot('root-01-30', 'AbC')}`);

    const { disks, messages } = await backedUp(`root=${snapshot('root-01-31', 'Abc')}`);

    expect(disks).toMatchObject([{ alias: 'root', mode: 'compare', changedBytes: 256 * 1024 }]);
    expect(messages).toEqual([]);
    await expectRestored(repository(), { root: blocks('Abc') });
    await expectClean(repository());
  });

  test('goes on with the disk of the file that had this name', async () => {
    await backedUp(snapshot('disk.raw', 'Ab'));

    const { disks } = await backedUp(`disk.raw=${snapshot('other', 'Ab')}`);

    expect(disks).toMatchObject([{ alias: 'disk.raw', mode: 'compare', changedBytes: 0 }]);
  });

  test('tells images of one file name apart', async () => {
    temp.make('a');
    temp.make('b');
    const [a, b] = [snapshot('a/disk', 'A'), snapshot('b/disk', 'B')];

    const refused = await runBackup(a, b);
    const { disks } = await backedUp(a, `second=${b}`);

    expect(refused.stderr).toContain('NAME=FILE');
    expect(disks.map(({ alias }) => alias)).toEqual(['disk', 'second']);
    await expectRestored(repository(), { disk: blocks('A'), second: blocks('B') });
  });

  test.each([
    ['two of one name', ['root=FILE', 'root=FILE']],
    ['the name of another file', ['FILE', 'disk=FILE']],
    ['no name', ['=FILE']],
    ['no file', ['root=']],
    ['a name of spaces', [' =FILE']],
    ['a name with a control character', ['a\tb=FILE']],
    ['a name of 256 bytes', [`${'n'.repeat(256)}=FILE`]],
  ])('is refused with %s, before anything is made', async (_what, images) => {
    const file = snapshot('disk', 'A');

    const result = await runBackup(...images.map((image) => image.replace('FILE', file)));

    expect(result.stderr).toContain('USAGE_INVALID_OPTION');
    expect(result.exitCode).toBe(EXIT_CODES.usage);
    expect(existsSync(repository())).toBe(false);
  });

  test('names the file that is missing', async () => {
    const where = ['--name', VM, '--repo', repository()];

    const result = await runCli(['backup', '--image', `root=${temp.path('none')}`, ...where]);

    expectFailure(result, 'USAGE_IMAGE_UNREADABLE', EXIT_CODES.usage);
    expect(result.stderr).toContain(`image ${temp.path('none')}: does not exist`);
  });
});

test('a file name that changes is a new disk, and DSK-111 says how to avoid it', async () => {
  await backedUp(snapshot('root-01-30', 'AbC'));

  const { disks, messages } = await backedUp(snapshot('root-01-31', 'AbC'));

  expect(disks).toMatchObject([{ alias: 'root-01-31', mode: 'full' }]);
  expect(messages.map(({ code }) => code)).toEqual(['CBT-106', 'DSK-111']);
  expect(messages[1]?.resolution).toContain('--image NAME=FILE');
});

describe('backupImages', () => {
  test('takes images with and without a name', async () => {
    const [first, second] = [snapshot('first-1', 'A'), snapshot('second', 'b')];
    await backup(repository(), [], { images: [{ name: 'first', path: first }, second] });

    const images = [{ path: second }, { name: 'first', path: snapshot('first-2', 'A') }];
    const report = await backup(repository(), [], { images });

    expect(report.disks.map(({ alias, mode }) => [alias, mode])).toEqual([
      ['second', 'compare'],
      ['first', 'compare'],
    ]);
    expect(messageCodes(report)).toEqual([]);
    await expectRestored(repository(), { first: blocks('A'), second: readFileSync(second) });
  });

  test.each(['', ' ', 'a/b', '/', 'a\0', '\ud800', 'n'.repeat(256)])(
    'refuses the name %j before it makes anything',
    async (name) => {
      const images = [{ name, path: snapshot('disk', 'A') }];

      await expectCode(backup(repository(), [], { images }), 'USAGE_INVALID_OPTION');

      expect(pointsOf(repository())).toEqual([]);
      expect(existsSync(repository())).toBe(false);
    },
  );
});
