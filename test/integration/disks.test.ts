/** Disks that are resized, added and removed between the restore points of a chain. */
import { describe, expect, test } from 'vitest';
import { BLOCK_BYTES, blocks, noise, writeImage } from '../helpers/images.ts';
import {
  backup,
  expectClean,
  expectRestored,
  messageCodes,
  pointsOf,
} from '../helpers/repositories.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

/** Backs up each content in turn as one disk, then expects every point to restore its content. */
async function expectHistoryKept(contents: readonly Buffer[]): Promise<string[][]> {
  const [repository, image] = [temp.path('repo'), temp.path('a')];
  const codes: string[][] = [];
  for (const content of contents) {
    codes.push(messageCodes(await backup(repository, writeImage(image, content))));
  }
  for (const [k, { pointId }] of pointsOf(repository).entries()) {
    await expectRestored(repository, { a: contents[k] ?? Buffer.alloc(0) }, { point: pointId });
  }
  await expectClean(repository);
  return codes;
}

describe('a resized image', () => {
  const content = blocks('AbCdE');

  test.each([
    ['grown by data', [content, blocks('AbCdEFg')]],
    ['grown by zeros', [content, blocks('AbCdE00')]],
    ['grown from a short last block', [content.subarray(0, -100), content]],
    [
      'grown by zeros from a short last block',
      [noise(1000, 1), Buffer.concat([noise(1000, 1), Buffer.alloc(BLOCK_BYTES)])],
    ],
    ['shrunk by whole blocks', [content, content.subarray(0, 2 * BLOCK_BYTES)]],
    ['shrunk into a block', [content, content.subarray(0, 2 * BLOCK_BYTES + 777)]],
    ['shrunk to one byte', [content, content.subarray(0, 1)]],
    ['shrunk within its short last block', [content.subarray(0, -100), content.subarray(0, -1000)]],
  ])('that was %s is read whole and compared', async (_name, contents) => {
    const codes = await expectHistoryKept(contents);

    expect(codes).toEqual([[], ['DSK-110']]);
    expect(pointsOf(temp.path('repo')).map((point) => point.type)).toEqual(['full', 'increment']);
  });

  test.each([
    ['the same data', content],
    ['zeros', Buffer.concat([content.subarray(0, 777), Buffer.alloc(3 * BLOCK_BYTES)])],
    ['other data', Buffer.concat([content.subarray(0, 777), noise(3 * BLOCK_BYTES, 2)])],
  ])('that was shrunk and grown again by %s keeps every state', async (_name, last) => {
    const codes = await expectHistoryKept([content, content.subarray(0, 777), last, last]);

    expect(codes).toEqual([[], ['DSK-110'], ['DSK-110'], []]);
  });

  test('keeps an old block behind the end of a smaller state out of a larger one', async () => {
    const grown = Buffer.concat([content.subarray(0, BLOCK_BYTES), Buffer.alloc(4 * BLOCK_BYTES)]);

    await expectHistoryKept([content, content.subarray(0, BLOCK_BYTES), grown]);
  });
});

describe('the disks of a session', () => {
  test('may be more than at the parent point: the new one gets a full image', async () => {
    const [repository, a, b] = [temp.path('repo'), temp.path('a'), temp.path('b')];
    const full = await backup(repository, writeImage(a, blocks('A')));

    const report = await backup(repository, [a, writeImage(b, blocks('Bc'))]);

    expect(messageCodes(report)).toEqual(['CBT-106']);
    expect(report.disks.map((disk) => disk.mode)).toEqual(['compare', 'full']);
    await expectRestored(repository, { a: blocks('A'), b: blocks('Bc') });
    await expectRestored(repository, { a: blocks('A') }, { point: full.pointId });
    await expectClean(repository);
  });

  test('may be less than at the parent point: the missing one is told of', async () => {
    const [repository, a, b] = [temp.path('repo'), temp.path('a'), temp.path('b')];
    const images = [writeImage(a, blocks('A')), writeImage(b, blocks('B'))];
    const full = await backup(repository, images);

    const report = await backup(repository, a);

    expect(messageCodes(report)).toEqual(['DSK-111']);
    await expectRestored(repository, { a: blocks('A') });
    await expectRestored(repository, { a: blocks('A'), b: blocks('B') }, { point: full.pointId });
    await expectClean(repository);
  });

  test('may come back after a session without them', async () => {
    const [repository, a, b] = [temp.path('repo'), temp.path('a'), temp.path('b')];
    await backup(repository, [writeImage(a, blocks('A')), writeImage(b, blocks('B'))]);
    await backup(repository, a);
    await backup(repository, [a, writeImage(b, blocks('cB'))]);

    await backup(repository, [a, writeImage(b, blocks('cD'))]);

    await expectRestored(repository, { a: blocks('A'), b: blocks('cD') });
    await expectClean(repository);
  });

  test('may not bear one file name twice', async () => {
    temp.make('other');
    const images = [temp.path('a'), temp.path('other', 'a')];
    for (const image of images) writeImage(image, blocks('A'));

    const session = backup(temp.path('repo'), images);

    await expect(session).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
  });

  test.each(['  spaced  ', 'line\nbreak', 'tab\tbed', '"quoted" & <less>', 'Пример 🖥', 'a\u0001b'])(
    'may be named %j',
    async (name) => {
      const [repository, image] = [temp.path('repo'), temp.path(name)];
      await backup(repository, writeImage(image, blocks('A')));

      const report = await backup(repository, writeImage(image, blocks('b')));

      expect(report).toMatchObject({ pointNumber: 2, messages: [] });
      expect(pointsOf(repository).map((point) => point.disks[0]?.alias)).toEqual([name, name]);
      await expectClean(repository);
    },
  );
});
