/** Names of containers when the clock was set back and the random part repeats. */
import { afterEach, expect, test, vi } from 'vitest';
import { blocks, writeImage } from '../helpers/images.ts';
import { backup, expectRestored, pointsOf } from '../helpers/repositories.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();
const random = vi.hoisted(() => ({ next: [] as string[] }));

vi.mock('node:crypto', async (load) => {
  const real = await load<typeof import('node:crypto')>();
  const randomBytes = (size: number): Buffer => {
    const hex = size === 2 ? random.next.shift() : undefined;
    return hex === undefined ? real.randomBytes(size) : Buffer.from(hex, 'hex');
  };
  return { ...real, randomBytes };
});

afterEach(() => {
  vi.useRealTimers();
});

test('a session never takes the name of a container that is there', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-11-26T12:00:00Z') });
  random.next = ['aaaa', 'aaaa', 'bbbb'];
  const repository = temp.path('repo');
  const image = temp.path('a');

  for (const text of ['abc', 'abd']) {
    await backup(repository, writeImage(image, blocks(text)), { mode: 'full' });
  }

  expect(pointsOf(repository).map(({ fileName }) => fileName.slice(-8))).toEqual([
    'AAAA.vbk',
    'BBBB.vbk',
  ]);
  await expectRestored(
    repository,
    { a: blocks('abc') },
    { point: pointsOf(repository)[0]?.pointId ?? '' },
  );
});
