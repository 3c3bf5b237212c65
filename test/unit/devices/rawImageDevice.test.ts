import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, open, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Extent } from '../../../src/flow/records.ts';
import { openRawImage, type RawImage } from '../../../src/devices/rawImageDevice.ts';
import { PICTURE_BLOCK_BYTES, diskImage } from '../../helpers/pipeline/diskPicture.ts';
import { KIB, MIB } from '../../helpers/bytes/images.ts';
import { type Island, writeIslands } from '../../helpers/bytes/sparseImages.ts';
import { withoutQemuImg } from '../../helpers/faults/fakeQemuImg.ts';
import { expectCode } from '../../helpers/codes.ts';
import { tempFolderOfTest } from '../../helpers/tempFolder.ts';

const { signal } = new AbortController();
const NOBODY_UID = 65_534;

async function imageFile(picture: string): Promise<string> {
  const path = join(tempFolderOfTest(), 'disk.raw');
  await writeFile(path, diskImage(picture).content);
  return path;
}

/** Runs `work` without the rights of the superuser, who may read everything. */
async function withoutRootRights(work: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY_UID);
  try {
    await work();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

/** Opens an image for the running test. */
async function opened(path: string): Promise<RawImage> {
  const image = await openRawImage(path);
  onTestFinished(() => image.close());
  return image;
}

async function extentsOf(image: RawImage): Promise<Extent[]> {
  const extents: Extent[] = [];
  for await (const extent of image.extents('zero', signal)) extents.push(extent);
  return extents;
}

describe('an image that cannot be used', () => {
  test('is a file that is missing', async () => {
    await expectCode(openRawImage(join(tempFolderOfTest(), 'none.raw')), 'USAGE_IMAGE_UNREADABLE');
  });

  test('is a directory', async () => {
    await expectCode(openRawImage(tempFolderOfTest()), 'USAGE_IMAGE_UNREADABLE');
  });

  test('is an empty file', async () => {
    const path = join(tempFolderOfTest(), 'disk.raw');
    await writeFile(path, '');

    await expectCode(openRawImage(path), 'USAGE_IMAGE_UNREADABLE');
  });

  test('is a file that this user may not read', async () => {
    const path = await imageFile('A');
    await chmod(path, 0);

    await withoutRootRights(async () => {
      await expectCode(openRawImage(path), 'USAGE_IMAGE_UNREADABLE');
    });
  });

  test('is a pipe that nobody writes to', { timeout: 5_000 }, async () => {
    const path = join(tempFolderOfTest(), 'pipe');
    execFileSync('mkfifo', [path]);

    await expectCode(openRawImage(path), 'USAGE_IMAGE_UNREADABLE');
  });

  test('is a character device', async () => {
    await expectCode(openRawImage('/dev/zero'), 'USAGE_IMAGE_UNREADABLE');
  });

  test('is a path through a file', async () => {
    await expectCode(openRawImage(join(await imageFile('A'), 'disk')), 'USAGE_IMAGE_UNREADABLE');
  });

  test('names its path and what to do', async () => {
    const path = join(tempFolderOfTest(), 'none.raw');

    const error = await expectCode(openRawImage(path), 'USAGE_IMAGE_UNREADABLE');

    expect(error.details).toEqual({ path });
    expect(error.hint).toBeTypeOf('string');
  });
});

describe('an image of another format', () => {
  const SIZE_BYTES = 4096;
  const vdi = Buffer.from([0x7f, 0x10, 0xda, 0xbe]);

  async function imageWith(magic: string | Buffer, offset: number): Promise<string> {
    const path = join(tempFolderOfTest(), 'disk.img');
    const content = Buffer.alloc(SIZE_BYTES);
    content.set(typeof magic === 'string' ? Buffer.from(magic, 'latin1') : magic, offset);
    await writeFile(path, content);
    return path;
  }

  const formats: [string, string | Buffer, number][] = [
    ['qcow2', 'QFI\xfb\0\0\0\x03', 0],
    ['qed', 'QED\0', 0],
    ['vmdk', 'KDMV', 0],
    ['vmdk', 'COWD', 0],
    ['vmdk', '# Disk DescriptorFile\nversion=1', 0],
    ['vhdx', 'vhdxfile', 0],
    ['vhd', 'conectix', 0],
    ['vhd', 'conectix', SIZE_BYTES - 512],
    ['vdi', vdi, 0x40],
  ];

  test.each(formats)(
    'is refused: %s %j at %d, and taken as raw bytes',
    async (format, magic, at) => {
      const path = await imageWith(magic, at);

      const error = await expectCode(openRawImage(path), 'USAGE_IMAGE_UNREADABLE');

      expect(error.details).toEqual({ path, format });
      expect(error.hint).toContain('qemu-img convert -O raw');
      const image = await openRawImage(path, 'raw');
      expect(image.virtualSizeBytes).toBe(SIZE_BYTES);
      await image.close();
    },
  );

  test.each([
    ['qcow2 elsewhere', 'QFI\xfb', 1],
    ['a LUKS header', 'LUKS\xba\xbe', 0],
    ['vhd within', 'conectix', 1024],
    ['vdi elsewhere', vdi, 0],
  ] as [string, string | Buffer, number][])('is not one with %s', async (_what, magic, at) => {
    const image = await opened(await imageWith(magic, at));

    expect(image.virtualSizeBytes).toBe(SIZE_BYTES);
  });
});

describe('a raw image', () => {
  test('has the size of its file', async () => {
    const image = await opened(await imageFile('AB0'));

    expect(image.virtualSizeBytes).toBe(3 * PICTURE_BLOCK_BYTES);
  });

  test('gives the bytes at an offset', async () => {
    const image = await opened(await imageFile('AB0'));
    const target = Buffer.alloc(PICTURE_BLOCK_BYTES);

    const bytesRead = await image.readInto(target, PICTURE_BLOCK_BYTES - 1, signal);

    expect(bytesRead).toBe(PICTURE_BLOCK_BYTES);
    expect(target.toString('latin1')).toBe(`a${'b'.repeat(PICTURE_BLOCK_BYTES - 1)}`);
  });

  test('reads short at its end', async () => {
    const image = await opened(await imageFile('AB'));

    const bytesRead = await image.readInto(
      Buffer.alloc(PICTURE_BLOCK_BYTES),
      2 * PICTURE_BLOCK_BYTES - 10,
      signal,
    );

    expect(bytesRead).toBe(10);
  });

  test('is one data extent', async () => {
    const image = await opened(await imageFile('AB0'));

    const extents = [...(image.extents('zero', signal) as Iterable<unknown>)];

    expect(extents).toEqual([
      { offsetBytes: 0, lengthBytes: 3 * PICTURE_BLOCK_BYTES, zero: false },
    ]);
  });

  test('is read even when the file system says that nothing is allocated', async () => {
    const path = join(tempFolderOfTest(), 'disk.raw');
    await writeFile(path, '');
    await truncate(path, 1024 * 1024);
    const image = await opened(path);
    withoutQemuImg();

    const extents = await extentsOf(image);

    expect(extents).toEqual([{ offsetBytes: 0, lengthBytes: 1024 * 1024, zero: false }]);
    expect(image.holesUnknown).toContain('ENOENT');
  });

  test('has zero extents where the file system stores nothing', async () => {
    const [at, dataBytes, sizeBytes] = [4 * MIB, 64 * KIB, 8 * MIB + 1];
    const islands: Island[] = [[at, Buffer.alloc(dataBytes, 1)]];
    const image = await opened(
      writeIslands(join(tempFolderOfTest(), 'disk.raw'), sizeBytes, islands),
    );
    const end = at + dataBytes;

    expect(await extentsOf(image)).toEqual([
      { offsetBytes: 0, lengthBytes: at, zero: true },
      { offsetBytes: at, lengthBytes: dataBytes, zero: false },
      { offsetBytes: end, lengthBytes: sizeBytes - end, zero: true },
    ]);
    expect(image.holesUnknown).toBeUndefined();
  });

  test('reports a read that the system refuses', async () => {
    const image = await openRawImage(await imageFile('A'));
    await image.close();

    const error = await expectCode(
      image.readInto(Buffer.alloc(10), 0, signal),
      'TRANSFER_READ_FAILED',
    );

    expect(error).toMatchObject({ retryable: false, details: { errno: 'EBADF' } });
  });

  test('is opened through a symbolic name of its directory', async () => {
    const directory = join(tempFolderOfTest(), 'a');
    await mkdir(directory);
    await writeFile(join(directory, 'disk.raw'), 'x');

    const image = await opened(join(directory, '..', 'a', 'disk.raw'));

    expect(image.virtualSizeBytes).toBe(1);
  });
});

describe('hasChanged', () => {
  test('is false for a file that nobody touched', async () => {
    const image = await opened(await imageFile('AB'));

    expect(await image.hasChanged()).toBe(false);
  });

  test('is false after reading', async () => {
    const image = await opened(await imageFile('AB'));

    await image.readInto(Buffer.alloc(10), 0, signal);

    expect(await image.hasChanged()).toBe(false);
  });

  test('is true when the file has grown', async () => {
    const path = await imageFile('AB');
    const image = await opened(path);

    await appendFile(path, 'x');

    expect(await image.hasChanged()).toBe(true);
  });

  test('is true when bytes were written in place', async () => {
    const path = await imageFile('AB');
    await utimes(path, 1, 1);
    const image = await opened(path);

    const file = await open(path, 'r+');
    await file.write('x', 0);
    await file.close();

    expect(await image.hasChanged()).toBe(true);
  });
});
