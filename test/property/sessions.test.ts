/** restore(backup(x)) = x for every restore point of chains of random images, edits and sizes. */
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { BLOCK_BYTES, noise, prose, writeImage } from '../helpers/images.ts';
import { longOr } from '../helpers/longForm.ts';
import { backup, expectClean, expectRestored, pointsOf } from '../helpers/repositories.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const MAX_BLOCKS = 5;
const MAX_BYTES = MAX_BLOCKS * BLOCK_BYTES;
const FILLS = {
  zero: (lengthBytes: number) => Buffer.alloc(lengthBytes),
  noise: (lengthBytes: number, seed: number) => noise(lengthBytes, seed),
  prose: (lengthBytes: number, seed: number) => prose(lengthBytes, seed),
};

interface Edit {
  readonly fill: keyof typeof FILLS;
  readonly seed: number;
  readonly atBytes: number;
  readonly lengthBytes: number;
}

interface State {
  readonly sizeBytes: number | undefined;
  readonly edits: readonly Edit[];
}

/**
 * Sizes and offsets. They lie on, just before or just after block borders as often as anywhere
 * else.
 */
const position = fc.oneof(
  fc.integer({ min: 0, max: MAX_BYTES }),
  fc
    .tuple(fc.integer({ min: 0, max: MAX_BLOCKS }), fc.integer({ min: -1, max: 1 }))
    .map(([block, shift]) => Math.max(0, block * BLOCK_BYTES + shift)),
);
const size = position.map((bytes) => Math.max(1, bytes));
const edit: fc.Arbitrary<Edit> = fc.record({
  fill: fc.constantFrom('zero', 'noise', 'prose'),
  seed: fc.integer({ min: 0, max: 3 }),
  atBytes: position,
  lengthBytes: size,
});
const state: fc.Arbitrary<State> = fc.record({
  sizeBytes: fc.option(size, { nil: undefined, freq: 2 }),
  edits: fc.array(edit, { maxLength: 3 }),
});

/** Content after a state: first cut or extended with zeros, then edited. */
function apply(before: Buffer, { sizeBytes, edits }: State): Buffer {
  const content = Buffer.alloc(sizeBytes ?? before.length);
  before.copy(content);
  for (const { fill, seed, atBytes, lengthBytes } of edits) {
    FILLS[fill](lengthBytes, seed).copy(content, atBytes);
  }
  return content;
}

const temp = useTempFolder();

async function expectEveryPointRestored(states: readonly State[]): Promise<void> {
  const folder = mkdtempSync(temp.path('run-'));
  try {
    const [repository, image] = [path.join(folder, 'repo'), path.join(folder, 'a')];
    const contents: Buffer[] = [];
    for (const next of states) {
      contents.push(apply(contents.at(-1) ?? Buffer.alloc(MAX_BYTES), next));
      await backup(repository, writeImage(image, contents.at(-1) ?? Buffer.alloc(0)));
    }
    const points = pointsOf(repository);
    expect(points).toHaveLength(contents.length);
    for (const [k, { pointId }] of points.entries()) {
      await expectRestored(repository, { a: contents[k] ?? Buffer.alloc(0) }, { point: pointId });
    }
    await expectClean(repository);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('every restore point of a chain gives back its image', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(state, { minLength: 1, maxLength: 4 }), expectEveryPointRestored),
    { numRuns: longOr(60, 20) },
  );
});

test('the check fails where a restore point does not give back its image', async () => {
  const repository = temp.path('repo');
  await backup(repository, writeImage(temp.path('a'), noise(1000, 1)));

  const check = expectRestored(repository, { a: noise(1000, 2) });

  await expect(check).rejects.toThrow();
});
