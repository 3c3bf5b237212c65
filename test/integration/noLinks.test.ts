/** A repository and restored images on a file system without hard links. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { onDiskStart } from '../helpers/onDiskStart.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { NO_LINK_ERRNOS, withoutLinks } from '../helpers/faults/noLinks.ts';
import {
  backup,
  checkNoStrays,
  expectClean,
  expectRestored,
  VM,
} from '../helpers/repository/imageSessions.ts';
import { prune } from '../helpers/repository/prunes.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

test.each(NO_LINK_ERRNOS)(
  'backup, prune, verify and restore work where links fail with %s',
  async (errno) => {
    const repository = temp.path('repo');
    const [first, second] = [blocks('Aa0'), blocks('Ba0')];
    await withoutLinks(errno, async () => {
      await backup(repository, writeImage(temp.path('a'), first));
      await backup(repository, writeImage(temp.path('a'), second));
      await prune(repository, { last: 1 });
      await expectClean(repository);
      await expectRestored(repository, { a: second });
    });
    expect(pointsOf(repository)).toHaveLength(1);
    checkNoStrays(repository);
  },
);

test('a restore without links does not replace a file that took the name meanwhile', async () => {
  const repository = temp.path('repo');
  await backup(repository, writeImage(temp.path('a'), blocks('Aa0')));
  const output = temp.make('output');
  const target = path.join(output, 'a');

  const onProgress = onDiskStart(() => writeFileSync(target, 'of another program'));
  const options = { repository, vm: VM, output, workers: 0, onProgress };
  const restored = withoutLinks('EPERM', () => restoreImages(options));

  await expect(restored).rejects.toMatchObject({ code: 'USAGE_OUTPUT_EXISTS' });
  expect(readFileSync(target, 'utf8')).toBe('of another program');
  expect(readdirSync(output)).toEqual(['a']);
});
