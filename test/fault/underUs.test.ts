/**
 * Repositories that others change or that are read-only, and clocks that jump: typed errors,
 * nothing lost.
 */
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { restoreImages } from '../../src/sessions/restore/restoreImages.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { expectCode, failureOf } from '../helpers/codes.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import {
  contentOf,
  backup,
  expectClean,
  expectRestored,
} from '../helpers/repository/imageSessions.ts';
import { filesOf, onlyFileOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const [FIRST, SECOND, THIRD] = ['Aa0', 'Ba0', 'BCx'].map((letters) => blocks(letters)) as [
  Buffer,
  Buffer,
  Buffer,
];

/** A chain of two points of the image `a`. */
async function makeChain(): Promise<{ readonly repository: string; readonly image: string }> {
  const repository = temp.path('repository');
  const image = writeImage(temp.path('a'), FIRST);
  await backup(repository, image);
  await backup(repository, writeImage(image, SECOND));
  return { repository, image };
}

/** Calls `act` when the work opens or reads its `nth` file in the folder of the test. */
async function meanwhile<T>(nth: number, act: () => void, work: () => Promise<T>): Promise<T> {
  const files = await FaultyFiles.install(temp.path());
  files.arm();
  files.watch((_name, count) => {
    if (count === nth) act();
  });
  try {
    return await work();
  } finally {
    files.uninstall();
  }
}

const MOMENTS = Array.from({ length: 12 }, (_, k) => 1 + 3 * k);

describe('a container that', () => {
  test.each(MOMENTS)('vanishes at operation %i of a restore ends it, or not', async (nth) => {
    const { repository } = await makeChain();
    const container = onlyFileOf(repository, '.vib');
    const away = temp.path('away');

    const work = (): Promise<unknown> =>
      restoreImages({ repository, vm: 'vm', output: temp.path('out'), workers: 0 });
    const ended = await meanwhile(nth, () => renameSync(container, away), work).then(
      () => 'restored',
      async (error: unknown) => (await failureOf(Promise.reject(error))).code,
    );

    // A deleted file can still be read while it is open.
    expect(['restored', 'CHAIN_PARENT_MISSING']).toContain(ended);
    renameSync(away, container);
    await expectRestored(repository, { a: SECOND });
  });

  test('is swapped for that of another VM is no source, and comes back', async () => {
    const { repository } = await makeChain();
    const other = temp.path('other');
    await backup(other, writeImage(temp.path('b'), THIRD));
    const container = onlyFileOf(repository, '.vib');
    const sound = readFileSync(container);

    copyFileSync(onlyFileOf(other, '.vbk'), container);

    const output = temp.path('out');
    const work = restoreImages({ repository, vm: 'vm', output, workers: 0 });
    await expectCode(work, 'INTEGRITY_DIGEST_MISMATCH');
    writeFileSync(container, sound);
    await expectRestored(repository, { a: SECOND });
  });
});

describe('chain metadata of another VM', () => {
  test('is refused by every command, and its own comes back', async () => {
    const { repository, image } = await makeChain();
    const other = temp.path('other');
    await backup(other, writeImage(temp.path('b'), THIRD));
    const vbm = onlyFileOf(repository, '.vbm');
    const sound = readFileSync(vbm);
    const before = filesOf(repository);

    copyFileSync(onlyFileOf(other, '.vbm'), vbm);

    await expectCode(backup(repository, image), 'REPOSITORY_METADATA_INVALID');
    const { failures } = await listRepository({ repository });
    expect(failures.map(({ code }) => code)).toEqual(['REPOSITORY_METADATA_INVALID']);
    expect(filesOf(repository)).toEqual(before);
    writeFileSync(vbm, sound);
    await expectRestored(repository, { a: SECOND });
  });
});

describe('a repository that cannot be written to', () => {
  test('can be listed, verified and restored', async () => {
    const { repository } = await makeChain();
    const files = await FaultyFiles.install(repository);
    files.arm({ fault: 'EPERM', nth: 1 });

    try {
      expect((await listRepository({ repository })).vms).toHaveLength(1);
      const verified = await verifyRepository({ repository, point: 'all', workers: 0 });
      expect(verified.damage).toEqual([]);
      await contentOf(repository, 'vm', 'latest');
    } finally {
      files.uninstall();
    }
  });

  test('takes no session, and is as it was', async () => {
    const { repository, image } = await makeChain();
    const before = filesOf(repository);
    const files = await FaultyFiles.install(repository);
    files.arm({ fault: 'EPERM', nth: 1 });

    try {
      await expectCode(backup(repository, image), 'REPOSITORY_IO');
    } finally {
      files.uninstall();
    }

    expect(filesOf(repository)).toEqual(before);
    await expectClean(repository);
  });
});

describe('a clock that', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    ['stands still', [0, 0, 0]],
    ['goes back', [0, -3_600_000, -7_200_000]],
    ['jumps', [0, 315_360_000_000, -1000]],
  ])('%s changes nothing about the order of points', async (_what, offsetsMs) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const repository = temp.path('repository');
    const image = temp.path('a');
    const start = Date.UTC(2026, 10, 26);

    for (const [k, content] of [FIRST, SECOND, THIRD].entries()) {
      vi.setSystemTime(start + (offsetsMs[k] ?? 0));
      await backup(repository, writeImage(image, content));
    }

    expect(pointsOf(repository).map(({ number }) => number)).toEqual([1, 2, 3]);
    await expectRestored(repository, { a: THIRD });
    await expectClean(repository);
  });
});
