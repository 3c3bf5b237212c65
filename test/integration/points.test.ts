/** Restore points opened for reading: blocks, changes, ranges, extents, byte streams. */
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openRepository } from '../../src/points/openRepository.ts';
import type { PointDisk } from '../../src/points/pointDisk.ts';
import { BLOCK_BYTES, blocks, writeImage } from '../helpers/bytes/images.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const TAIL = Buffer.from('the last block of this disk is short');
const FIRST = Buffer.concat([blocks('aB00cc0D0'), TAIL]);
const SECOND = Buffer.concat([blocks('aX0e0c0D0'), TAIL]);

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function content(disk: PointDisk): Promise<Buffer> {
  return Buffer.concat(await collect<Buffer>(disk.createReadStream()));
}

describe('an opened restore point', () => {
  const folder = useTempFolder();

  async function twoPoints(): Promise<string> {
    const repository = folder.path('repository');
    const image = writeImage(folder.path('disk.raw'), FIRST);
    await backup(repository, image);
    writeImage(image, SECOND);
    await backup(repository, image);
    return repository;
  }

  it('gives the disk as blocks, as a byte stream and in ranges', async () => {
    const repository = await twoPoints();
    await using opened = await openRepository(repository, { workers: 0 });
    const [full, increment] = [await opened.point(VM, '1'), await opened.point(VM)];
    const disk = increment.disk('disk.raw');
    const rebuilt = Buffer.alloc(disk.virtualSizeBytes);
    for await (const { offsetBytes, bytes } of disk.blocks()) rebuilt.set(bytes, offsetBytes);

    expect(increment.number).toBe(2);
    expect(rebuilt.equals(SECOND)).toBe(true);
    expect((await content(disk)).equals(SECOND)).toBe(true);
    expect((await content(full.disk('disk.raw'))).equals(FIRST)).toBe(true);
    for (const [from, length] of [
      [0, 1],
      [BLOCK_BYTES - 3, 7],
      [BLOCK_BYTES, 2 * BLOCK_BYTES],
      [SECOND.length - 5, 5],
      [SECOND.length, 0],
      [0, SECOND.length],
    ] as const) {
      const read = await disk.read(from, length);
      expect(read.equals(SECOND.subarray(from, from + length))).toBe(true);
    }
    const piece = { offsetBytes: BLOCK_BYTES + 11, lengthBytes: 4 * BLOCK_BYTES };
    const stream = Buffer.concat(await collect<Buffer>(disk.createReadStream(piece)));
    expect(stream.equals(SECOND.subarray(piece.offsetBytes, 5 * BLOCK_BYTES + 11))).toBe(true);
  });

  it('says what it holds against its parent', async () => {
    const repository = await twoPoints();
    await using opened = await openRepository(repository, { workers: 0 });
    const target = Buffer.alloc(FIRST.length, 7);
    const seen: string[][] = [];
    for (const number of ['1', '2']) {
      const point = await opened.point(VM, number);
      const kinds: string[] = [];
      for await (const change of point.disk('disk.raw').changedBlocks()) {
        const { kind, offsetBytes } = change;
        kinds.push(`${kind} ${offsetBytes / BLOCK_BYTES}`);
        if (change.kind === 'block') target.set(change.bytes, offsetBytes);
        else target.fill(0, offsetBytes, offsetBytes + change.lengthBytes);
      }
      seen.push(kinds);
      expect(target.equals(number === '1' ? FIRST : SECOND)).toBe(true);
    }

    expect(seen[0]).toEqual([
      'block 0',
      'block 1',
      'zero 2',
      'block 4',
      'block 5',
      'zero 6',
      'block 7',
      'zero 8',
      'block 9',
    ]);
    expect(seen[1]).toEqual(['block 1', 'block 3', 'zero 4']);
  });

  it('lists its extents without a gap', async () => {
    const repository = await twoPoints();
    await using opened = await openRepository(repository, { workers: 0 });
    const point = await opened.point(VM);
    const extents = await collect(point.disk('disk.raw').extents());

    expect(
      extents.map(({ offsetBytes, lengthBytes, zero }) => [
        offsetBytes / BLOCK_BYTES,
        lengthBytes / BLOCK_BYTES,
        zero,
      ]),
    ).toEqual([
      [0, 2, false],
      [2, 1, true],
      [3, 1, false],
      [4, 1, true],
      [5, 1, false],
      [6, 1, true],
      [7, 1, false],
      [8, 1, true],
      [9, TAIL.length / BLOCK_BYTES, false],
    ]);
  });

  it('never gives wrong bytes of a damaged block', async () => {
    const repository = await twoPoints();
    const name = onlyFileOf(repository, '.vbk');
    const bytes = readFileSync(name);
    const at = bytes.indexOf(blocks('B').subarray(0, 64));
    bytes.writeUInt8((bytes.readUInt8(at + 100) + 1) % 256, at + 100);
    writeFileSync(name, bytes);
    await using opened = await openRepository(repository, { workers: 0 });
    const disk = (await opened.point(VM, '1')).disk('disk.raw');
    const damage = { code: 'INTEGRITY_DIGEST_MISMATCH' };

    await expect(disk.read(BLOCK_BYTES, 1)).rejects.toMatchObject(damage);
    await expect(disk.read(BLOCK_BYTES, 1)).rejects.toMatchObject(damage);
    await expect(content(disk)).rejects.toMatchObject(damage);
    await expect(collect(disk.blocks())).rejects.toMatchObject(damage);
    expect((await disk.read(0, 9)).equals(FIRST.subarray(0, 9))).toBe(true);
  });

  it('is read again after a close, and beside another one that is closed', async () => {
    const repository = await twoPoints();
    await using opened = await openRepository(repository, { workers: 0, cacheBytes: 0 });
    const first = await opened.point(VM);
    const beside = await opened.point(VM);
    expect((await first.disk('disk.raw').read(0, SECOND.length)).equals(SECOND)).toBe(true);
    await first.close();

    const again = await opened.point(VM);

    for (const { disks } of [beside, again]) {
      expect((await disks[0]?.read(0, SECOND.length))?.equals(SECOND)).toBe(true);
    }
  });

  it('refuses ranges beyond the disk, unknown disks, and use after close', async () => {
    const repository = await twoPoints();
    const opened = await openRepository(repository, { workers: 0 });
    const point = await opened.point(VM);
    const disk = point.disk('disk.raw');

    for (const [from, length] of [
      [-1, 1],
      [0, SECOND.length + 1],
      [SECOND.length + 1, 0],
      [0.5, 1],
      [0, Number.NaN],
    ] as const) {
      const invalid = { code: 'USAGE_INVALID_OPTION' };
      await expect(disk.read(from, length)).rejects.toMatchObject(invalid);
    }
    expect(() => point.disk('none')).toThrow('has no disk "none"');
    await expect(opened.point('nobody')).rejects.toMatchObject({ code: 'USAGE_NOT_FOUND' });
    await opened.close();
    await opened.close();
    const closed = { code: 'USAGE_WRONG_STATE' };
    await expect(disk.read(0, 1)).rejects.toMatchObject(closed);
    await expect(collect(disk.blocks())).rejects.toMatchObject(closed);
    await expect(opened.point(VM)).rejects.toMatchObject(closed);
  });
});
