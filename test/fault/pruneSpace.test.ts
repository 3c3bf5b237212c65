/** Prunes on a volume that is too full for a merge. */
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { blocks, MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { backup, expectClean } from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

describe.runIf(await canMountVolumes())('on a volume without room for another full', () => {
  test('a merge is refused before it writes, and whole chains are deleted all the same', async () => {
    await inSmallVolume(9, async (volume) => {
      const repository = path.join(volume, 'repo');
      const image = writeImage(temp.path('a'), blocks('Ab'));
      await backup(repository, image);
      const content = noise(1, 3 * MIB);
      await backup(repository, writeImage(image, content), {
        mode: 'full',
        blockSizeBytes: undefined,
      });
      content.write('changed');
      await backup(repository, writeImage(image, content));
      const before = pointsOf(repository);

      const { vms } = await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });

      expect(vms).toMatchObject([{ failure: { code: 'REPOSITORY_FULL' }, writtenBytes: 0 }]);
      expect(pointsOf(repository)).toEqual(before.slice(1));
      expect([filesOf(repository, '.partial'), filesOf(repository, '.vbk').length]).toEqual([
        [],
        1,
      ]);
      await expectClean(repository);
    });
  });
});
