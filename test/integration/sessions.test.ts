/** Sessions over real image files: every restore point gives back its images to the byte. */
import { existsSync, statSync, utimesSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { WorkerPool } from '../../src/compute/workerPool.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { onDiskStart } from '../helpers/onDiskStart.ts';
import {
  backup,
  expectClean,
  expectRestored,
  restore,
} from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { messageCodes } from '../helpers/codes.ts';
import { BLOCK_BYTES, blocks, KIB, MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise, prose } from '../helpers/bytes/random.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

describe('a chain', () => {
  test('starts with a full and goes on with increments by comparison', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('Ab0C'))];

    const full = await backup(repository, image);
    writeImage(image, blocks('AbXC'));
    const increment = await backup(repository, image);

    expect(full).toMatchObject({ pointType: 'full', pointNumber: 1, parentPointId: '' });
    expect(increment).toMatchObject({
      pointType: 'increment',
      pointNumber: 2,
      parentPointId: full.pointId,
    });
    expect(increment.disks[0]).toMatchObject({
      mode: 'compare',
      readBytes: 4 * BLOCK_BYTES,
      changedBytes: BLOCK_BYTES,
      unchangedBytes: 3 * BLOCK_BYTES,
    });
    await expectRestored(repository, { a: blocks('Ab0C') }, { point: full.pointId });
    await expectRestored(repository, { a: blocks('AbXC') }, { point: increment.pointId });
    await expectClean(repository);
  });

  test('holds several images as disks of their own', async () => {
    const repository = temp.path('repo');
    const images = ['a', 'b', 'c'].map((name) => temp.path(name));
    const contents = { a: blocks('Ab'), b: blocks('0C0'), c: noise(1, 70_001) };
    for (const [name, bytes] of Object.entries(contents)) writeImage(temp.path(name), bytes);
    const full = await backup(repository, images);
    writeImage(temp.path('b'), blocks('0CD'));

    await backup(repository, images);

    await expectRestored(repository, contents, { point: full.pointId });
    await expectRestored(repository, { ...contents, b: blocks('0CD') });
    await expectClean(repository);
  });

  test('records nothing of an image that did not change', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('Ab0C'))];
    await backup(repository, image);

    const { disks, fileName } = await backup(repository, image);

    expect(disks[0]).toMatchObject({ changedBytes: 0, storedBytes: 0 });
    expect(fileName).toMatch(/\.vib$/);
    await expectRestored(repository, { a: blocks('Ab0C') });
  });

  test('looks at an image first and reads the blocks that changed', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('AbcdEfgh'))];
    await backup(repository, image, { workers: 2 });
    writeImage(image, blocks('AbXdEfgh'));
    const looks = vi.spyOn(WorkerPool.prototype, 'fingerprintRange');
    const reads = vi.spyOn(WorkerPool.prototype, 'read');

    await backup(repository, image, { workers: 2 });

    expect(looks.mock.calls.map(([{ lengthBytes }]) => lengthBytes)).toEqual([8 * BLOCK_BYTES]);
    expect(reads.mock.calls.map(([{ offsetBytes }]) => offsetBytes)).toEqual([2 * BLOCK_BYTES]);
    vi.restoreAllMocks();
    await expectRestored(repository, { a: blocks('AbXdEfgh') });
  });

  test('records a region that became zero', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('AbCd'))];
    const full = await backup(repository, image);
    writeImage(image, blocks('A00d'));

    const { disks } = await backup(repository, image);

    expect(disks[0]).toMatchObject({ changedBytes: 0, zeroBytes: 2 * BLOCK_BYTES });
    await expectRestored(repository, { a: blocks('A00d') });
    await expectRestored(repository, { a: blocks('AbCd') }, { point: full.pointId });
    await expectClean(repository);
  });

  test('stores blocks that are equal within an image once', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('ABAABA'))];

    const { disks } = await backup(repository, image);

    expect(disks[0]).toMatchObject({ duplicateBlocks: 4, storedBytes: 2 * BLOCK_BYTES });
    await expectRestored(repository, { a: blocks('ABAABA') });
  });

  test('starts anew with mode full and keeps the chain before it', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('Ab'))];
    const first = await backup(repository, image);
    writeImage(image, blocks('cD'));

    const second = await backup(repository, image, { mode: 'full', blockSizeBytes: MIB });

    expect(second).toMatchObject({ pointType: 'full', pointNumber: 2, messages: [] });
    await expectRestored(repository, { a: blocks('cD') }, { point: '2' });
    await expectRestored(repository, { a: blocks('Ab') }, { point: first.pointId });
    await expectRestored(repository, { a: blocks('cD') });
    await expectClean(repository);
  });

  test('refuses mode incremental where there is nothing to build on', async () => {
    const image = writeImage(temp.path('a'), blocks('A'));

    const session = backup(temp.path('repo'), image, { mode: 'incremental' });

    await expect(session).rejects.toMatchObject({ code: 'CHAIN_PARENT_MISSING' });
  });

  test('keeps its block size', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    await backup(repository, image);

    const session = backup(repository, image, { blockSizeBytes: MIB });

    await expect(session).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
    expect(pointsOf(repository)).toHaveLength(1);
    await expectRestored(repository, { a: blocks('A') });
  });

  test('tells of an image that was modified while it was read', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];
    const onProgress = onDiskStart(() => utimesSync(image, 1, 1));

    const report = await backup(repository, image, { onProgress });

    expect(messageCodes(report)).toEqual(['DSK-112']);
  });

  test('marks a point whose image was modified meanwhile, and only that one', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('A'))];

    await backup(repository, image, { onProgress: onDiskStart(() => utimesSync(image, 1, 1)) });
    await backup(repository, image);

    const marks = pointsOf(repository).map(({ disks }) => disks[0]?.changedWhileRead);
    expect(marks).toEqual([true, undefined]);
    expect((await listRepository({ repository })).vms[0]?.points[0]?.disks[0]).toMatchObject({
      changedWhileRead: true,
    });
    await expectClean(repository);
  });
});

describe('a session that is cancelled', () => {
  test.each([
    ['before it starts', 'before'],
    ['while it reads', 'reading'],
  ])('%s says so and leaves the repository as it was', async (_name, moment) => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('AbC'))];
    await backup(repository, image);
    const before = filesOf(repository);
    const abort = new AbortController();
    if (moment === 'before') abort.abort();

    const session = backup(repository, writeImage(image, blocks('xyz')), {
      signal: abort.signal,
      onProgress: onDiskStart(() => abort.abort()),
    });

    await expect(session).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(filesOf(repository)).toEqual(before);
    await expectRestored(repository, { a: blocks('AbC') });
  });
});

describe('an image', () => {
  test.each([
    ['a single byte', Buffer.from([7])],
    ['less than a sector', noise(2, 100)],
    ['no multiple of a sector', noise(3, BLOCK_BYTES + 777)],
    ['a compressible short last block', prose(4, 3 * BLOCK_BYTES + 4097)],
    ['zeros only', Buffer.alloc(2 * BLOCK_BYTES + 5)],
  ])('of %s is restored to the byte, before and after a change', async (_name, content) => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content)];
    const changed = Buffer.from(content);
    changed[changed.length - 1] = 99;
    const full = await backup(repository, image);
    writeImage(image, changed);

    await backup(repository, image);

    await expectRestored(repository, { a: content }, { point: full.pointId });
    await expectRestored(repository, { a: changed });
    await expectClean(repository);
  });

  test.each([256 * KIB, 512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB])(
    'is restored from blocks of %i bytes',
    async (blockSizeBytes) => {
      const content = Buffer.concat([noise(5, 3 * MIB), Buffer.alloc(6 * MIB), prose(6, MIB + 9)]);
      const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content)];
      await backup(repository, image, { blockSizeBytes });
      content.fill(1, 2 * MIB, 2 * MIB + 10);
      writeImage(image, content);

      await backup(repository, image);

      expect(pointsOf(repository).map((point) => point.blockSizeBytes)).toEqual([
        blockSizeBytes,
        blockSizeBytes,
      ]);
      await expectRestored(repository, { a: content });
      await expectClean(repository);
    },
  );

  test.each([0, -1, 128 * KIB, 300 * KIB, 16 * MIB, Number.NaN])(
    'is not stored in blocks of %d bytes',
    async (blockSizeBytes) => {
      const image = writeImage(temp.path('a'), blocks('A'));

      const session = backup(temp.path('repo'), image, { blockSizeBytes });

      await expect(session).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
      expect(existsSync(temp.path('repo'))).toBe(false);
    },
  );

  test.each([0, 1, 2])('is restored to the same bytes by %i workers', async (workers) => {
    const content = Buffer.concat([blocks('AbC0dEAb'), noise(7, 1234)]);
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content)];

    await backup(repository, image, { workers });

    await expectRestored(repository, { a: content }, { workers });
  });

  test('is restored sparse', async () => {
    const content = Buffer.concat([blocks('A'), Buffer.alloc(16 * MIB), blocks('b')]);
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), content)];
    await backup(repository, image);

    const output = await restore(repository);

    const { size, blocks: sectors } = statSync(path.join(output, 'a'));
    expect(size).toBe(content.length);
    expect(sectors * 512).toBeLessThan(MIB);
  });
});
