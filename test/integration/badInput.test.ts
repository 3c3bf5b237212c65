/**
 * Bad input of the command line: one line with code and hint, the right exit code, and nothing
 * lost.
 */
import { chmodSync, cpSync, existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { ChainLock } from '../../src/store/folder/chainLock.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import {
  backupArgs,
  expectFailure,
  HOLES_ARE_READ,
  runCli,
  startCli,
  until,
} from '../helpers/cli/cli.ts';
import { FIRST, useCliChain } from '../helpers/cli/cliChain.ts';
import { MIB, writeImage, writeSparseImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { backup, expectClean, expectRestored } from '../helpers/repository/imageSessions.ts';
import { filesOf, onlyFileOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const chain = useCliChain(temp);

function isRoot(): boolean {
  const isRoot = process.getuid?.() === 0;
  if (isRoot) console.warn('skipped: root may read every image, whatever its mode');
  return isRoot;
}

describe('an image', () => {
  test.each([
    ['that is missing', () => temp.path('none')],
    ['that is a folder', () => temp.make('folder')],
    ['that is empty', () => writeImage(temp.path('empty'), Buffer.alloc(0))],
    ['that is a device without a size', () => '/dev/null'],
  ])('%s', async (_name, path) => {
    chain.image = path();

    const result = await runCli(chain.backupArgs());

    expectFailure(result, 'USAGE_IMAGE_UNREADABLE', EXIT_CODES.usage);
    await chain.expectFirstPointKept();
  });

  test.skipIf(isRoot())('that may not be read', async () => {
    chmodSync(chain.image, 0);

    expectFailure(await runCli(chain.backupArgs()), 'USAGE_IMAGE_UNREADABLE', EXIT_CODES.usage);
  });

  test('that is a qcow2 file, unless --image-format raw insists', async () => {
    const content = Buffer.concat([Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'), FIRST]);
    chain.image = writeImage(temp.path('a'), content);

    const refused = await runCli(chain.backupArgs());
    const insisted = await runCli(chain.backupArgs('--image-format', 'raw'));

    expectFailure(refused, 'USAGE_IMAGE_UNREADABLE', EXIT_CODES.usage);
    expect(refused.stderr).toContain('qemu-img convert -O raw');
    expect(insisted.exitCode).toBe(0);
    await expectRestored(chain.repository, { a: content });
    await chain.expectFirstPointKept();
  });

  test('that ends while it is read', async () => {
    writeSparseImage(chain.image, 8192 * MIB, FIRST);
    const running = startCli(chain.backupArgs(), HOLES_ARE_READ);
    expect(await until(running, () => filesOf(chain.repository, '.partial').length > 0)).toBe(true);

    truncateSync(chain.image, FIRST.length);

    expectFailure(await running.ended, 'TRANSFER_SHORT_READ', EXIT_CODES.failed);
    expect(filesOf(chain.repository, '.partial')).toEqual([]);
    await chain.expectFirstPointKept();
  });
});

describe('a repository', () => {
  test.each([
    ['that is a folder of other things', () => writeImage(temp.path('other', 'file'), FIRST)],
    ['that is a file', () => writeImage(temp.path('other'), FIRST)],
    [
      'with a marker of something else',
      () => writeImage(temp.path('other', 'ovirt-cbt.json'), FIRST),
    ],
  ])('%s', async (name, make) => {
    if (!name.endsWith('file')) temp.make('other');
    make();
    chain.repository = temp.path('other');

    expectFailure(await runCli(chain.backupArgs()), 'REPOSITORY_NOT_FOUND', 10);
  });

  test('that is missing', async () => {
    chain.repository = temp.path('none');

    expectFailure(await runCli(chain.restoreArgs()), 'REPOSITORY_NOT_FOUND', 10);
  });

  test.each(['3MiB', '128KiB', '0', '1MiB'])('asked for blocks of %s', async (size) => {
    const result = await runCli(chain.backupArgs('--block-size', size));

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    await chain.expectFirstPointKept();
  });

  test('asked for a block size that is not supported says the size in its unit', async () => {
    const { stderr } = await runCli(chain.backupArgs('--block-size', '3MiB'));

    expect(stderr).toContain('block size 3.00 MiB is not supported');
  });

  test.each(['list', 'verify', 'synthesize'])('takes no pattern of %s', async (command) => {
    const result = await runCli([command, '--repo', chain.repository, '--vm', 'v*']);

    expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
    expect(result.stderr).toContain('takes no patterns: give one name or id');
  });

  test('that is new is not made by --mode incremental', async () => {
    const folder = temp.path('new');
    const image = writeImage(temp.path('b'), FIRST);

    const result = await runCli(backupArgs(folder, image, '--mode', 'incremental'));

    expectFailure(result, 'CHAIN_PARENT_MISSING', EXIT_CODES.failed);
    expect(existsSync(folder)).toBe(false);
  });

  test('that is locked', async () => {
    await using _lock = await ChainLock.acquire(vmFolderOf(chain.repository));

    const results = await Promise.all([
      runCli(chain.backupArgs()),
      runCli(['rescan', '--repo', chain.repository]),
    ]);

    for (const result of results) expectFailure(result, 'REPOSITORY_LOCKED', 11);
    await chain.expectFirstPointKept();
  });

  test.each([
    ['lost', (vbm: string) => rmSync(vbm)],
    ['no XML', (vbm: string) => writeFileSync(vbm, 'BackupMeta: yes')],
  ])('whose .vbm is %s', async (_name, damage) => {
    damage(onlyFileOf(chain.repository, '.vbm'));

    const results = await Promise.all([runCli(chain.backupArgs()), runCli(chain.restoreArgs())]);

    for (const result of results) expectFailure(result, 'REPOSITORY_METADATA_INVALID', 1);
    await rescanRepository({ repository: chain.repository });
    await chain.expectFirstPointKept();
    await expectClean(chain.repository);
  });

  test('that holds no such VM, point or disk', async () => {
    const results = await Promise.all([
      runCli(['verify', '--repo', chain.repository, '--vm', 'other']),
      runCli(chain.restoreArgs('--point', 'ffffffff')),
      runCli(chain.restoreArgs('--disk', 'other')),
      runCli(['inspect', temp.path('none')]),
    ]);

    for (const result of results) expectFailure(result, 'USAGE_NOT_FOUND', EXIT_CODES.usage);
  });
});

describe('no space left', async () => {
  const canMount = await canMountVolumes();

  test.runIf(canMount)('for a session', async () => {
    await inSmallVolume(8, async (folder) => {
      chain.repository = path.join(folder, 'repo');
      writeImage(chain.image, FIRST);
      chain.firstPoint = (await backup(chain.repository, chain.image)).pointId;
      writeImage(chain.image, noise(1, 10 * MIB));

      const result = await runCli(chain.backupArgs());

      expectFailure(result, 'REPOSITORY_FULL', EXIT_CODES.failed);
      expect(filesOf(chain.repository).map((name) => path.extname(name))).toEqual(['.vbk', '.vbm']);
      chain.repository = temp.path('kept');
      cpSync(path.join(folder, 'repo'), chain.repository, { recursive: true });
      await chain.expectFirstPointKept();
    });
  });

  test.runIf(canMount)('for a full is foretold', async () => {
    await inSmallVolume(4, async (folder) => {
      chain.repository = path.join(folder, 'repo');
      writeImage(chain.image, noise(1, 10 * MIB));

      const result = await runCli(chain.backupArgs());

      expect(result.stderr).toMatch(/^warn: REPO-503 /m);
      expectFailure(result, 'REPOSITORY_FULL', EXIT_CODES.failed);
    });
  });

  test.runIf(canMount)('for a restored image', async () => {
    await backup(chain.repository, writeImage(chain.image, noise(1, 3 * MIB)));
    await inSmallVolume(1, async (folder) => {
      const result = await runCli(chain.restoreArgs('--output', folder));

      expectFailure(result, 'OUTPUT_FULL', EXIT_CODES.failed);
      await chain.expectFirstPointKept();
    });
  });
});

test('a codec without its native build is refused where it is needed, else told of', async () => {
  const preload = temp.path('preload.cjs');
  writeFileSync(
    preload,
    `const Module = require('node:module');
     const load = Module._load;
     Module._load = (name, ...rest) => {
       if (name === 'lz4/build/Release/lz4.node') throw new Error('no native build');
       return load(name, ...rest);
     };`,
  );
  const env = { NODE_OPTIONS: `--require ${preload}` };

  for (const flags of [['--strict'], ['--compression', 'high']]) {
    expectFailure(await runCli(chain.backupArgs(...flags), env), 'USAGE_CODEC_NOT_NATIVE', 2);
  }
  expect((await runCli(chain.backupArgs(), env)).stderr).toMatch(/^warn: ENV-801 /m);
  await chain.expectFirstPointKept();
  await expectClean(chain.repository);
});
