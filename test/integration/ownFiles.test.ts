/** Our own containers given by their paths: the same bytes and checks as through the repository. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openFiles } from '../../src/points/openFiles.ts';
import { restoreFiles } from '../../src/sessions/files/restoreFiles.ts';
import { verifyFiles } from '../../src/sessions/files/verifyFiles.ts';
import { openImage } from '../../src/sessions/pipe/openImage.ts';
import { pruneRepository } from '../../src/sessions/retention/pruneRepository.ts';
import { synthesizeFull } from '../../src/sessions/retention/synthesizeFull.ts';
import { blocks, flipBit, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { backup, restore, VM } from '../helpers/repository/imageSessions.ts';
import { firstExtent, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { expectCode } from '../helpers/codes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const CONTENTS = ['AbC0d', 'AxC0d', 'Ax0Ed', 'Fx0E'];
let repository: string;

beforeEach(async () => {
  repository = temp.path('repository');
  for (const letters of CONTENTS) {
    await backup(repository, writeImage(temp.path('disk.raw'), blocks(letters)));
  }
});

/** Files of the chain of the newest point, oldest first. */
function files(): string[] {
  const points = pointsOf(repository);
  const first = points.findLastIndex((point) => point.type === 'full');
  return points.slice(first).map(({ fileName }) => path.join(folderOf(), fileName));
}

function folderOf(): string {
  const [point] = pointsOf(repository);
  return path.dirname(findFile(point?.fileName ?? ''));
}

function findFile(name: string): string {
  // The only folder of the repository is that of the VM.
  return path.join(repository, vmFolderName(), name);
}

function vmFolderName(): string {
  return (
    readdirSync(repository, { withFileTypes: true }).find((entry) => entry.isDirectory())?.name ??
    ''
  );
}

async function expectSame(given: readonly string[]): Promise<void> {
  const output = temp.path(`out-${given.length}-${Math.random()}`);
  const byFiles = await restoreFiles({ files: given, output, workers: 0 });
  const byRepository = await restore(repository, { point: byFiles.pointId });
  const [disk] = byFiles.disks;
  expect(byFiles.messages).toEqual([]);
  expect(sha256OfFile(disk?.path ?? '')).toBe(sha256OfFile(path.join(byRepository, 'disk.raw')));
}

describe('our own files', () => {
  it('give the bytes of each point', async () => {
    for (let count = 1; count <= CONTENTS.length; count++) {
      await expectSame(files().slice(0, count));
    }
  });

  it('give the bytes of merged points', async () => {
    await pruneRepository({ repository, keep: { last: 2 }, workers: 0 });
    expect(pointsOf(repository)).toHaveLength(2);
    await expectSame(files());
    await expectSame(files().slice(0, 1));
    await synthesizeFull({ repository, vm: VM, workers: 0 });
    await expectSame(files());
  });

  it('without one of them tell the name that it had', async () => {
    const [base = '', missing = '', third = ''] = files();

    const error = await expectCode(openFiles([base, third]), 'CHAIN_PARENT_MISSING');

    expect(error.hint).toContain(`that one was called ${path.basename(missing)}`);
  });

  it('are verified with their fingerprints', async () => {
    const report = await verifyFiles({ files: files(), workers: 0 });
    // Nothing is recorded, so nothing is said about it.
    expect(report.isRecorded).toBeUndefined();

    expect(report).toMatchObject({ outcome: 'ok', damageCount: 0 });
    expect(report.files.map((file) => file.pointNumber)).toEqual([1, 2, 3, 4]);
    expect(report.repository).toBeUndefined();
  });

  it('with damage are found by verify', async () => {
    const [base = ''] = files();
    flipBit(base, (await firstExtent(base, 'lz4')).offsetBytes + 20);

    const report = await verifyFiles({ files: files(), workers: 0 });

    expect(report.outcome).toBe('damaged');
    expect(report.points.every((point) => point.isDamaged)).toBe(true);
  });

  it('with a damaged summary are damaged, not those of others', async () => {
    const all = files();
    const last = all.at(-1) ?? '';
    const content = readFileSync(last);
    flipBit(last, content.indexOf('<OibSummary>') + 30);

    await expectCode(openFiles(all), 'INTEGRITY_DIGEST_MISMATCH');
    const report = await verifyFiles({ files: all, workers: 0 });

    expect(report.files.map((file) => file.damageCount)).toEqual([0, 0, 0, 1]);
    expect(report.outcome).toBe('damaged');
  });

  it('give one disk and one VM by name', async () => {
    await using point = await openFiles(files(), { vm: VM, workers: 0 });
    const disk = point.disk('disk.raw');

    expect((await disk.read(0, disk.virtualSizeBytes)).equals(blocks('Fx0E'))).toBe(true);
    await expectCode(openFiles(files(), { vm: 'other' }), 'USAGE_NOT_FOUND');
  });

  it.each([
    ['in another order', [0, 2, 1, 3], 'USAGE_FILE_ORDER'],
    ['without the full', [1, 2], 'CHAIN_PARENT_MISSING'],
    ['with a gap', [0, 1, 3], 'CHAIN_PARENT_MISSING'],
  ] as const)('%s are refused', async (_name, order, code) => {
    const all = files();

    await expectCode(openFiles(order.map((at) => all[at] ?? '')), code);
  });

  it('of two VMs are refused', async () => {
    const other = temp.path('other');
    await backup(other, temp.path('disk.raw'), { vmName: 'other' });
    const [point] = pointsOf(other);
    const [name] = readdirSync(other);
    const file = path.join(other, name ?? '', point?.fileName ?? '');

    const [, one = ''] = files();
    const error = await expectCode(openFiles([file, one]), 'USAGE_FILE_ORDER');

    expect(error.message).toContain('its VMs: "other"');
  });

  it('cannot be the parent of a pipe', async () => {
    await using point = await openFiles(files(), { workers: 0 });
    const opening = openImage(temp.path('disk.raw'), { parent: point });

    await expectCode(opening, 'USAGE_INVALID_OPTION');
  });

  it('are not changed', async () => {
    const before = files().map((file) => readFileSync(file));
    await expectSame(files());
    await verifyFiles({ files: files(), workers: 0 });

    expect(files().every((file, at) => readFileSync(file).equals(before[at] as Buffer))).toBe(true);
  });
});
