/** The record of verify: its content, its use by a later verify, and reports besides damage. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { PRODUCTION_SLOT_FORMAT, slotOffsetOf } from '../../src/container/format/layout.ts';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { openContainer } from '../../src/repository/pointReader.ts';
import { decodeVbm, encodeVbm } from '../../src/repository/pointXml.ts';
import type { RestorePoint } from '../../src/repository/restorePoint.ts';
import { readVerifyRecord, updateVerifyRecord } from '../../src/repository/damage/verifyRecord.ts';
import { listRepository, type ListedPoint } from '../../src/sessions/inspect/listRepository.ts';
import {
  type VerifyOptions,
  verifyRepository,
  type VerifyReport,
} from '../../src/sessions/verify/verifyRepository.ts';
import { composeAll, rot } from '../helpers/faults/bitRot.ts';
import { runCli } from '../helpers/cli/cli.ts';
import { BLOCK_BYTES, blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { prose } from '../helpers/bytes/random.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  modeOf,
  onlyFileOf,
  pointsOf,
  vmFolderOf,
} from '../helpers/repository/repositoryFiles.ts';
import { messageCodes } from '../helpers/codes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';
import { DiskFolder } from '../../src/store/folder/diskFolder.ts';

const temp = useTempFolder();
let repository = '';
let folder = '';

beforeEach(async () => {
  repository = temp.path('repo');
  for (const letters of ['abc', 'abd', 'abe']) {
    await backup(repository, writeImage(temp.path('a'), blocks(letters)));
  }
  folder = vmFolderOf(repository);
});

async function verify(options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  return await verifyRepository({ repository, point: 'all', workers: 0, ...options });
}

async function listed(): Promise<readonly ListedPoint[]> {
  return (await listRepository({ repository })).vms[0]?.points ?? [];
}

/** Damages the first block of the disk, which all points share. */
async function rotShared(): Promise<void> {
  const { places, stored } = await composeAll(folder);
  const shared = places.find((place) => place.offsetBytes === 0);
  rot(
    folder,
    [stored.get(shared?.stored ?? '')].flatMap((block) => block ?? []),
    1,
  );
}

/** Stops a verify after so many containers. */
async function interrupt(afterFiles: number): Promise<void> {
  const stop = new AbortController();
  const seen = new Set<string>();
  const run = verify({
    signal: stop.signal,
    onProgress: (event) => {
      if (event.type === 'containerProgress') seen.add(event.fileName);
      if (seen.size > afterFiles) stop.abort();
    },
  });
  await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
}

function editVbm(change: (points: readonly RestorePoint[]) => readonly RestorePoint[]): void {
  const file = onlyFileOf(repository, '.vbm');
  const { vm, points } = decodeVbm(readFileSync(file, 'utf8'), file);
  writeFileSync(file, encodeVbm({ vm, points: change(points) }));
}

describe('a run of verify', () => {
  test('is recorded for the owner alone, and shown by list', async () => {
    expect((await listed()).map((point) => point.verified)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);

    await verify();

    expect(modeOf(path.join(folder, 'verify.json'))).toBe('600');
    const { run, containers } = await readVerifyRecord(new DiskFolder(folder));
    expect(run).toMatchObject({ point: 'all', sampleRatio: 1, outcome: 'ok' });
    expect(containers.map((entry) => entry.findingCount)).toEqual([0, 0, 0]);
    expect((await listed()).map((point) => point.verified?.isDamaged)).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('of one point says nothing of later ones', async () => {
    await verify({ point: pointsOf(repository)[1]?.pointId });

    expect((await listed()).map((point) => point.verified !== undefined)).toEqual([
      true,
      true,
      false,
    ]);
  });

  test('is forgotten for a file that was written since', async () => {
    await verify();
    const file = path.join(folder, pointsOf(repository)[1]?.fileName ?? '');
    utimesSync(file, new Date(0), new Date(0));

    expect((await listed()).map((point) => point.verified !== undefined)).toEqual([
      true,
      false,
      false,
    ]);
  });

  test('counts although its result cannot be recorded', async () => {
    await rotShared();
    mkdirSync(path.join(folder, 'verify.json'));

    const report = await verify();

    expect(report).toMatchObject({ outcome: 'damaged', isRecorded: false });
    expect(filesOf(repository).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });

  test.each(['', '{"format":2,"containers":[]}', '{"format":1,"containers":[{}]}'])(
    'does without a record that reads %j',
    async (text) => {
      writeFileSync(path.join(folder, 'verify.json'), text);

      expect(await listed()).toHaveLength(3);
      expect(await verify()).toMatchObject({ outcome: 'ok', isRecorded: true });
      expect((await listed()).every((point) => point.verified)).toBe(true);
    },
  );

  test('finds the same with several containers at once', async () => {
    await rotShared();
    const alone = await verify();

    const together = await verify({ workers: 2 });

    expect(together.damage).toEqual(alone.damage);
    expect(together.files.map((file) => file.fileName)).toEqual(
      alone.files.map((file) => file.fileName),
    );
  });

  test('reads what is known to be damaged in every sample', async () => {
    await rotShared();
    await verify();

    const sampled = await verify({ sampleRatio: 0.000_001 });

    expect(sampled).toMatchObject({ outcome: 'damaged', damageCount: 1 });
    expect((await listed()).every((point) => point.verified?.isDamaged)).toBe(true);
  });
});

describe('--resume', () => {
  test('leaves out what an interrupted run has finished', async () => {
    await rotShared();
    await interrupt(2);

    const report = await verify({ resume: true });

    expect(report.files.map((file) => file.isResumed)).toEqual([true, true, false]);
    expect(report).toMatchObject({ outcome: 'damaged', damageCount: 1 });
    expect(report.damage[0]?.affectedPointIds).toHaveLength(3);
  });

  test('reads a file again that was written since', async () => {
    await interrupt(2);
    const file = path.join(folder, pointsOf(repository)[0]?.fileName ?? '');
    utimesSync(file, new Date(0), new Date(0));

    const { files } = await verify({ resume: true });

    expect(files.map((file) => file.isResumed)).toEqual([false, true, false]);
  });

  test('reads all after a run that had ended', async () => {
    await verify();

    const { files } = await verify({ resume: true });

    expect(files.map((file) => file.isResumed)).toEqual([false, false, false]);
  });

  test('does not take a sample for the whole', async () => {
    await interrupt(2);
    const record = path.join(folder, 'verify.json');
    const text = readFileSync(record, 'utf8').replaceAll('"sampleRatio":1', '"sampleRatio":0.5');
    writeFileSync(record, text);

    const { files } = await verify({ resume: true });

    expect(files.map((file) => file.isResumed)).toEqual([false, false, false]);
  });
});

describe('chain metadata', () => {
  test.each<[string, (point: RestorePoint) => RestorePoint]>([
    ['checkpoint', (point) => ({ ...point, checkpointId: 'another' })],
    ['number', (point) => ({ ...point, number: 7 })],
    ['time', (point) => ({ ...point, createdAt: '2020-01-01T00:00:00.000Z' })],
    ['file size', (point) => ({ ...point, fileBytes: point.fileBytes + 1 })],
    [
      'disk',
      (point) => ({
        ...point,
        disks: point.disks.map((disk) => ({ ...disk, alias: 'b', readBytes: 1 })),
      }),
    ],
  ])('that names another %s than the container is found', async (_what, change) => {
    editVbm((points) => points.map((point, k) => (k === 2 ? change(point) : point)));

    const report = await verify();

    const codes = new Set(report.damage.map((found) => found.code));
    expect([...codes]).toEqual(['INTEGRITY_METADATA_MISMATCH']);
    expect(report.points.map((point) => point.isDamaged)).toEqual([false, false, true]);
    expect(report.outcome).toBe('damaged');
  });

  test('that lacks a container is told, and is no damage', async () => {
    const [, , newest] = pointsOf(repository);
    editVbm((points) => points.slice(0, 2));

    const report = await verify();

    expect(report.unlistedFiles).toEqual([{ vmName: 'vm', fileName: newest?.fileName }]);
    expect(report).toMatchObject({ outcome: 'ok', damageCount: 0 });
  });

  test('that lists a missing container makes its point and those on it damaged', async () => {
    rmSync(path.join(folder, pointsOf(repository)[1]?.fileName ?? ''));

    const report = await verify();

    expect(report.damage.map((found) => found.code)).toEqual(['CHAIN_PARENT_MISSING']);
    expect(report.points.map((point) => point.isDamaged)).toEqual([false, true, true]);
    expect((await listed()).map((point) => point.verified?.isDamaged)).toEqual([false, true, true]);
  });
});

test('a rotten item that is no disk is named, and harms its own point alone', async () => {
  const file = pointsOf(repository)[0]?.fileName ?? '';
  const { stored } = await composeAll(folder);
  const ofDisks = new Set(
    [...stored.values()].filter((one) => one.fileName === file).map((one) => one.blockId),
  );
  const summary = [0, 1, 2, 3, 4].find((blockId) => !ofDisks.has(blockId)) ?? 0;
  const reader = await openContainer(new DiskFolder(folder), file);
  const { offsetBytes, storedBytes } = await reader.storedExtent(summary);
  await reader.close();
  rot(folder, [{ fileName: file, blockId: summary, offsetBytes, storedBytes }], 1);

  const report = await verify();

  expect(report.damage).toMatchObject([
    { blockId: summary, useCount: 1, uses: [{ item: 'summary.xml' }] },
  ]);
  expect(report.points.map((point) => point.isDamaged)).toEqual([true, false, false]);
});

test('a stored block that rots is counted once, however many are', async () => {
  const sized = temp.path('sized');
  const letters = Array.from({ length: 40 }, (_, k) => prose(`block ${k}`, BLOCK_BYTES));
  await backup(sized, writeImage(temp.path('b'), Buffer.concat(letters)));
  const where = vmFolderOf(sized);
  const { stored } = await composeAll(where);
  rot(where, stored.values(), 1);

  const result = await runCli(['verify', '--repo', sized]);

  expect(result.exitCode).toBe(EXIT_CODES.damageFound);
  expect(result.stdout).toMatch(/40 findings; damaged restore points: 1$/m);
});

test('a healed chain verifies its newest point with exit code 0 and all of them with 13', async () => {
  await rotShared();
  const damaged = await runCli(['verify', '--repo', repository]);
  await backup(repository, temp.path('a'));

  const latest = await runCli(['verify', '--repo', repository]);
  const all = await runCli(['verify', '--repo', repository, '--point', 'all']);
  const list = await runCli(['list', '--repo', repository]);

  expect([damaged, latest, all].map((result) => result.exitCode)).toEqual([13, 0, 13]);
  expect(latest.stdout).toMatch(/the restore points that were asked for do not need it$/m);
  expect(all.stdout).toMatch(/disk a \(.*\) at 0 B: needed by restore points 1 \(.*2 \(.*3 \(/);
  expect(list.stdout.match(/damaged/g)).toHaveLength(3);
  expect(list.stdout.match(/: ok/g)).toHaveLength(1);
});

test('a container with more damage than is recorded ends its chain', async () => {
  await rotShared();
  await verify();
  const record = path.join(folder, 'verify.json');
  writeFileSync(
    record,
    readFileSync(record, 'utf8').replace('"isTruncated":false', '"isTruncated":true'),
  );

  const next = await backup(repository, temp.path('a'));

  expect(messageCodes(next)).toEqual(['REPO-501']);
  expect(next.pointType).toBe('full');
  await expectRestored(repository, { a: blocks('abe') });
});

test('a container whose structure is damaged ends its chain, although it can be opened', async () => {
  const secondSlot = slotOffsetOf(PRODUCTION_SLOT_FORMAT, 1);
  flipBit(path.join(folder, pointsOf(repository)[1]?.fileName ?? ''), secondSlot + 100);
  const { points } = await verify();

  const next = await backup(repository, temp.path('a'));

  expect(points.filter(({ isDamaged }) => isDamaged)).toHaveLength(2);
  expect(messageCodes(next)).toEqual(['REPO-501']);
  expect(next.pointType).toBe('full');
  expect(await verify({ point: 'latest' })).toMatchObject({ outcome: 'ok' });
});

test('a finding that concerns a point alone does not end its chain', async () => {
  await verify();
  const problems = [{ code: 'INTEGRITY_METADATA_MISMATCH', message: 'another number' }];
  await updateVerifyRecord(new DiskFolder(folder), ({ containers, ...rest }) => ({
    ...rest,
    containers: containers.map((entry) => ({ ...entry, problems })),
  }));

  const next = await backup(repository, temp.path('a'));

  expect([next.pointType, messageCodes(next)]).toEqual(['increment', []]);
});

test.each([
  [0.01, true],
  [1, false],
])(
  'a run over the part %d leaves it known that there was more damage: %s',
  async (part, isLeft) => {
    await rotShared();
    await verify();
    await updateVerifyRecord(new DiskFolder(folder), ({ containers, ...rest }) => ({
      ...rest,
      containers: containers.map((entry) => ({ ...entry, isTruncated: true })),
    }));

    await verify({ sampleRatio: part });

    const { containers } = await readVerifyRecord(new DiskFolder(folder));
    expect(containers.map((entry) => entry.isTruncated)).toEqual([isLeft, isLeft, isLeft]);
  },
);

test('a copy of a container is another file', async () => {
  await rotShared();
  await verify();
  const file = path.join(folder, pointsOf(repository)[0]?.fileName ?? '');
  copyFileSync(file, `${file}.copy`);
  rmSync(file);
  copyFileSync(`${file}.copy`, file);

  expect((await listed()).map((point) => point.verified)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});
