/** Files of a repository: names, modes, one folder for each VM. */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { BackupError } from '../../src/core/errors.ts';
import { backupImages } from '../../src/sessions/backup/backupImages.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  modeOf,
  onlyFileOf,
  vmFolderOf,
  vmFoldersOf,
} from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

describe('the repository', () => {
  test('is readable by its owner alone', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];

    await backup(repository, image);

    const files = filesOf(repository).map((name) => path.join(vmFolderOf(repository), name));
    expect([repository, vmFolderOf(repository)].map(modeOf)).toEqual(['700', '700']);
    expect([...files, path.join(repository, 'ovirt-cbt.json')].map(modeOf)).toEqual([
      '600',
      '600',
      '600',
    ]);
  });

  test('names files after the VM, the time and four random digits', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];

    await backup(repository, image, { vmName: 'my vm/ü' });
    const [full, vbm] = [onlyFileOf(repository, '.vbk'), onlyFileOf(repository, '.vbm')];

    expect(path.basename(vmFolderOf(repository))).toMatch(/^my vm_ü\.[0-9a-f-]{36}$/);
    expect(path.basename(full)).toMatch(/^my vm_ü\.D\d{4}-\d\d-\d\dT\d{6}_[0-9A-F]{4}\.vbk$/);
    expect(path.basename(vbm)).toBe('my vm_ü.vbm');
  });

  test('may be made on a fresh volume', async () => {
    const image = writeImage(temp.path('a'), blocks('A'));
    mkdirSync(path.join(temp.make('repo'), 'lost+found'));

    expect(await backup(temp.path('repo'), image)).toMatchObject({ pointNumber: 1 });
  });

  test.each([' vm ', 'a "quoted" & <less>', 'виртуальная', '..', 'a/../../b', 'a\u2028b'])(
    'finds the VM %j again by its name',
    async (vmName) => {
      const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
      await backup(repository, image, { vmName });

      const report = await backup(repository, image, { vmName });

      expect(report).toMatchObject({ vmName, pointNumber: 2 });
      expect(vmFoldersOf(repository)).toHaveLength(1);
    },
  );

  test('makes no second folder for a VM whose folder an older version named', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    await backup(repository, image, { vmName: 'my vm' });
    const folder = vmFolderOf(repository);
    rmSync(onlyFileOf(repository, '.vbm'));
    renameSync(folder, folder.replace('my vm.', 'my_vm.'));

    const session = backup(repository, image, { vmName: 'my vm' });

    await expect(session).rejects.toMatchObject({ code: 'REPOSITORY_METADATA_INVALID' });
    expect(vmFoldersOf(repository)).toHaveLength(1);
  });

  test('tells VMs apart whose names are equal in file names', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    await backup(repository, image, { vmName: 'a/b' });

    const report = await backupImages({ repository, images: [image], vmName: 'a_b', workers: 0 });

    expect(report).toMatchObject({ vmName: 'a_b', pointNumber: 1 });
    expect(vmFoldersOf(repository)).toHaveLength(2);
  });

  test.each([
    ['a repository of its own', false],
    ['a repository of other VMs', true],
  ])('gets one folder from first sessions of a VM at once, in %s', async (_name, exists) => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    if (exists) await backup(repository, image, { vmName: 'other' });
    const options = { repository, images: [image], vmName: VM, workers: 0 };

    const sessions = Array.from({ length: 4 }, () => backupImages(options));
    const results = await Promise.allSettled(sessions);

    const refused = results.flatMap((result) =>
      result.status === 'rejected' ? [(result.reason as BackupError).code] : [],
    );
    const folders = vmFoldersOf(repository).map((folder) => path.basename(folder));
    expect(folders.filter((name) => name.startsWith(`${VM}.`))).toHaveLength(1);
    expect(new Set(refused)).toEqual(new Set(['REPOSITORY_LOCKED']));
  });

  test('holds nothing but its files when a session is done', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    await backup(repository, image);

    await backup(repository, image);

    expect(filesOf(repository).map((name) => path.extname(name))).toEqual(
      expect.arrayContaining(['.vbk', '.vib', '.vbm']),
    );
    expect(filesOf(repository)).toHaveLength(3);
  });
});
