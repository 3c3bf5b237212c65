/**
 * Retention over chains of images: deleted, merged and kept points. Kept points keep their content.
 */
import { readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { ChainLock } from '../../src/store/folder/chainLock.ts';
import { backupImages } from '../../src/sessions/backup/backupImages.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { onDiskStart } from '../helpers/onDiskStart.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { blocks, flipBit, KIB, writeImage } from '../helpers/bytes/images.ts';
import {
  backUpState,
  chainOf,
  expectPoints,
  prune,
  pruneTo,
  synthesize,
} from '../helpers/repository/prunes.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import { filesOf, pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Contents of one image `a`, one session each. */
function states(...letters: readonly string[]): { a: Buffer }[] {
  return letters.map((text) => ({ a: blocks(text) }));
}

function cut(letters: string, lengthBytes: number): Buffer {
  return blocks(letters).subarray(0, lengthBytes);
}

function bytesOf(repository: string): number {
  const folder = vmFolderOf(repository);
  return [...filesOf(repository, '.vbk'), ...filesOf(repository, '.vib')]
    .map((name) => statSync(path.join(folder, name)).size)
    .reduce((sum, size) => sum + size, 0);
}

test('points of a clock that was ahead are kept, and merged into none', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2076-11-28T00:00:00Z') });
  const state = { a: blocks('A') };
  const chain = await chainOf(temp, [state]).finally(() => vi.useRealTimers());
  await backUpState(temp, chain.repository, { a: blocks('b') });

  const report = await pruneRepository({
    repository: chain.repository,
    keep: { daily: 1 },
    dryRun: true,
  });

  expect(report.vms[0]?.points.map(({ keptBecause }) => keptBecause)).toEqual([
    ['future'],
    ['daily'],
  ]);
  expect(report.vms[0]?.messages.map(({ code }) => code)).toEqual(['REPO-514']);
});

describe('forever forward', () => {
  test('merges the oldest increments into the full', async () => {
    const chain = await chainOf(temp, states('AbC0', 'AxC0', 'AxC1', '0xC1', '0xCD'));

    const { points } = await prune(chain.repository, { last: 2 });

    expect(points.map((point) => point.action)).toEqual([
      'merge',
      'merge',
      'merge',
      'keep',
      'keep',
    ]);
    expect(pointsOf(chain.repository).map((point) => point.type)).toEqual(['full', 'increment']);
    expect([
      filesOf(chain.repository, '.vbk').length,
      filesOf(chain.repository, '.vib').length,
    ]).toEqual([1, 1]);
    await expectPoints(chain, [3, 4]);
  });

  test('goes on with increments, and merges again', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC', 'xyZ'));
    await prune(chain.repository, { last: 2 });

    const { pointType, parentPointId } = await backup(
      chain.repository,
      writeImage(temp.path('a'), blocks('xyQ')),
    );

    expect([pointType, parentPointId]).toEqual(['increment', chain.pointIds[3]]);
    await prune(chain.repository, { last: 1 });
    expect(pointsOf(chain.repository)).toMatchObject([
      { type: 'full', number: 5, parentPointId: '' },
    ]);
    await expectRestored(chain.repository, { a: blocks('xyQ') });
  });

  test('keeps id, time, number and checkpoint of the point that becomes the full', async () => {
    const { repository } = await chainOf(temp, states('AbC', 'xbC', 'xyC'));
    const { pointId, createdAt, number, checkpointId, chainId } = pointsOf(repository)[1] ?? {};

    await prune(repository, { last: 2 });

    const facts = { pointId, createdAt, number, checkpointId, chainId, type: 'full' };
    expect(pointsOf(repository)[0]).toMatchObject(facts);
  });
});

describe('increments between kept points', () => {
  test('become one, with the newest record of each block', async () => {
    const chain = await chainOf(temp, states('ABCDE', 'aBCDE', 'abCDE', '0bCDE', 'zbC0E', 'zbC0y'));
    const keep = { pointIds: [0, 4, 5] };

    await pruneTo(chain.repository, keep.pointIds);

    expect(pointsOf(chain.repository).map((point) => point.type)).toEqual([
      'full',
      'increment',
      'increment',
    ]);
    await expectPoints(chain, keep.pointIds);
  });

  test('hold zeros where the disk was shorter in between', async () => {
    const chain = await chainOf(temp, [
      { a: blocks('ABCDEF') },
      { a: cut('ABCDEF', 600 * KIB) },
      { a: Buffer.concat([cut('ABCDEF', 600 * KIB), Buffer.alloc(700 * KIB)]) },
      { a: Buffer.concat([cut('xBCDEF', 600 * KIB), Buffer.alloc(700 * KIB)]) },
    ]);

    await pruneTo(chain.repository, [0, 3]);

    await expectPoints(chain, [0, 3]);
  });

  test('hold the disks of the last of them', async () => {
    const chain = await chainOf(temp, [
      { a: blocks('AB'), b: blocks('CD') },
      { a: blocks('xB'), b: blocks('CD'), c: blocks('EF') },
      { a: blocks('xB'), c: blocks('Ey') },
      { a: blocks('xy'), c: blocks('Ey'), b: blocks('0D') },
      { a: blocks('xy'), c: blocks('0y'), b: blocks('0z') },
    ]);

    await pruneTo(chain.repository, [0, 3, 4]);

    const merged = pointsOf(chain.repository)[1];
    expect(merged?.disks.map(({ alias, content }) => [alias, content])).toEqual([
      ['a', 'increment'],
      ['c', 'full'],
      ['b', 'full'],
    ]);
    await expectPoints(chain, [0, 3, 4]);
  });
});

describe('chains', () => {
  test('that no rule keeps are deleted whole, and the newest one is not touched', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC'));
    const image = writeImage(temp.path('a'), blocks('xyC'));
    const { pointId, fileName } = await backup(chain.repository, image, { mode: 'full' });

    const { points, writtenBytes } = await prune(chain.repository, { last: 1 });

    expect(points.map((point) => point.action)).toEqual(['delete', 'delete', 'keep']);
    expect(writtenBytes).toBe(0);
    expect(pointsOf(chain.repository)).toMatchObject([{ pointId, fileName }]);
    expect(filesOf(chain.repository, '.vib')).toEqual([]);
    await expectRestored(chain.repository, { a: blocks('xyC') });
  });

  test('lose their tail behind the last kept point', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC'));
    const image = writeImage(temp.path('a'), blocks('xyZ'));
    const { pointId } = await backup(chain.repository, image, { mode: 'full' });
    const whole = { ...chain, pointIds: [...chain.pointIds, pointId] };
    const contents = new Map([...chain.contents, [pointId, { a: blocks('xyZ') }]]);

    await pruneTo(chain.repository, [1, 3]);

    await expectPoints({ ...whole, contents }, [1, 3]);
  });
});

describe('a synthetic full', () => {
  test('starts a new chain with the newest point, and leaves the older ones alone', async () => {
    const chain = await chainOf(temp, states('AbC0', 'xbC0', 'xyC0'));

    const report = await synthesize(chain.repository);

    expect(report).toMatchObject({ isNew: true, pointId: chain.pointIds[2] });
    const points = pointsOf(chain.repository);
    expect(points.map((point) => point.type)).toEqual(['full', 'increment', 'full']);
    expect(points[2]?.chainId).toBe(chain.pointIds[2]);
    await expectPoints(chain, [0, 1, 2]);
  });

  test('is what later increments build on when the old chain is let go', async () => {
    const chain = await chainOf(temp, states('AbC0', 'xbC0', 'xyC0'));
    await synthesize(chain.repository);
    const next = { a: blocks('xyZ0') };

    const pointId = await backUpState(temp, chain.repository, next);
    await prune(chain.repository, { last: 2 });

    expect(pointsOf(chain.repository).map((point) => point.type)).toEqual(['full', 'increment']);
    const contents = new Map([...chain.contents, [pointId, next]]);
    await expectPoints({ ...chain, contents, pointIds: [...chain.pointIds, pointId] }, [2, 3]);
  });

  test('is not made of a full', async () => {
    const { repository } = await chainOf(temp, states('AbC0'));
    const before = pointsOf(repository);

    expect(await synthesize(repository)).toMatchObject({ isNew: false, replacedBytes: 0 });
    expect(pointsOf(repository)).toEqual(before);
  });
});

describe('stored blocks', () => {
  test('are copied as they are and stored once', async () => {
    const { repository } = await chainOf(temp, states('AAbb', 'AACb', 'ACCb'));
    const wanted = [blocks('A'), blocks('C')];

    await prune(repository, { last: 1 });

    const content = readFileSync(
      path.join(vmFolderOf(repository), filesOf(repository, '.vbk')[0] ?? ''),
    );
    for (const bytes of wanted) {
      expect(content.indexOf(bytes)).toBeGreaterThan(0);
      expect(content.indexOf(bytes)).toBe(content.lastIndexOf(bytes));
    }
  });

  test('that are damaged keep a merge from being made, and all points stay as they are', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC'));
    const full = path.join(
      vmFolderOf(chain.repository),
      filesOf(chain.repository, '.vbk')[0] ?? '',
    );
    flipBit(full, readFileSync(full).indexOf(blocks('C')) + 5);
    const before = [filesOf(chain.repository), pointsOf(chain.repository)];

    const { vms } = await pruneRepository({
      repository: chain.repository,
      keep: { last: 1 },
      workers: 0,
    });

    expect(vms[0]?.failure?.code).toBe('INTEGRITY_DIGEST_MISMATCH');
    expect([filesOf(chain.repository), pointsOf(chain.repository)]).toEqual(before);
    await expectCode(synthesize(chain.repository), 'INTEGRITY_DIGEST_MISMATCH');
  });

  test('that are damaged and not needed any more do no harm', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC', 'xyZ'));
    const full = path.join(
      vmFolderOf(chain.repository),
      filesOf(chain.repository, '.vbk')[0] ?? '',
    );
    flipBit(full, readFileSync(full).indexOf(blocks('A')) + 5);

    await prune(chain.repository, { last: 2 });

    await expectPoints(chain, [2, 3]);
  });
});

describe('a dry run', () => {
  test('changes nothing, also while a session holds the lock, and says what a prune does', async () => {
    const { repository } = await chainOf(temp, states('AbC', 'xbC', 'xyC', 'xyZ'));
    const before = [filesOf(repository), pointsOf(repository)];
    const lock = await ChainLock.acquire(vmFolderOf(repository));

    const dry = await prune(repository, { last: 2 }, { dryRun: true });

    await lock.release();
    expect([filesOf(repository), pointsOf(repository)]).toEqual(before);
    const sizeBytes = bytesOf(repository);
    const real = await prune(repository, { last: 2 });
    expect(dry.points).toEqual(real.points);
    expect(dry.deletedBytes).toBe(real.deletedBytes);
    expect(Math.abs(dry.writtenBytes - real.writtenBytes)).toBeLessThan(0.05 * real.writtenBytes);
    expect(bytesOf(repository)).toBe(sizeBytes - real.deletedBytes + real.writtenBytes);
  });
});

describe('a prune', () => {
  test('is refused while a session holds the lock', async () => {
    const { repository } = await chainOf(temp, states('AbC', 'xbC'));
    await using _lock = await ChainLock.acquire(vmFolderOf(repository));

    const { vms } = await pruneRepository({ repository, keep: { last: 1 } });

    expect(vms).toMatchObject([{ failure: { code: 'REPOSITORY_LOCKED' }, deletedBytes: 0 }]);
    await expectCode(synthesize(repository), 'REPOSITORY_LOCKED');
  });

  test('of several VMs goes on after one that fails', async () => {
    const { repository } = await chainOf(temp, states('AbC', 'xbC'));
    for (const text of ['Ab', 'Ac']) {
      const images = [writeImage(temp.path('a'), blocks(text))];
      await backupImages({ repository, images, vmName: 'zz', workers: 0 });
    }
    const { vms: before } = await pruneRepository({ repository, keep: { last: 1 }, dryRun: true });
    await using _lock = await ChainLock.acquire(
      before.find((vm) => vm.vmName === 'vm')?.folder ?? '',
    );

    const { vms } = await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });

    expect(vms).toMatchObject([
      { vmName: 'vm', failure: { code: 'REPOSITORY_LOCKED' } },
      { vmName: 'zz', failure: undefined, points: [{ action: 'merge' }, { action: 'keep' }] },
    ]);
  });

  test('deletes nothing while the container of a point that it would keep is missing', async () => {
    const { repository } = await chainOf(temp, states('AbC', 'xbC'));
    await backup(repository, writeImage(temp.path('a'), blocks('xyz')), { mode: 'full' });
    rmSync(path.join(vmFolderOf(repository), pointsOf(repository)[2]?.fileName ?? ''));

    const { vms } = await pruneRepository({ repository, keep: { last: 1 }, workers: 0 });

    expect(vms).toMatchObject([{ failure: { code: 'CHAIN_PARENT_MISSING' }, deletedBytes: 0 }]);
    await rescanRepository({ repository });
    await expectRestored(repository, { a: blocks('xbC') });
    await prune(repository, { last: 1 });
    await expectRestored(repository, { a: blocks('xbC') });
  });

  test('without a rule is refused', async () => {
    const { repository } = await chainOf(temp, states('AbC'));

    await expectCode(pruneRepository({ repository, keep: {} }), 'USAGE_INVALID_OPTION');
  });

  test('that is stopped leaves the points as they were', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC'));
    const stop = new AbortController();
    const options = { repository: chain.repository, keep: { last: 1 }, workers: 0 };

    const pruned = pruneRepository({
      ...options,
      signal: stop.signal,
      onProgress: onDiskStart(() => stop.abort()),
    });

    await expectCode(pruned, 'CANCELLED');
    expect(filesOf(chain.repository, '.partial')).toEqual([]);
    await expectPoints(chain, [0, 1, 2]);
  });

  test('leaves containers from which lost metadata is rebuilt', async () => {
    const chain = await chainOf(temp, states('AbC', 'xbC', 'xyC', 'xyZ'));
    await prune(chain.repository, { last: 2 });
    const before = pointsOf(chain.repository);

    await rescanRepository({ repository: chain.repository });

    expect(pointsOf(chain.repository)).toEqual(before);
    await expectPoints(chain, [2, 3]);
    expect(messageCodes(await backup(chain.repository, temp.path('a')))).toEqual([]);
  });
});
