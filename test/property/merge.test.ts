/**
 * Kept points stay as they were, for any images, edits and sizes of a chain and any choice of
 * points.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';
import * as fc from 'fast-check';
import { test } from 'vitest';
import { BLOCK_BYTES, noise, prose } from '../helpers/images.ts';
import { longOr } from '../helpers/longForm.ts';
import { chainOf, type Contents, expectPoints, pruneTo } from '../helpers/prunes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const MAX_BLOCKS = 4;
const FILLS = [
  (lengthBytes: number) => Buffer.alloc(lengthBytes),
  (lengthBytes: number, seed: number) => noise(lengthBytes, seed),
  (lengthBytes: number, seed: number) => prose(lengthBytes, seed),
];

/** One disk at one point: its size, and the content that its blocks get. */
interface Step {
  readonly isThere: boolean;
  /** Undefined keeps the size of the point before. */
  readonly sizeBytes: number | undefined;
  readonly edits: readonly {
    readonly fill: number;
    readonly seed: number;
    readonly block: number;
  }[];
}

/** On block borders, close to them, and in the middle of blocks. */
const size = fc
  .tuple(
    fc.integer({ min: 1, max: MAX_BLOCKS }),
    fc.constantFrom(0, -1, 1 - BLOCK_BYTES, -BLOCK_BYTES / 2),
  )
  .map(([count, shift]) => count * BLOCK_BYTES + shift);
const step: fc.Arbitrary<Step> = fc.record({
  isThere: fc.integer({ min: 0, max: 5 }).map((n) => n > 0),
  sizeBytes: fc.option(size, { nil: undefined, freq: 1 }),
  edits: fc.array(
    fc.record({
      fill: fc.nat(FILLS.length - 1),
      seed: fc.nat(2),
      block: fc.nat(MAX_BLOCKS - 1),
    }),
    { maxLength: 2 },
  ),
});

function apply(before: Buffer, { sizeBytes, edits }: Step): Buffer {
  const content = Buffer.alloc(sizeBytes ?? before.length);
  before.copy(content);
  for (const { fill, seed, block } of edits) {
    FILLS[fill]?.(BLOCK_BYTES, seed).copy(content, block * BLOCK_BYTES);
  }
  return content;
}

/** Two disks. The first one always exists. */
function statesOf(steps: readonly (readonly [Step, Step])[]): Contents[] {
  let [a, b] = [noise(MAX_BLOCKS * BLOCK_BYTES, 'a'), prose(MAX_BLOCKS * BLOCK_BYTES, 'b')];
  return steps.map(([first, second]) => {
    [a, b] = [apply(a, first), apply(b, second)];
    return second.isThere ? { a, b } : { a };
  });
}

const temp = useTempFolder();

test('every kept point of a pruned chain gives back its images', async () => {
  const steps = fc.array(fc.tuple(step, step), { minLength: 3, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(steps, fc.array(fc.nat(4), { maxLength: 2 }), async (all, chosen) => {
      const root = mkdtempSync(temp.path('run-'));
      const inner = { ...temp, path: (...names: string[]) => path.join(root, ...names) };
      try {
        const chain = await chainOf(inner, statesOf(all));
        const kept = new Set([...chosen.map((k) => k % all.length), all.length - 1]);
        const positions = [...kept].toSorted((x, y) => x - y);

        await pruneTo(chain.repository, positions);

        await expectPoints(chain, positions);
      } finally {
        rmSync(root, { recursive: true, force: true });
      }
    }),
    {
      numRuns: Number(process.env['MERGE_RUNS'] ?? longOr(24, 6)),
      // A chain takes seconds. So the first one that fails is reported; to find the smallest one
      // that fails would take minutes.
      endOnFailure: true,
      timeout: 60_000,
    },
  );
});
