import { afterEach, describe, expect, test } from 'vitest';
import { createSlab, type Slot } from '../../../src/flow/slab.ts';
import type { SlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { brokenKernel, md5 } from '../../helpers/bytes/kernels.ts';

const PAGE_BLOCK_BYTES = 65_536;
const LENGTHS = [
  65_536, 65_536, 65_536, 1, 65_536, 55, 65_536, 64, 40_001, 65_536, 65_536, 0, 65_536,
];
const broken = await brokenKernel();

const open: WorkerPool[] = [];

afterEach(async () => {
  for (const pool of open.splice(0)) await pool.close();
});

interface Digests {
  readonly packed: readonly string[];
  readonly unpacked: readonly string[];
  readonly expected: readonly string[];
}

function hex(result: { readonly digest: Uint8Array }): string {
  return Buffer.from(result.digest).toString('hex');
}

/** Packs blocks of all lengths at the same time, and expands them again. */
async function digestsOf(workers: number, kernels?: SlabKernels): Promise<Digests> {
  const slab = createSlab({ blockSizeBytes: PAGE_BLOCK_BYTES, slabBytes: 40 * PAGE_BLOCK_BYTES });
  const pool = await createWorkerPool({ slab, workers, kernels });
  open.push(pool);
  const lease = slab.lease('pack');
  const raws = await Promise.all(LENGTHS.map(() => lease.acquireRaw()));
  const packs = await Promise.all(LENGTHS.map(() => lease.acquirePacked()));
  const contents = LENGTHS.map((lengthBytes, k) => noise(k + 1, lengthBytes));
  for (const [k, content] of contents.entries()) raws[k]?.bytes.set(content);
  const pairs = raws.map((raw, k) => [raw, packs[k] as Slot, LENGTHS[k] ?? 0] as const);
  const forms = await Promise.all(
    pairs.map(([raw, packed, lengthBytes]) => pool.pack(raw, lengthBytes, packed)),
  );
  const plain = await Promise.all(
    pairs.map(async ([raw, packed, lengthBytes]) => {
      packed.bytes.set(raw.bytes);
      const stored = { codec: 'plain', storedBytes: lengthBytes } as const;
      return await pool.unpack(packed, stored, raw, lengthBytes);
    }),
  );
  return { packed: forms.map(hex), unpacked: plain.map(hex), expected: contents.map(md5) };
}

describe.each([0, 1, 2])('a pool with %d threads', (workers) => {
  test.each([
    ['its kernel', undefined],
    ['node:crypto', {}],
  ] as const)('digests blocks of all lengths with %s', async (_title, kernels) => {
    const { packed, unpacked, expected } = await digestsOf(workers, kernels);

    expect(packed).toEqual(expected);
    expect(unpacked).toEqual(expected);
  });

  test('uses the kernel it is given: with a broken one the digests are wrong', async () => {
    const { packed, unpacked, expected } = await digestsOf(workers, { md5: broken });

    for (const digests of [packed, unpacked]) {
      const wrong = digests.filter((digest, k) => digest !== expected[k]);
      expect(wrong.length).toBeGreaterThan(expected.length / 2);
    }
  });
});
