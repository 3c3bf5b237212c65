import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KIB } from '../../../src/core/units.ts';
import { createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { createSlab, type Slot } from '../../../src/flow/slab.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/compute/workerPool.ts';
import { expectCode } from '../../helpers/errors.ts';
import { noise } from '../../helpers/diskImage.ts';
import { type ImageFile, imageFile } from '../../helpers/imageFile.ts';

const BLOCK_BYTES = 1024 * KIB;
const codecs = await createBlockCodecs();

/**
 * Pieces have 128 and 256 KiB. The data starts in the first piece, in the middle, or at the very
 * end.
 */
const CONTENTS: readonly (readonly [title: string, content: Buffer])[] = [
  ['data from the first byte on', noise(1, BLOCK_BYTES)],
  ['data behind 600 KiB of zeros', Buffer.concat([Buffer.alloc(600 * KIB), noise(2, 424 * KIB)])],
  ['one byte at the end', Buffer.concat([Buffer.alloc(BLOCK_BYTES - 1), Buffer.from([7])])],
  ['zeros behind data', Buffer.concat([noise(3, 140 * KIB), Buffer.alloc(884 * KIB)])],
  ['a length that is no multiple of 32', noise(4, 300 * KIB + 13)],
  ['a few bytes', noise(5, 5)],
];

describe.each([0, 1])('a pool with %d threads that reads a file', (workers) => {
  let file: ImageFile | undefined;
  let pool: WorkerPool;
  let slot: Slot;

  beforeEach(async () => {
    file = undefined;
    const slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 2 * BLOCK_BYTES });
    slot = await slab.lease().acquireRaw();
    pool = await createWorkerPool({ slab, workers });
  });
  afterEach(async () => {
    await pool.close();
    file?.close();
  });

  /** A file with `content` between other bytes. */
  function rangeOf(content: Buffer): Parameters<WorkerPool['read']>[0] {
    file = imageFile(Buffer.concat([noise(9, 4096), content, noise(10, 4096)]));
    const { fileDescriptor } = file;
    return { fileDescriptor, offsetBytes: 4096, lengthBytes: content.length };
  }

  test.each(CONTENTS)('gets bytes and fingerprint of %s', async (_title, content) => {
    const result = await pool.read(rangeOf(content), slot);

    expect(result).toEqual({ isWhole: true, fingerprint: codecs.fingerprint(content) });
    expect(slot.bytes.subarray(0, content.length).equals(content)).toBe(true);
  });

  test.each(CONTENTS)('looks at the fingerprint of %s', async (_title, content) => {
    const fingerprints = await pool.fingerprintRange(rangeOf(content), BLOCK_BYTES, slot);

    expect(fingerprints).toEqual([codecs.fingerprint(content)]);
  });

  test('looks at several blocks, the last of them short', async () => {
    const blocks = [noise(1, 200 * KIB), Buffer.alloc(200 * KIB), noise(2, 200 * KIB), noise(3, 7)];

    const fingerprints = await pool.fingerprintRange(
      rangeOf(Buffer.concat(blocks)),
      200 * KIB,
      slot,
    );

    expect(fingerprints).toEqual([
      codecs.fingerprint(blocks[0] as Buffer),
      0n,
      codecs.fingerprint(blocks[2] as Buffer),
      codecs.fingerprint(blocks[3] as Buffer),
    ]);
  });

  test('looks at as many blocks as fit a result, and refuses more', async () => {
    const blocks = Array.from({ length: 9 }, (_, k) => noise(k, 512));
    const range = rangeOf(Buffer.concat(blocks));

    const fingerprints = await pool.fingerprintRange({ ...range, lengthBytes: 8 * 512 }, 512, slot);

    expect(fingerprints).toEqual(blocks.slice(0, 8).map((block) => codecs.fingerprint(block)));
    await expectCode(pool.fingerprintRange(range, 512, slot), 'INTERNAL_INVARIANT');
  });

  test('takes back a look that waits, and none after the abort begins', async () => {
    const range = rangeOf(noise(1, 512));
    const stop = new AbortController();
    const looks = [1, 2].map(() => pool.fingerprintRange(range, 512, slot, stop.signal));

    stop.abort(new Error('enough'));
    const results = await Promise.allSettled([
      ...looks,
      pool.fingerprintRange(range, 512, slot, stop.signal),
      pool.fingerprintRange(range, 512, slot),
    ]);

    const reason = stop.signal.reason as Error;
    expect(results.slice(0, 3)).toEqual([1, 2, 3].map(() => ({ status: 'rejected', reason })));
    expect(results[3]).toMatchObject({ status: 'fulfilled' });
  });

  test('says 0 for a block of zeros', async () => {
    const range = rangeOf(Buffer.alloc(700 * KIB + 3));

    expect(await pool.read(range, slot)).toEqual({ isWhole: true, fingerprint: 0n });
    expect(await pool.fingerprintRange(range, BLOCK_BYTES, slot)).toEqual([0n]);
  });

  test('says so when the file ends early', async () => {
    const range = { ...rangeOf(noise(6, 300 * KIB)), lengthBytes: 400 * KIB };

    expect((await pool.read(range, slot)).isWhole).toBe(false);
    expect(await pool.fingerprintRange(range, BLOCK_BYTES, slot)).toBeUndefined();
    expect(await pool.fingerprintRange(range, 128 * KIB, slot)).toBeUndefined();
  });

  test('says so when it may not read', async () => {
    const range = { fileDescriptor: 9999, offsetBytes: 0, lengthBytes: 9 };

    expect((await pool.read(range, slot)).isWhole).toBe(false);
    expect(await pool.fingerprintRange(range, BLOCK_BYTES, slot)).toBeUndefined();
  });
});
