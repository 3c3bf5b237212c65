/** Overlays of disks: what clients write, zero and flush, against a plain buffer. */
import {
  assert,
  asyncProperty,
  constantFrom,
  integer,
  nat,
  oneof,
  record,
  array,
} from 'fast-check';
import {
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  existsSync,
  mkdirSync,
  symlinkSync,
} from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CLUSTER_BYTES } from '../../../src/points/overlay/clusterMap.ts';
import type { OverlayBase } from '../../../src/points/overlay/diskOverlay.ts';
import { OpenOverlay } from '../../../src/points/overlay/overlayFiles.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { flipBit } from '../../helpers/bytes/images.ts';
import { FaultyFiles } from '../../helpers/faults/faultyFiles.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';
import { TIB } from '../../../src/core/units.ts';

/** Five clusters and a short one. */
const SIZE_BYTES = 5 * CLUSTER_BYTES + 1000;
const IDENTITY = { pointId: 'point', diskId: 'disk', sizeBytes: SIZE_BYTES };
const BASE = noise('base', SIZE_BYTES);

function baseOf(content: Buffer): OverlayBase {
  return {
    sizeBytes: content.length,
    read: async (at, length) =>
      await Promise.resolve(Buffer.from(content.subarray(at, at + length))),
  };
}

const folder = useTempFolder();
const overlayFolder = (): string => folder.path('overlays');
const fileOf = (name: string): string => folder.path('overlays', 'disk', name);

async function open(keep = true, base = baseOf(BASE), identity = IDENTITY): Promise<OpenOverlay> {
  return await OpenOverlay.open(base, {
    folder: overlayFolder(),
    keep,
    identity,
  });
}

async function contentOf({ overlay }: OpenOverlay): Promise<Buffer> {
  return await overlay.read(0, SIZE_BYTES);
}

type Step =
  | { readonly kind: 'write' | 'zero' | 'fill'; readonly at: number; readonly length: number }
  | { readonly kind: 'flush' | 'reopen' };

const place = oneof(
  nat(SIZE_BYTES - 1),
  integer({ min: 0, max: 5 }).map((k) => k * CLUSTER_BYTES),
);
const length = oneof(
  integer({ min: 1, max: SIZE_BYTES }),
  integer({ min: 1, max: 5 }).map((k) => k * CLUSTER_BYTES),
  integer({ min: 1, max: 600 }),
);
const step = oneof(
  {
    weight: 6,
    arbitrary: record({ kind: constantFrom('write', 'zero', 'fill'), at: place, length }),
  },
  { weight: 1, arbitrary: record({ kind: constantFrom('flush', 'reopen') }) },
);

/**
 * Runs steps at the same time. Their ranges lie side by side, often in one cluster, and never
 * overlap.
 */
async function apply(
  { overlay }: OpenOverlay,
  steps: readonly Step[],
  model: Buffer,
): Promise<void> {
  const together: Promise<void>[] = [];
  let freeFrom = 0;
  for (const [k, one] of steps.entries()) {
    if (one.kind === 'flush') together.push(overlay.flush());
    if (!('at' in one)) continue;
    const at = Math.max(freeFrom, one.at);
    const count = Math.min(one.length, SIZE_BYTES - at);
    if (count <= 0) continue;
    freeFrom = at + count;
    const bytes = one.kind === 'write' ? noise(`${at} ${k}`, count) : Buffer.alloc(count);
    bytes.copy(model, at);
    const zero = async (): Promise<void> => await overlay.zero(at, count, one.kind === 'fill');
    together.push(one.kind === 'write' ? overlay.write(at, bytes) : zero());
  }
  await Promise.all(together);
}

describe('an overlay', () => {
  it('holds the bytes of a plain buffer after any writes, zeros, flushes and restarts', async () => {
    let run = 0;
    const rounds = array(array(step, { minLength: 1, maxLength: 5 }), { maxLength: 8 });
    const tries = asyncProperty(rounds, async (all) => {
      const identity = { ...IDENTITY, diskId: `disk${run++}` };
      let opened = await open(true, baseOf(BASE), identity);
      const model = Buffer.from(BASE);
      for (const steps of all as Step[][]) {
        await apply(opened, steps, model);
        if (steps.some(({ kind }) => kind === 'reopen')) {
          await opened.close();
          opened = await open(true, baseOf(BASE), identity);
        }
        expect((await contentOf(opened)).equals(model)).toBe(true);
      }
      await opened.close();
    });
    await assert(tries, { numRuns: 60 });
  });

  it('takes no bytes for whole clusters of zeros, and tells what differs', async () => {
    await using files = await closing(open());
    const { overlay } = files.opened;
    await overlay.zero(0, 3 * CLUSTER_BYTES);
    await overlay.write(4 * CLUSTER_BYTES, Buffer.from('x'));
    await overlay.zero(5 * CLUSTER_BYTES, 1000);

    expect(overlay.size).toEqual({
      dataBytes: CLUSTER_BYTES,
      zeroBytes: 3 * CLUSTER_BYTES + 1000,
    });
    expect(statSync(fileOf('data')).blocks * 512).toBeLessThanOrEqual(CLUSTER_BYTES);
    expect(statSync(fileOf('data')).size).toBe(SIZE_BYTES);
    expect(statSync(fileOf('data')).mode & 0o777).toBe(0o600);
    expect(statSync(overlayFolder()).mode & 0o777).toBe(0o700);
  });

  it('of a large disk costs nothing before it is written to', async () => {
    // Files of a temporary folder on ext4 end at 16 TiB.
    const sizeBytes = 8 * TIB + 1;
    const base = {
      sizeBytes,
      read: async (_at: number, count: number) => await Promise.resolve(Buffer.alloc(count, 7)),
    };
    const identity = { ...IDENTITY, sizeBytes };
    const first = await open(true, base, identity);
    await first.overlay.write(sizeBytes - 1, Buffer.from('z'));
    await first.overlay.zero(4 * TIB, CLUSTER_BYTES);
    await first.close();
    const again = await open(true, base, identity);

    expect(await again.overlay.read(sizeBytes - 2, 2)).toEqual(Buffer.from('\u0007z'));
    expect(await again.overlay.read(4 * TIB - 1, 2)).toEqual(Buffer.from([7, 0]));
    expect(statSync(fileOf('map')).blocks * 512).toBeLessThan(64 * 1024);
    await again.close();
  });

  it('stays as it was when the rest of a cluster cannot be read', async () => {
    let isDamaged = false;
    const base: OverlayBase = {
      sizeBytes: SIZE_BYTES,
      read: async (at, count) => {
        if (isDamaged) throw new Error('damaged');
        return await Promise.resolve(BASE.subarray(at, at + count));
      },
    };
    await using files = await closing(open(true, base));
    const { overlay } = files.opened;
    isDamaged = true;
    await expect(overlay.write(100, Buffer.from('x'))).rejects.toThrow('damaged');
    await expect(overlay.zero(100, 5)).rejects.toThrow('damaged');
    await overlay.write(CLUSTER_BYTES, noise('whole', CLUSTER_BYTES));
    isDamaged = false;

    const model = Buffer.from(BASE);
    noise('whole', CLUSTER_BYTES).copy(model, CLUSTER_BYTES);
    expect((await contentOf(files.opened)).equals(model)).toBe(true);
  });

  it('has what was flushed when nothing else reached its files', async () => {
    const opened = await open();
    await opened.overlay.write(10, Buffer.from('flushed'));
    await opened.overlay.flush();
    const map = readFileSync(fileOf('map'));
    await opened.overlay.write(2 * CLUSTER_BYTES + 5, Buffer.from('lost'));
    await opened.overlay.zero(0, CLUSTER_BYTES);
    await opened.close();
    // A killed server leaves the map of the last flush, and any of the bytes written since.
    writeFileSync(fileOf('map'), map);
    const again = await open();

    const model = Buffer.from(BASE);
    model.write('flushed', 10);
    expect((await contentOf(again)).equals(model)).toBe(true);
    await again.close();
  });

  it('is deleted at the end without keep, with its folders', async () => {
    const opened = await open(false);
    await opened.overlay.write(0, Buffer.from('x'));
    await opened.close();

    expect(existsSync(overlayFolder())).toBe(false);
  });

  it('leaves a folder that was there before', async () => {
    mkdirSync(overlayFolder());
    await (await open(false)).close();

    expect(existsSync(overlayFolder())).toBe(true);
    expect(existsSync(fileOf(''))).toBe(false);
  });

  it('is used by one server only', async () => {
    const opened = await open();
    await expect(open()).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await opened.close();
    await (await open()).close();
  });

  it('that exists is refused without keep, and so is that of another point, disk or size', async () => {
    await (await open()).close();
    const exists = { code: 'USAGE_OUTPUT_EXISTS' };

    await expect(open(false)).rejects.toMatchObject({
      ...exists,
      hint: expect.stringContaining('--keep') as string,
    });
    const hintOfPoint = expect.stringContaining(`--point ${IDENTITY.pointId},`) as string;
    await expect(open(true, baseOf(BASE), { ...IDENTITY, pointId: 'other' })).rejects.toMatchObject(
      { ...exists, hint: hintOfPoint },
    );
    await expect(
      open(true, baseOf(BASE), { ...IDENTITY, sizeBytes: SIZE_BYTES + 1 }),
    ).rejects.toMatchObject(exists);
    // Both ids give the same name of a folder.
    await (await open(true, baseOf(BASE), { ...IDENTITY, diskId: 'a/b' })).close();
    await expect(open(true, baseOf(BASE), { ...IDENTITY, diskId: 'a_b' })).rejects.toMatchObject(
      exists,
    );
  });

  it.each([
    ['another magic', 'map', 0, 'FORMAT_BAD_MAGIC'],
    ['another version', 'map', 8, 'FORMAT_UNSUPPORTED'],
    ['another cluster size', 'map', 18, 'INTEGRITY_CRC_MISMATCH'],
    ['another id', 'map', 34, 'INTEGRITY_CRC_MISMATCH'],
    ['another length of an id', 'map', 33, 'INTEGRITY_CRC_MISMATCH'],
    ['damaged states', 'map', 4100, 'INTEGRITY_CRC_MISMATCH'],
    ['states beyond the disk', 'map', 4500, 'INTEGRITY_CRC_MISMATCH'],
  ])('with %s is refused', async (_what, name, at, code) => {
    const opened = await open();
    await opened.overlay.write(0, Buffer.from('x'));
    await opened.close();
    flipBit(fileOf(name), at);

    await expect(open()).rejects.toMatchObject({ code });
  });

  it.each([
    ['map', 0],
    ['map', 4096],
    ['map', 5000],
    ['data', 10],
  ])('with a %s of %i bytes is refused', async (name, size) => {
    await (await open()).close();
    truncateSync(fileOf(name), size);

    await expect(open()).rejects.toMatchObject({ code: 'FORMAT_TRUNCATED' });
  });

  it('whose data file is a link is refused', async () => {
    await (await open()).close();
    writeFileSync(folder.path('elsewhere'), Buffer.alloc(SIZE_BYTES));
    unlinkSync(fileOf('data'));
    symlinkSync(folder.path('elsewhere'), fileOf('data'));

    await expect(open()).rejects.toMatchObject({ code: 'OUTPUT_IO' });
  });

  it('never lies in a repository, also not through a link', async () => {
    const repository = folder.make('repository');
    writeFileSync(`${repository}/ovirt-cbt.json`, '{}');
    symlinkSync(repository, folder.path('link'));
    for (const parent of [repository, `${repository}/new/deep`, folder.path('link', 'new')]) {
      await expect(
        OpenOverlay.open(baseOf(BASE), {
          folder: parent,
          identity: IDENTITY,
        }),
      ).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
    }
    await (
      await OpenOverlay.open(baseOf(BASE), {
        folder: `${repository}-beside`,
        identity: IDENTITY,
      })
    ).close();
  });
});

describe('an overlay on a volume with faults', () => {
  it('keeps every byte of before when the volume is full, and goes on when it has room', async () => {
    const files = await FaultyFiles.install(overlayFolder());
    try {
      const opened = await open();
      await opened.overlay.write(0, noise('first', 2 * CLUSTER_BYTES));
      await opened.overlay.flush();
      files.failWhere((name) => (name === 'writev' ? 'ENOSPC' : undefined));
      await expect(opened.overlay.write(3 * CLUSTER_BYTES, noise('x', 100))).rejects.toMatchObject({
        code: 'ENOSPC',
      });
      await opened.overlay.zero(2 * CLUSTER_BYTES, CLUSTER_BYTES);
      await expect(opened.overlay.flush()).rejects.toMatchObject({ code: 'ENOSPC' });
      files.failWhere(() => undefined);
      await opened.overlay.write(4 * CLUSTER_BYTES, noise('last', CLUSTER_BYTES));
      await opened.close();
      const again = await open();

      const model = Buffer.from(BASE);
      noise('first', 2 * CLUSTER_BYTES).copy(model, 0);
      model.fill(0, 2 * CLUSTER_BYTES, 3 * CLUSTER_BYTES);
      noise('last', CLUSTER_BYTES).copy(model, 4 * CLUSTER_BYTES);
      expect((await contentOf(again)).equals(model)).toBe(true);
      await again.close();
    } finally {
      files.uninstall();
    }
  });

  it('never says flushed after a sync of its data has failed', async () => {
    const files = await FaultyFiles.install(overlayFolder());
    try {
      const opened = await open();
      await opened.overlay.write(0, Buffer.from('x'));
      files.failWhere((name) => (name === 'datasync' ? 'EIO' : undefined));
      await expect(opened.overlay.flush()).rejects.toMatchObject({ code: 'EIO' });
      files.failWhere(() => undefined);
      await expect(opened.overlay.flush()).rejects.toMatchObject({ code: 'OUTPUT_IO' });
      expect((await contentOf(opened)).subarray(0, 1).toString()).toBe('x');
      await expect(opened.close()).rejects.toMatchObject({ code: 'OUTPUT_IO' });
    } finally {
      files.uninstall();
    }
  });

  it('continues short writes', async () => {
    const files = await FaultyFiles.install(overlayFolder());
    try {
      const opened = await open();
      files.arm({ fault: 'short', nth: 1 });
      await opened.overlay.write(7, noise('short', 3000));
      expect(files.disarm().struck).toBeDefined();
      const model = Buffer.from(BASE);
      noise('short', 3000).copy(model, 7);
      expect((await contentOf(opened)).equals(model)).toBe(true);
      await opened.close();
    } finally {
      files.uninstall();
    }
  });

  it('that cannot be made leaves nothing', async () => {
    mkdirSync(overlayFolder());
    const files = await FaultyFiles.install(overlayFolder());
    files.failWhere((name) => (name === 'truncate' ? 'ENOSPC' : undefined));
    try {
      await expect(open()).rejects.toMatchObject({ code: 'OUTPUT_FULL' });
    } finally {
      files.uninstall();
    }
    expect(existsSync(fileOf(''))).toBe(false);
  });
});

/** Closes the overlay when the test leaves its block. */
async function closing(
  opening: Promise<OpenOverlay>,
): Promise<{ readonly opened: OpenOverlay; [Symbol.asyncDispose](): Promise<void> }> {
  const opened = await opening;
  return { opened, [Symbol.asyncDispose]: async () => await opened.close() };
}
