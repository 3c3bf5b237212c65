import { describe, expect, test } from 'vitest';
import { SyncAhead, writeAll } from '../../../src/core/fileWrites.ts';
import { MIB } from '../../../src/core/units.ts';

describe('writeAll', () => {
  test.each([
    ['in the middle of a piece', 3, [0, 3, 6]],
    ['at the end of a piece', 4, [0, 4]],
    ['after all of it', 7, [0]],
  ])('goes on after a write that ended %s', async (_title, most, offsets) => {
    const content = Buffer.alloc(7);
    const starts: number[] = [];
    const file = {
      writev: async (pieces: readonly Uint8Array[], offsetBytes: number) => {
        const rest = Buffer.concat(pieces);
        const bytesWritten = Math.min(most, rest.length);
        rest.copy(content, offsetBytes - 100, 0, bytesWritten);
        starts.push(offsetBytes - 100);
        return { bytesWritten, buffers: [] };
      },
    };

    await writeAll(file as never, [Buffer.from('abcd'), Buffer.from('efg')], 100);

    expect([content.toString(), starts]).toEqual(['abcdefg', offsets]);
  });
});

/** Counts its calls. Each call ends when the test tells it to. */
class Syncs {
  readonly ends: ((error?: Error) => void)[] = [];
  readonly ahead: SyncAhead = new SyncAhead(
    () =>
      new Promise((resolve, reject) => {
        this.ends.push((error) => (error ? reject(error) : resolve()));
      }),
  );
}

describe('SyncAhead', () => {
  test('starts a sync for every 64 MiB, one at a time', async () => {
    const { ahead, ends } = new Syncs();

    ahead.add(63 * MIB);
    expect(ends.length).toBe(0);
    ahead.add(MIB);
    expect(ends.length).toBe(1);
    ahead.add(64 * MIB);
    expect(ends.length).toBe(1);
    ends[0]?.();
    await ahead.settle();
    ahead.add(1);
    expect(ends.length).toBe(2);
  });

  test('settles when the sync under way has ended', async () => {
    const { ahead, ends } = new Syncs();
    let isSettled = false;
    ahead.add(64 * MIB);

    const settled = ahead.settle().then(() => {
      isSettled = true;
    });
    await new Promise(setImmediate);
    expect(isSettled).toBe(false);
    ends[0]?.();
    await settled;

    expect(isSettled).toBe(true);
  });

  test('keeps the first error, which a later sync would hide', async () => {
    const { ahead, ends } = new Syncs();
    const error = new Error('EIO');
    ahead.add(64 * MIB);
    ends[0]?.(error);
    await new Promise(setImmediate);
    ahead.add(64 * MIB);
    ends[1]?.();

    await expect(ahead.settle()).rejects.toBe(error);
    expect(ahead.failure).toBe(error);
  });
});
