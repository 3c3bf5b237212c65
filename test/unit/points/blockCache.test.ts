import { EventEmitter, once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { BlockCache, type TakeRoom } from '../../../src/points/blockCache.ts';

const ROOM_BYTES = 1024 * 1024;

/** Fills a block with one byte, and counts the loads of each key. */
class Loads {
  readonly counts = new Map<string, number>();
  readonly rooms = new Set<Buffer>();

  of(key: string): (takeRoom: TakeRoom) => Promise<void> {
    return async (takeRoom) => {
      this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
      await Promise.resolve();
      const room = takeRoom();
      this.rooms.add(room);
      room.fill(key);
    };
  }
}

async function fail(): Promise<void> {
  return await Promise.reject(new Error('no such block'));
}

async function hold(cache: BlockCache, loads: Loads, key: string): ReturnType<BlockCache['hold']> {
  return await cache.hold(key, ROOM_BYTES, loads.of(key));
}

describe('the cache of blocks', () => {
  it('loads a block once for readers at the same time and later', async () => {
    const [cache, loads] = [new BlockCache(4 * ROOM_BYTES), new Loads()];

    const held = await Promise.all([hold(cache, loads, 'a'), hold(cache, loads, 'a')]);
    for (const block of held) block.release();
    const again = await hold(cache, loads, 'a');

    expect(again.bytes[5]).toBe('a'.charCodeAt(0));
    expect(loads.counts).toEqual(new Map([['a', 1]]));
  });

  it('drops the block that was used least recently', async () => {
    const [cache, loads] = [new BlockCache(2 * ROOM_BYTES), new Loads()];

    for (const key of ['a', 'b', 'a', 'c', 'a', 'b']) (await hold(cache, loads, key)).release();

    expect(loads.counts).toEqual(
      new Map([
        ['a', 1],
        ['b', 2],
        ['c', 1],
      ]),
    );
  });

  it('never changes a block that a reader holds', async () => {
    const [cache, loads] = [new BlockCache(ROOM_BYTES), new Loads()];
    const first = await hold(cache, loads, 'a');

    for (const key of ['b', 'c', 'd', 'e']) (await hold(cache, loads, key)).release();

    expect(first.bytes.equals(Buffer.alloc(ROOM_BYTES, 'a'))).toBe(true);
    first.release();
  });

  it('uses the memory of dropped blocks again', async () => {
    const [cache, loads] = [new BlockCache(2 * ROOM_BYTES), new Loads()];

    for (let k = 0; k < 50; k++) (await hold(cache, loads, `block ${k}`)).release();

    expect(loads.rooms.size).toBeLessThanOrEqual(4);
  });

  it('gives the memory of a block back once, however often it is released', async () => {
    const [cache, loads] = [new BlockCache(0), new Loads()];
    const first = await hold(cache, loads, 'a');
    first.release();
    first.release();

    const [b, c] = [await hold(cache, loads, 'b'), await hold(cache, loads, 'c')];

    expect(b.bytes).not.toBe(c.bytes);
    expect(b.bytes[0]).toBe('b'.charCodeAt(0));
  });

  it('keeps no load that failed, and gives its error to all who waited', async () => {
    const cache = new BlockCache(4 * ROOM_BYTES);

    const both = await Promise.allSettled([
      cache.hold('a', ROOM_BYTES, fail),
      cache.hold('a', ROOM_BYTES, fail),
    ]);
    const good = await hold(cache, new Loads(), 'a');

    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(good.bytes[0]).toBe('a'.charCodeAt(0));
  });

  it('has memory for a block only when its bytes are there', async () => {
    const [cache, loads] = [new BlockCache(2 * ROOM_BYTES), new Loads()];
    let turn = Promise.resolve();
    const readers = Array.from({ length: 100 }, async (_, k) => {
      const before = turn;
      const loaded = cache.hold(`block ${k}`, ROOM_BYTES, async (takeRoom) => {
        await before;
        await loads.of(`block ${k}`)(takeRoom);
      });
      turn = loaded.then(() => {});
      (await loaded).release();
    });

    await Promise.all(readers);

    expect(loads.rooms.size).toBeLessThanOrEqual(4);
  });

  it('keeps a block that is used while others wait for theirs', async () => {
    const [cache, loads] = [new BlockCache(2 * ROOM_BYTES), new Loads()];
    (await hold(cache, loads, 'a')).release();
    const started = new EventEmitter();
    const waiting = ['x', 'y', 'z'].map((key) =>
      cache.hold(key, ROOM_BYTES, async (takeRoom) => {
        await once(started, 'start');
        takeRoom();
      }),
    );

    (await hold(cache, loads, 'a')).release();
    started.emit('start');
    for (const block of await Promise.all(waiting)) block.release();

    expect(loads.counts.get('a')).toBe(1);
  });

  it('serves a block although it keeps none', async () => {
    const [cache, loads] = [new BlockCache(0), new Loads()];

    for (const key of ['a', 'a']) {
      const block = await hold(cache, loads, key);
      expect(block.bytes.equals(Buffer.alloc(ROOM_BYTES, key))).toBe(true);
      block.release();
    }

    expect(loads.counts.get('a')).toBe(2);
  });
});
