/** The damage that verify names, and its choice of blocks to check. */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../src/container/format/layout.ts';
import { backupImages } from '../../src/sessions/backup/backupImages.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { fingerprintExtent } from '../helpers/faults/metadataRot.ts';
import { backup } from '../helpers/repository/imageSessions.ts';
import { onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
let repository = '';
let image = '';

beforeEach(async () => {
  repository = temp.path('repo');
  image = writeImage(temp.path('a'), blocks('AbC'));
  await backup(repository, image);
});

test('verify blames a missing full, not the sound increment on it', async () => {
  await backup(repository, writeImage(image, blocks('AxC')));
  rmSync(onlyFileOf(repository, '.vbk'));

  const { files, damage } = await verifyRepository({ repository, point: 'all', workers: 0 });

  expect(damage.map((found) => found.code)).toEqual(['CHAIN_PARENT_MISSING']);
  expect(damage[0]?.affectedPointIds).toHaveLength(2);
  expect(files.map((file) => file.damageCount)).toEqual([1, 0]);
});

test('every finding of verify names its file', async () => {
  const file = onlyFileOf(repository, '.vbk');
  flipBit(file, slotOffsetOf(PRODUCTION_SLOT_FORMAT, 0) + 9);
  flipBit(file, (await fingerprintExtent(file, 0)).offsetBytes + 9);

  const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });

  expect(damage.length).toBeGreaterThan(1);
  expect(damage.map((found) => found.message)).toEqual(
    damage.map(() => expect.stringContaining(path.basename(file))),
  );
});

test('verify finds a point by its id among several VMs', async () => {
  const { pointId } = await backupImages({
    repository,
    vmName: 'twin',
    images: [image],
    workers: 0,
  });

  const { files } = await verifyRepository({ repository, point: pointId, workers: 0 });

  expect(files.map((file) => file.vmName)).toEqual(['twin']);
});

test('verify refuses a point that no VM has', async () => {
  const verified = verifyRepository({ repository, point: 'feedfeed', workers: 0 });

  await expect(verified).rejects.toMatchObject({ code: 'USAGE_NOT_FOUND' });
});

test('verify keeps the points apart of a chain that two fulls interrupt', async () => {
  await backup(repository, image, { mode: 'full' });
  await backup(repository, writeImage(image, blocks('Axx')));

  const { files, damage } = await verifyRepository({ repository, point: 'all', workers: 0 });

  expect(damage).toEqual([]);
  expect(files.map((file) => file.pointNumber)).toEqual([1, 2, 3]);
});

test('every sample reads at least one block of each container', async () => {
  await backup(repository, writeImage(image, blocks('AbxC')));
  await backup(repository, image);

  const sampleRatio = 1e-9;
  const { files } = await verifyRepository({ repository, sampleRatio, workers: 0 });

  expect(files.map((file) => file.checkedBlocks)).toEqual([1, 1, 1]);
  expect(files.every((file) => file.skippedBlocks > 0)).toBe(true);
});
