/** The next session and rescan repair repositories with lost files or a stopped session. */
import {
  copyFileSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { rescanRepository } from '../../src/sessions/cleanup/rescanRepository.ts';
import { blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { backup, expectClean, expectRestored } from '../helpers/repository/imageSessions.ts';
import {
  filesOf,
  onlyFileOf,
  pointsOf,
  vmFolderOf,
} from '../helpers/repository/repositoryFiles.ts';
import { messageCodes } from '../helpers/codes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
afterEach(() => {
  vi.useRealTimers();
});

interface Chain {
  readonly repository: string;
  readonly image: string;
  readonly full: string;
  readonly increment: string;
}

/** A full of `AbC` and an increment to `AxC`. */
async function backUpTwice(): Promise<Chain> {
  const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('AbC'))];
  const { pointId: full } = await backup(repository, image);
  const { pointId: increment } = await backup(repository, writeImage(image, blocks('AxC')));
  return { repository, image, full, increment };
}

async function expectBothPoints({ repository, full, increment }: Chain): Promise<void> {
  await expectRestored(repository, { a: blocks('AbC') }, { point: full });
  await expectRestored(repository, { a: blocks('AxC') }, { point: increment });
  await expectClean(repository);
}

describe('rescan', () => {
  test.each([
    ['deleted', (vbm: string) => rmSync(vbm)],
    ['garbage', (vbm: string) => writeFileSync(vbm, 'this is no XML <')],
    ['empty', (vbm: string) => writeFileSync(vbm, '')],
  ])('rebuilds metadata that was %s', async (_name, damage) => {
    const chain = await backUpTwice();
    const before = pointsOf(chain.repository);
    damage(onlyFileOf(chain.repository, '.vbm'));

    const { vms } = await rescanRepository({ repository: chain.repository });

    expect(vms).toMatchObject([{ vmName: 'vm', pointCount: 2, leftOut: [] }]);
    expect(pointsOf(chain.repository)).toEqual(before);
    await expectBothPoints(chain);
  });

  test('takes containers under the names they have now', async () => {
    const chain = await backUpTwice();
    const folder = vmFolderOf(chain.repository);
    renameSync(onlyFileOf(chain.repository, '.vbk'), path.join(folder, 'renamed.vbk'));
    renameSync(onlyFileOf(chain.repository, '.vib'), path.join(folder, 'also renamed.vib'));

    await rescanRepository({ repository: chain.repository });

    expect(pointsOf(chain.repository).map((point) => point.fileName)).toEqual([
      'renamed.vbk',
      'also renamed.vib',
    ]);
    await expectBothPoints(chain);
    const report = await backup(chain.repository, chain.image);
    expect(report).toMatchObject({ pointNumber: 3, messages: [] });
  });

  test('leaves out an increment without its full, and what is no container', async () => {
    const chain = await backUpTwice();
    writeFileSync(path.join(vmFolderOf(chain.repository), 'text.vib'), 'no container');
    rmSync(onlyFileOf(chain.repository, '.vbk'));

    const { vms } = await rescanRepository({ repository: chain.repository });

    expect(vms[0]).toMatchObject({ pointCount: 0 });
    expect(vms[0]?.leftOut).toHaveLength(2);
    expect(filesOf(chain.repository, '.vib')).toHaveLength(2);
  });

  test('leaves out a copy of a container that it has', async () => {
    const chain = await backUpTwice();
    const full = onlyFileOf(chain.repository, '.vbk');
    copyFileSync(full, path.join(vmFolderOf(chain.repository), 'zz.vbk'));

    const { vms } = await rescanRepository({ repository: chain.repository });

    expect(vms[0]).toMatchObject({ pointCount: 2 });
    expect(vms[0]?.leftOut).toHaveLength(1);
    await expectBothPoints(chain);
  });

  test('keeps an increment that was made while the clock stood before its parent', async () => {
    const [repository, image] = [temp.path('repo'), writeImage(temp.path('a'), blocks('Ab'))];
    await backup(repository, image);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    await backup(repository, writeImage(image, blocks('Cb')));

    const { vms } = await rescanRepository({ repository });

    expect(vms[0]).toMatchObject({ pointCount: 2, leftOut: [] });
    await expectRestored(repository, { a: blocks('Cb') });
  });
});

describe('the session after a stopped one', () => {
  test('adopts a container that is complete but not listed', async () => {
    const chain = await backUpTwice();
    const vbm = onlyFileOf(chain.repository, '.vbm');
    const before = readFileSync(vbm);
    const third = await backup(chain.repository, writeImage(chain.image, blocks('AxD')));
    writeFileSync(vbm, before);

    const report = await backup(chain.repository, chain.image);

    expect(messageCodes(report)).toEqual(['REPO-506']);
    expect(report).toMatchObject({ pointNumber: 4, parentPointId: third.pointId });
    await expectBothPoints(chain);
    await expectRestored(chain.repository, { a: blocks('AxD') }, { point: third.pointId });
  });

  test('does not take an old point that comes back for the newest one', async () => {
    const chain = await backUpTwice();
    const [increment] = filesOf(chain.repository, '.vib');
    const [inside, away] = [
      path.join(vmFolderOf(chain.repository), increment ?? ''),
      temp.path('away.vib'),
    ];
    renameSync(inside, away);
    await rescanRepository({ repository: chain.repository });
    const { pointId: newFull } = await backup(chain.repository, chain.image, { mode: 'full' });
    renameSync(away, inside);

    const { parentPointId, messages } = await backup(chain.repository, chain.image);

    expect(messageCodes({ messages })).toContain('REPO-506');
    expect(parentPointId).toBe(newFull);
    expect(
      pointsOf(chain.repository)
        .map((point) => point.pointId)
        .slice(0, 3),
    ).toEqual([chain.full, chain.increment, newFull]);
    await expectClean(chain.repository);
  });

  test('removes what was left unfinished', async () => {
    const chain = await backUpTwice();
    const leftover = path.join(vmFolderOf(chain.repository), 'vm.x.vib.partial');
    writeFileSync(leftover, 'half a container');

    const report = await backup(chain.repository, chain.image);

    expect(messageCodes(report)).toEqual(['REPO-505']);
    expect(filesOf(chain.repository, '.partial')).toEqual([]);
    await expectBothPoints(chain);
  });

  test('leaves a file alone that it cannot adopt', async () => {
    const chain = await backUpTwice();
    const stranger = path.join(vmFolderOf(chain.repository), 'stranger.vib');
    writeFileSync(stranger, 'no container');

    const report = await backup(chain.repository, chain.image);

    expect(messageCodes(report)).toEqual(['REPO-507']);
    expect(readFileSync(stranger, 'utf8')).toBe('no container');
  });

  test('starts where the first one got no further than its marker', async () => {
    const repository = temp.make('repo');
    writeFileSync(path.join(repository, 'ovirt-cbt.json.partial'), '{');
    const image = writeImage(temp.path('a'), blocks('A'));

    await backup(repository, image);

    await expectRestored(repository, { a: blocks('A') });
  });
});

describe('a damaged parent', () => {
  const damages: [string, (chain: Chain) => void][] = [
    ['lost', ({ repository }) => rmSync(onlyFileOf(repository, '.vib'))],
    ['cut', ({ repository }) => truncateSync(onlyFileOf(repository, '.vib'), 5000)],
    ['without its full', ({ repository }) => rmSync(onlyFileOf(repository, '.vbk'))],
    // Version 13 becomes 15.
    ['of an unknown format', ({ repository }) => flipBit(onlyFileOf(repository, '.vib'), 0, 1)],
  ];

  test.each(damages)('that is %s leads to a new full beside the old chain', async (_n, damage) => {
    const chain = await backUpTwice();
    damage(chain);
    const before = filesOf(chain.repository);

    const report = await backup(chain.repository, chain.image);

    expect(report).toMatchObject({ pointType: 'full', pointNumber: 3 });
    expect(messageCodes(report)).toEqual(['REPO-501']);
    expect(filesOf(chain.repository)).toEqual(expect.arrayContaining(before));
    await expectRestored(chain.repository, { a: blocks('AxC') });
  });

  test.each(damages)('that is %s ends a session of mode incremental', async (_name, damage) => {
    const chain = await backUpTwice();
    damage(chain);
    const before = filesOf(chain.repository);

    const session = backup(chain.repository, chain.image, { mode: 'incremental' });

    await expect(session).rejects.toMatchObject({ code: 'CHAIN_PARENT_DAMAGED' });
    expect(filesOf(chain.repository)).toEqual(before);
  });
});
