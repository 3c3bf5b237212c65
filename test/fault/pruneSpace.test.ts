/** Prunes on a volume that is too full for a merge, or full to the last byte. */
import {
  closeSync,
  existsSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { RESERVE_NAME } from '../../src/store/folder/spaceReserve.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { blocks, MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { backup, expectClean } from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf, strayFilesOf } from '../helpers/repository/repositoryFiles.ts';
import { prune } from '../helpers/repository/prunes.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Takes all free space of a volume. @returns the file that has it. */
function fillUp(volume: string): string {
  const filler = path.join(volume, 'filler');
  const handle = openSync(filler, 'w');
  for (const pieceBytes of [MIB, 4096, 1]) {
    const piece = Buffer.alloc(pieceBytes, 1);
    try {
      for (;;) if (writeSync(handle, piece) < pieceBytes) break;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
    }
  }
  closeSync(handle);
  expect(statfsSync(volume).bavail).toBe(0);
  return filler;
}

/** Two fulls of a small image, and an increment of the first one. */
async function twoChains(repository: string): Promise<void> {
  const image = writeImage(temp.path('a'), blocks('Ab'));
  await backup(repository, image);
  await backup(repository, writeImage(image, blocks('Bb')));
  await backup(repository, writeImage(image, blocks('Cb')), { mode: 'full' });
}

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

  test('a chain is deleted although no byte is free, and the reserve is made again', async () => {
    await inSmallVolume(9, async (volume) => {
      const repository = path.join(volume, 'repo');
      await twoChains(repository);
      const last = pointsOf(repository).slice(-1);
      fillUp(volume);

      const pruned = await prune(repository, { last: 1 });

      expect(pruned.deletedBytes).toBeGreaterThan(0);
      expect(pointsOf(repository)).toEqual(last);
      expect(strayFilesOf(repository)).toEqual([]);
      expect(existsSync(path.join(repository, RESERVE_NAME))).toBe(true);
      await expectClean(repository);
    });
  });

  test('without a reserve nothing is changed, and a prune with a little space works', async () => {
    await inSmallVolume(9, async (volume) => {
      const repository = path.join(volume, 'repo');
      await twoChains(repository);
      const before = pointsOf(repository);
      rmSync(path.join(repository, RESERVE_NAME));
      const filler = fillUp(volume);

      const { vms } = await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });

      expect(vms).toMatchObject([{ failure: { code: 'REPOSITORY_FULL' }, deletedBytes: 0 }]);
      expect(pointsOf(repository)).toEqual(before);
      await expectClean(repository);
      truncateSync(filler, statSync(filler).size - 64 * 1024);
      await prune(repository, { last: 1 });
      expect(pointsOf(repository)).toEqual(before.slice(-1));
      await expectClean(repository);
    });
  });
});
