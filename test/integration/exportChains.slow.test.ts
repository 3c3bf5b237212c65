/** Long chains, served to Debian's own clients. */
import { expect, test } from 'vitest';
import { blocks } from '../helpers/bytes/images.ts';
import { copyOf, expectBytes, run } from '../helpers/nbd/exportCommand.ts';
import { expectRestored, VM } from '../helpers/repository/imageSessions.ts';
import { chainOf, type Pictured, pruneTo, synthesize } from '../helpers/repository/prunes.ts';
import { longOr } from '../helpers/longForm.ts';
import { openRepository } from '../../src/points/openRepository.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const LETTERS = 'ABCDEF';

/** At each point one block is zeros, and two others are text. */
function stateAt(k: number): Buffer {
  const letters = Array.from(LETTERS, (letter, at) =>
    k % 6 === at ? '0' : (k + at) % 3 === 0 ? 'z' : letter,
  );
  return blocks(letters.join(''));
}

async function expectServed({ repository, pointIds }: Pictured, at: number): Promise<void> {
  const opened = await openRepository(repository, { workers: 0 });
  try {
    const disk = (await opened.point(VM, pointIds[at])).disk('d');
    const { uris } = await disk.serveNbd({ socket: folder.path('s') });
    expectBytes(await copyOf(uris[0] ?? '', folder.path('copied')), stateAt(at));
    const map = JSON.parse(await run('nbdinfo', '--json', '--map', uris[0] ?? '')) as object[];
    const blockBytes = stateAt(at).length / LETTERS.length;
    expect(map).toContainEqual(
      expect.objectContaining({ offset: (at % 6) * blockBytes, length: blockBytes, type: 3 }),
    );
  } finally {
    await opened.close();
  }
  await expectRestored(repository, { d: stateAt(at) }, { point: pointIds[at] ?? '' });
}

test('points of a chain of 30 increments are served as they are restored, also after merges', async () => {
  const chain = await chainOf(
    folder,
    Array.from({ length: 31 }, (_, k) => ({ d: stateAt(k) })),
  );

  for (let at = 0; at <= 30; at += longOr(1, 5)) await expectServed(chain, at);
  await pruneTo(chain.repository, [3, 17, 18, 30]);
  for (const at of [3, 17, 18, 30]) await expectServed(chain, at);
  await synthesize(chain.repository);
  await expectServed(chain, 30);
});
