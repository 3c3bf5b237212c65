/**
 * The states in which a stop can leave a repository during a merge. The test makes each state from
 * the files before and after the merge. Nothing is lost in any of them, with the .vbm or without
 * it.
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { clearObsolete } from '../../src/repository/retention/obsoleteFiles.ts';
import { type ChainMetadata, decodeVbm, encodeVbm } from '../../src/repository/pointXml.ts';
import { listRepository } from '../../src/sessions/inspect/listRepository.ts';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { verifyRepository } from '../../src/sessions/verify/verifyRepository.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { chainOf, expectPoints, type Pictured, prune, vmOf } from '../helpers/repository/prunes.ts';
import { backup, expectRestored } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  onlyFileOf,
  pointsOf,
  vmFolderOf,
} from '../helpers/repository/repositoryFiles.ts';
import { messageCodes } from '../helpers/codes.ts';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

const temp = useSharedTempFolder();

interface Scene {
  readonly chain: Pictured;
  readonly before: ChainMetadata;
  readonly after: ChainMetadata;
  /** Containers of all points, before and after. */
  readonly files: string;
  readonly newFile: string;
  /** Replaced containers in the order in which they are deleted. */
  readonly oldFiles: readonly string[];
}

let scene: Scene;

/** Four points, of which the first three became one. */
async function makeScene(): Promise<Scene> {
  const texts = ['AbC0', 'xbC0', 'xyC0', 'xyZ0'];
  const chain = await chainOf(
    temp,
    texts.map((text) => ({ a: blocks(text) })),
  );
  const { repository } = chain;
  const before = await vmOf(repository).requireMetadata();
  const files = temp.make('files');
  cpSync(vmFolderOf(repository), files, { recursive: true });
  await prune(repository, { last: 2 });
  cpSync(vmFolderOf(repository), files, { recursive: true });
  const after = await vmOf(repository).requireMetadata();
  const newFile = after.points[0]?.fileName ?? '';
  const oldFiles = before.points.slice(0, 3).map((point) => point.fileName);
  return { chain, before, after, files, newFile, oldFiles: oldFiles.toReversed() };
}

/** Puts the folder of the VM into a state: these containers, this metadata. */
function set(
  metadata: ChainMetadata,
  obsoleteFiles: readonly string[],
  names: readonly string[],
): void {
  const { repository } = scene.chain;
  const vbm = onlyFileOf(repository, '.vbm');
  const folder = path.dirname(vbm);
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
  for (const name of names) copyFileSync(path.join(scene.files, name), path.join(folder, name));
  writeFileSync(vbm, encodeVbm({ ...metadata, obsoleteFiles }));
}

/** Names of the states, in the order in which a merge goes through them. */
const STATES: Readonly<Record<string, () => void>> = {
  'the new container is announced': () => set(scene.before, [scene.newFile], namesBefore()),
  'the new container is there': () =>
    set(scene.before, [scene.newFile], [...namesBefore(), scene.newFile]),
  'the points are swapped': () =>
    set(scene.after, scene.oldFiles, [...namesBefore(), scene.newFile]),
  'one old container is deleted': () =>
    set(scene.after, scene.oldFiles, [...scene.oldFiles.slice(1), ...namesAfter()]),
  'one old container is left': () =>
    set(scene.after, scene.oldFiles, [...scene.oldFiles.slice(2), ...namesAfter()]),
  'all old containers are deleted': () => set(scene.after, scene.oldFiles, namesAfter()),
};

function namesBefore(): string[] {
  return scene.before.points.map((point) => point.fileName);
}

function namesAfter(): string[] {
  return scene.after.points.map((point) => point.fileName);
}

async function expectKept(): Promise<void> {
  const { repository, contents, pointIds } = scene.chain;
  for (const point of pointIds.slice(2)) {
    await expectRestored(repository, contents.get(point) ?? {}, { point });
  }
}

async function expectReadable(): Promise<void> {
  const { repository } = scene.chain;
  expect((await listRepository({ repository })).failures).toEqual([]);
  expect(await verifyRepository({ repository, point: 'all', workers: 0 })).toMatchObject({
    damage: [],
    failures: [],
  });
  await expectKept();
}

/** Containers that no point names. */
function strays(): string[] {
  const { repository } = scene.chain;
  const listed = new Set(pointsOf(repository).map((point) => point.fileName));
  const names = [...filesOf(repository, '.vbk'), ...filesOf(repository, '.vib')];
  return names.filter((name) => !listed.has(name));
}

beforeAll(async () => {
  scene = await makeScene();
});

describe.each(Object.keys(STATES))('when a merge was stopped after %s', (name) => {
  beforeEach(() => STATES[name]?.());

  test('every point is readable at once, and the next prune ends it', async () => {
    await expectReadable();

    await prune(scene.chain.repository, { last: 2 });

    expect(strays()).toEqual([]);
    expect(decoded().obsoleteFiles).toBeUndefined();
    await expectPoints(scene.chain, [2, 3]);
  });

  test('the next session cleans up and stores an increment', async () => {
    const { repository } = scene.chain;
    const next = blocks('QyZ0');

    const report = await backup(repository, writeImage(temp.path('a'), next));

    expect(report.pointType).toBe('increment');
    expect(messageCodes(report).every((code) => code === 'REPO-511')).toBe(true);
    expect(strays()).toEqual([]);
    await expectReadable();
    await expectRestored(repository, { a: next });
  });

  test('and the .vbm is lost, a rescan brings every kept point back', async () => {
    const { repository } = scene.chain;
    rmSync(onlyFileOf(repository, '.vbm'));

    await rescanRepository({ repository });

    await expectReadable();
    await prune(repository, { last: 2 });
    await expectPoints(scene.chain, [2, 3]);
    expect(messageCodes(await backup(repository, temp.path('a')))).not.toContain('REPO-506');
  });

  test('a rescan with its .vbm ends it too', async () => {
    const { repository } = scene.chain;

    await rescanRepository({ repository });

    expect(strays()).toEqual([]);
    await expectReadable();
  });
});

describe('what is obsolete', () => {
  test('is not deleted while a container of the chain is missing: the .vbm may be an old one', async () => {
    const { repository } = scene.chain;
    set(scene.before, [scene.newFile], namesAfter());

    const { messages } = await clearObsolete(vmOf(repository), decoded());

    expect(messages).toMatchObject([{ code: 'REPO-512' }]);
    expect(strays()).toContain(scene.newFile);
    await rescanRepository({ repository });
    await expectPoints(scene.chain, [2, 3]);
  });

  test('is never a container that a point needs', async () => {
    const { repository } = scene.chain;
    set(scene.after, namesAfter(), namesAfter());

    await clearObsolete(vmOf(repository), decoded());

    await expectPoints(scene.chain, [2, 3]);
    expect(decoded().obsoleteFiles).toBeUndefined();
  });

  test('stays obsolete where it cannot be deleted, and is no lost point', async () => {
    const { repository } = scene.chain;
    const folder = vmFolderOf(repository);
    set(scene.after, scene.oldFiles, namesAfter());
    // No user can delete a folder as if it were a file.
    mkdirSync(path.join(folder, scene.oldFiles[0] ?? ''));

    const report = await backup(repository, temp.path('a'));

    expect(messageCodes(report)).toEqual(['REPO-512']);
    expect(decoded().obsoleteFiles).toEqual([scene.oldFiles[0]]);
    expect(pointsOf(repository)).toHaveLength(3);
  });

  test('and is there without its parents does not keep a rescan from the merged point', async () => {
    const { repository } = scene.chain;
    set(scene.after, [], namesAfter());
    const old = path.join(scene.files, scene.oldFiles[0] ?? '');
    copyFileSync(old, path.join(vmFolderOf(repository), 'a file that is read first.vib'));
    rmSync(onlyFileOf(repository, '.vbm'));

    const { vms } = await rescanRepository({ repository });

    expect(vms[0]?.leftOut).toMatchObject([{ reason: 'a copy of a known restore point' }]);
    await expectPoints(scene.chain, [2, 3]);
  });

  test('cannot be a file of another folder', () => {
    const text = encodeVbm({ ...scene.after, obsoleteFiles: ['../../x.vbk'] });

    expect(() => decodeVbm(text, 'x')).toThrow(
      expect.objectContaining({ code: 'REPOSITORY_METADATA_INVALID' }),
    );
  });
});

function decoded(): ChainMetadata {
  const vbm = onlyFileOf(scene.chain.repository, '.vbm');
  return decodeVbm(readFileSync(vbm, 'utf8'), vbm);
}
