/**
 * Errors of the operating system while a repository is read. They say nothing about the bytes of a
 * file: none starts a new chain, none is recorded as damage, none removes a point.
 */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../src/container/format/layout.ts';
import {
  readVerifyRecord,
  updateVerifyRecord,
  VERIFY_RECORD,
} from '../../src/repository/damage/verifyRecord.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { expectCode, messageCodes } from '../helpers/codes.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { openFilesIn } from '../helpers/faults/leaks.ts';
import { backup, contentOf, expectRestored } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  firstExtent,
  onlyFileOf,
  pointsOf,
  vmFolderOf,
} from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';
import { DiskFolder } from '../../src/store/folder/diskFolder.ts';

const temp = useTempFolder();
const [FIRST, SECOND, THIRD] = ['Aa0', 'Ba0', 'BCx'].map((letters) => blocks(letters)) as [
  Buffer,
  Buffer,
  Buffer,
];
const ESTALE = 'Unknown system error -116';
const ERRNOS = [
  ['ESTALE', ESTALE],
  ['EIO', 'EIO'],
  ['EACCES', 'EACCES'],
  ['ETIMEDOUT', 'ETIMEDOUT'],
  ['EMFILE', 'EMFILE'],
  ['ENFILE', 'ENFILE'],
] as const;

let repository = '';
let image = '';
let files: FaultyFiles;

/** A chain of two points of the image `a`. */
beforeEach(async () => {
  repository = temp.path('repository');
  image = writeImage(temp.path('a'), FIRST);
  await backup(repository, image);
  await backup(repository, writeImage(image, SECOND));
  writeImage(image, THIRD);
  files = await FaultyFiles.install(repository);
});

afterEach(() => {
  files.uninstall();
});

/** From now on, the operation fails for files with this ending; the first `times` times. */
function failing(operation: string, suffix: string, code: string, times = Infinity): void {
  let left = times;
  files.failWhere((name, path) =>
    name === operation && path.endsWith(suffix) && left-- > 0 ? code : undefined,
  );
}

/** Damages the first block of the full, and lets verify record it. */
async function recordDamage(): Promise<void> {
  const full = onlyFileOf(repository, '.vbk');
  flipBit(full, (await firstExtent(full, 'lz4')).offsetBytes + 5);
  await verifyRepository({ repository, point: 'all', workers: 0 });
}

async function expectIncrement(): Promise<void> {
  files.failWhere(() => undefined);
  const report = await backup(repository, image);
  expect(report).toMatchObject({ pointType: 'increment', pointNumber: 3, messages: [] });
  await expectRestored(repository, { a: THIRD });
}

describe('a session whose parent chain cannot be read', () => {
  test.each(ERRNOS.flatMap(([name, code]) => ['open', 'read'].map((on) => [name, on, code])))(
    'because of %s on %s ends, and starts no new chain',
    async (name, operation, code) => {
      const before = filesOf(repository);
      failing(operation, '.vbk', code);

      const error = await expectCode(backup(repository, image), 'REPOSITORY_IO');

      expect(error.message).toContain(name);
      expect(error.details['errno']).toBe(name);
      expect(error.hint).toContain('--mode full');
      expect(filesOf(repository)).toEqual(before);
      expect(openFilesIn(repository)).toEqual([]);
      await expectIncrement();
    },
  );

  test('because of EACCES fails in the same way with mode incremental', async () => {
    failing('open', '.vib', 'EACCES');

    await expectCode(backup(repository, image, { mode: 'incremental' }), 'REPOSITORY_IO');
  });

  test('can start a new chain with mode full', async () => {
    failing('open', '.vbk', 'EACCES');

    const report = await backup(repository, image, { mode: 'full' });

    expect(report).toMatchObject({ pointType: 'full', messages: [] });
  });

  test.each(['.vbm', '.vbk', '.vib'])('for a moment goes on, file %s', async (suffix) => {
    failing('open', suffix, 'EMFILE', 2);

    const report = await backup(repository, image);

    expect(report).toMatchObject({ pointType: 'increment', messages: [] });
  });

  test('for a moment goes on with a new handle after ESTALE', async () => {
    const opened: string[] = [];
    let isStale = true;
    files.failWhere((name, path) => {
      if (!path.endsWith('.vbk')) return undefined;
      if (name === 'open') opened.push(path);
      if (opened.length > 1) isStale = false;
      return name === 'read' && isStale ? ESTALE : undefined;
    });

    const report = await backup(repository, image);

    expect(opened).toHaveLength(2);
    expect(report).toMatchObject({ pointType: 'increment', messages: [] });
    expect(openFilesIn(repository)).toEqual([]);
  });

  test('finds a missing file to be damage, as before', async () => {
    failing('open', '.vib', 'ENOENT');

    const report = await backup(repository, image);

    expect(messageCodes(report)).toEqual(['REPO-501']);
  });
});

describe('the record of verify', () => {
  test.each(['EIO', 'EACCES', ESTALE])('that %s hides ends the session', async (code) => {
    await recordDamage();
    failing('open', VERIFY_RECORD, code);

    await expectCode(backup(repository, image), 'REPOSITORY_IO');

    files.failWhere(() => undefined);
    expect(messageCodes(await backup(repository, image))).toEqual(['REPO-502']);
  });

  test('keeps what it holds when it cannot be read for an update', async () => {
    await recordDamage();
    const file = `${vmFolderOf(repository)}/${VERIFY_RECORD}`;
    const before = readFileSync(file, 'utf8');
    failing('open', VERIFY_RECORD, 'EIO');

    const updated = updateVerifyRecord(new DiskFolder(vmFolderOf(repository)), (record) => record);

    await expectCode(updated, 'REPOSITORY_IO');
    expect(readFileSync(file, 'utf8')).toBe(before);
  });

  test('full of blocks that the storage did not give starts no new chain', async () => {
    await recordDamage();
    const ofStorage = { code: 'REPOSITORY_IO', message: 'read: EIO', blockId: 0 };
    await updateVerifyRecord(new DiskFolder(vmFolderOf(repository)), (record) => ({
      ...record,
      containers: record.containers.map((entry) => ({
        ...entry,
        isTruncated: true,
        damagedBlocks: [ofStorage],
      })),
    }));

    await expectCode(backup(repository, image), 'REPOSITORY_IO');

    expect(pointsOf(repository)).toHaveLength(2);
  });
});

describe('verify', () => {
  test.each([
    ['EACCES', 'open'],
    ['EMFILE', 'open'],
    [ESTALE, 'read'],
    ['ETIMEDOUT', 'read'],
  ])('names a container that it cannot reach: %s on %s', async (code, operation) => {
    failing(operation, '.vib', code);

    const report = await verifyRepository({ repository, point: 'all', workers: 0 });

    expect(report).toMatchObject({ outcome: 'ok', damage: [] });
    expect(report.failures).toMatchObject([{ code: 'REPOSITORY_IO' }]);
    expect(report.failures[0]?.message).toContain('.vib');
    files.failWhere(() => undefined);
    const record = await readVerifyRecord(new DiskFolder(vmFolderOf(repository)));
    expect(record.containers.map(({ problems }) => problems)).toEqual([[]]);
    expect(record.run).not.toHaveProperty('finishedAt');
    const { vms } = await listRepository({ repository });
    expect(vms[0]?.points.map(({ verified }) => verified?.isDamaged)).toEqual([false, undefined]);
    await expectIncrement();
  });

  test('reports a place that the device cannot read', async () => {
    const { offsetBytes } = await firstExtent(onlyFileOf(repository, '.vbk'), 'lz4');
    files.failWhere((name, _path, args) =>
      name === 'read' && args[3] === offsetBytes ? 'EIO' : undefined,
    );

    const report = await verifyRepository({ repository, point: 'all', workers: 0 });

    expect(report.damage.map(({ code }) => code)).toContain('REPOSITORY_IO');
    expect(report).toMatchObject({ outcome: 'damaged', failures: [] });
  });
});

describe('a place with a good copy that could not be read once', () => {
  test('is reported by verify, and starts no new chain', async () => {
    const slotOffset = slotOffsetOf(PRODUCTION_SLOT_FORMAT, 0);
    files.failWhere((name, path, args) =>
      name === 'read' && path.endsWith('.vib') && args[3] === slotOffset ? 'EIO' : undefined,
    );

    const { damage } = await verifyRepository({ repository, point: 'all', workers: 0 });

    expect(damage.map(({ code }) => code)).toEqual(['REPOSITORY_IO']);
    await expectIncrement();
  });
});

describe('rescan', () => {
  test.each(['EACCES', 'EIO', 'EMFILE'])('keeps the chain metadata after %s', async (code) => {
    const vbm = onlyFileOf(repository, '.vbm');
    const before = readFileSync(vbm, 'utf8');
    failing('open', '.vib', code);

    await expectCode(rescanRepository({ repository }), 'REPOSITORY_IO');

    expect(readFileSync(vbm, 'utf8')).toBe(before);
    await expectIncrement();
  });
});

describe('a restore', () => {
  test('goes on when an error of the system passes', async () => {
    failing('read', '.vib', 'ETIMEDOUT', 2);

    await contentOf(repository, 'vm', 'latest');
    await expectRestored(repository, { a: SECOND });
  });
});
