import { describe, expect, it } from 'vitest';
import { BlockStore, type NewBlock } from '../../../src/container/write/blockStore.ts';
import { expectCode } from '../../helpers/codes.ts';
import { createRandom, noise } from '../../helpers/bytes/random.ts';

function newBlock(change: Partial<NewBlock> = {}): NewBlock {
  return {
    digest: noise(1, 16),
    fingerprint: 77n,
    sourceBytes: 10_000,
    codec: 'lz4',
    storedBytes: 5000,
    offsetBytes: 2 ** 41,
    isDeduplicated: true,
    ...change,
  };
}

describe('BlockStore', () => {
  it('finds a block with equal digest, fingerprint and length', () => {
    const store = new BlockStore();
    store.add(newBlock({ digest: noise(9, 16) }));
    const blockId = store.add(newBlock());

    expect(store.find(newBlock())).toBe(blockId);
  });

  it.each([
    ['digest', { digest: Buffer.concat([noise(1, 15), Buffer.of(0)]) }],
    ['fingerprint', { fingerprint: 78n }],
    ['length', { sourceBytes: 9999 }],
  ])('does not find a block with another %s', (_what, change) => {
    const store = new BlockStore();
    store.add(newBlock());

    expect(store.find(newBlock(change))).toBeUndefined();
  });

  it('finds every block when the digests collide in its table', () => {
    const store = new BlockStore();
    const keys = Array.from({ length: 50 }, (_, k) =>
      newBlock({ digest: Buffer.concat([Buffer.alloc(4), noise(k, 12)]) }),
    );
    for (const key of keys) store.add(key);

    expect(keys.map((key) => store.find(key))).toEqual([...keys.keys()]);
  });

  it('finds every block after its table has grown', () => {
    const store = new BlockStore();
    const keys = Array.from({ length: 10_000 }, (_, k) => newBlock({ digest: noise(k, 16) }));
    for (const key of keys) store.add(key);

    expect(keys.every((key, k) => store.find(key) === k)).toBe(true);
  });

  it('does not find a block outside the deduplication index', () => {
    const store = new BlockStore();
    const blockId = store.add(newBlock({ isDeduplicated: false }));

    expect(store.find(newBlock())).toBeUndefined();
    expect(store.isInDedupIndex(blockId)).toBe(false);
  });

  it('counts uses', () => {
    const store = new BlockStore();
    const blockId = store.add(newBlock());
    store.use(blockId);
    store.use(blockId);

    expect(store.record(blockId).usageCount).toBe(3);
  });

  it('records place, sizes and codec of a live block', () => {
    const store = new BlockStore();
    const blockId = store.add(newBlock());

    expect(store.record(blockId)).toEqual({
      usageCount: 1,
      offsetBytes: 2 ** 41,
      allocatedBytes: 8192,
      isDeduplicated: true,
      digest: noise(1, 16),
      compression: 7,
      storedBytes: 5000,
      sourceBytes: 10_000,
    });
  });

  it('refuses a block id that it never gave', async () => {
    await expectCode(() => new BlockStore().record(0), 'INTERNAL_INVARIANT');
  });

  // Few ids are sorted at once, many in buckets.
  it.each([3000, 6000])('orders a deduplication index of %i blocks by digest bytes', (count) => {
    const store = new BlockStore();
    const random = createRandom(5);
    const shared = noise(3, 2);
    for (let k = 0; k < count; k++) {
      const digest = k % 3 ? random.bytes(16) : Buffer.concat([shared, random.bytes(14)]);
      store.add(newBlock({ digest, isDeduplicated: k % 10 !== 0 }));
    }

    const ids = [...store.idsByDigest()];

    const digests = ids.map((id) => store.digestOf(id).toString('hex'));
    expect(digests).toEqual(digests.toSorted());
    expect(ids).toHaveLength(0.9 * count);
    expect(new Set(ids).size).toBe(0.9 * count);
    expect(ids.every((id) => id % 10 !== 0)).toBe(true);
  });
});
