/** Opened points under hard use: many readers, early stops, damage, deleted files, huge disks. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { finished } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import type { PointDisk } from '../../src/points/pointDisk.ts';
import { BLOCK_BYTES, blocks, GIB_BYTES, MIB, writeImage } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import { openFilesIn } from '../helpers/faults/leaks.ts';
import { longOr } from '../helpers/longForm.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { containersOf, onlyFileOf, vmFoldersOf } from '../helpers/repository/repositoryFiles.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const FIRST = blocks('ABCDEFGHIJKLMNOPabcdefghijklmnop');
const SECOND = Buffer.concat([blocks('AxCDEFGHIJKLMNOP0bcdefghijklmnop'), Buffer.from('tail')]);

const folder = useTempFolder();

/** A repository with two points of two disks. */
async function twoPoints(): Promise<string> {
  const repository = folder.path('repository');
  const images = [folder.path('a'), folder.path('b')];
  for (const [k, content] of [FIRST, SECOND].entries()) {
    for (const image of images) writeImage(image, content);
    await backup(repository, images, {
      vmName: VM,
      ...(k === 0 && { blockSizeBytes: BLOCK_BYTES }),
    });
  }
  return repository;
}

async function openDisks(
  repository: OpenRepository,
  selector = 'latest',
): Promise<readonly [PointDisk, PointDisk]> {
  const point = await repository.point(VM, selector);
  return [point.disk('a'), point.disk('b')];
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

async function content(disk: PointDisk): Promise<Buffer> {
  return Buffer.concat((await collected(disk.createReadStream())) as Buffer[]);
}

/** Ports of worker threads that run. */
function ports(): number {
  return process.getActiveResourcesInfo().filter((one) => one === 'MessagePort').length;
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

describe.each([0, 2])('an opened point with %i workers', (workers) => {
  it('serves many readers at the same time', async () => {
    await using repository = await openRepository(await twoPoints(), { workers });
    const random = createRandom(5);
    const disks = [...(await openDisks(repository)), ...(await openDisks(repository))];
    const reads = Array.from({ length: 200 }, async (_, k) => {
      const disk = disks[k % disks.length];
      const offset = random.below(SECOND.length);
      const length = Math.min(random.below(3 * BLOCK_BYTES), SECOND.length - offset);
      const read = await disk?.read(offset, length);
      return read?.equals(SECOND.subarray(offset, offset + length));
    });
    const streams = disks.map(async (disk) => (await content(disk)).equals(SECOND));
    const iterations = disks.map(async (disk) => (await collected(disk.blocks())).length === 32);

    expect(new Set(await Promise.all([...reads, ...streams, ...iterations]))).toEqual(
      new Set([true]),
    );
  });

  it('gives buffers that belong to their readers', async () => {
    await using repository = await openRepository(await twoPoints(), { workers });
    const [disk] = await openDisks(repository);
    (await disk.read(0, BLOCK_BYTES)).fill(1);
    for await (const { bytes } of disk.blocks()) bytes.fill(2);

    expect((await disk.read(0, 10)).equals(SECOND.subarray(0, 10))).toBe(true);
    expect((await content(disk)).equals(SECOND)).toBe(true);
  });

  it('lets two disks be read in lockstep, and more than there are slots', async () => {
    await using repository = await openRepository(await twoPoints(), { workers });
    const disks = await openDisks(repository);
    const readers = Array.from({ length: 40 }, (_, k) => (disks[k % 2] as PointDisk).blocks());
    for (let step = 0; step < 31; step++) {
      // Each reader holds its block while all others get theirs.
      for (const reader of readers) expect((await reader.next()).done).toBe(false);
    }
    for (const reader of readers) await reader.return(undefined);
  });

  it('leaves nothing open when iterations are stopped early', async () => {
    const place = await twoPoints();
    const repository = await openRepository(place, { workers });
    const [disk, other] = await openDisks(repository);
    for (const items of [disk.blocks(), disk.changedBlocks(), disk.extents()]) {
      for await (const item of items) {
        expect(item).toBeDefined();
        break;
      }
    }
    const stream = other.createReadStream();
    await new Promise((resolve) => stream.once('readable', resolve));
    stream.destroy();
    await finished(stream).catch(() => {});
    // These were never started, or never ended.
    disk.createReadStream();
    const idle = disk.blocks();
    await idle.next();
    await repository.close();

    expect(openFilesIn(place)).toEqual([]);
    await expect(idle.next().then(async () => await collected(idle))).rejects.toMatchObject({
      code: 'USAGE_WRONG_STATE',
    });
  });

  it('stops by a signal', async () => {
    await using repository = await openRepository(await twoPoints(), { workers });
    const [disk] = await openDisks(repository);
    const cancelled = { code: 'CANCELLED' };
    const { signal } = ((): AbortController => {
      const controller = new AbortController();
      controller.abort();
      return controller;
    })();
    await expect(collected(disk.blocks({ signal }))).rejects.toMatchObject(cancelled);
    await expect(collected(disk.extents({ signal }))).rejects.toMatchObject(cancelled);
    await expect(collected(disk.changedBlocks({ signal }))).rejects.toMatchObject(cancelled);
    await expect(disk.read(0, 10, { signal })).rejects.toMatchObject(cancelled);
    await expect(collected(disk.createReadStream({ signal }))).rejects.toMatchObject(cancelled);
    expect((await content(disk)).equals(SECOND)).toBe(true);
  });

  it('is an error or right bytes when it is closed in mid-read', async () => {
    const repository = await openRepository(await twoPoints(), { workers });
    const disks = await openDisks(repository);
    const reads = disks.flatMap((disk) => [content(disk), disk.read(0, SECOND.length)]);
    const ended = Promise.allSettled(reads);
    await new Promise(setImmediate);
    await repository.close();
    for (const end of await ended) {
      if (end.status === 'fulfilled') expect(end.value.equals(SECOND)).toBe(true);
      else expect(end.reason).toMatchObject({ code: 'USAGE_WRONG_STATE' });
    }
    expect(openFilesIn(folder.path('repository'))).toEqual([]);
  });
});

describe('a repository', () => {
  it('that is closed while a point opens refuses the point, and leaves nothing open', async () => {
    const place = await twoPoints();
    const before = ports();
    const repository = await openRepository(place, { workers: 2 });
    const opening = repository.point(VM);
    await repository.close();
    await expect(opening).rejects.toMatchObject({ code: 'USAGE_WRONG_STATE' });
    expect(openFilesIn(place)).toEqual([]);
    expect(ports()).toBe(before);
  });

  it('forgets points that were closed', async () => {
    await using repository = await openRepository(await twoPoints(), { workers: 0 });
    const closed: WeakRef<object>[] = [];
    for (let k = 0; k < 20; k++) {
      const point = await repository.point(VM);
      await point.disk('a').read(0, 1);
      await point.close();
      closed.push(new WeakRef(point));
    }
    await new Promise(setImmediate);
    collectGarbage();
    expect(closed.filter((point) => point.deref() !== undefined).length).toBeLessThan(5);
  });
});

describe('containers that are not as they were', () => {
  it('may be deleted while they are open', async () => {
    const place = await twoPoints();
    await using repository = await openRepository(place, { workers: 0 });
    const [disk] = await openDisks(repository);
    const [vmFolder = ''] = vmFoldersOf(place);
    expect(containersOf(place).length).toBe(2);
    rmSync(vmFolder, { recursive: true });

    const read = await content(disk).catch((error: unknown) => error);
    if (Buffer.isBuffer(read)) expect(read.equals(SECOND)).toBe(true);
    else expect(read).toMatchObject({ code: expect.stringMatching(/^REPOSITORY_/) as string });
    await expect(repository.point(VM)).rejects.toMatchObject({
      code: expect.stringMatching(/^(USAGE_NOT_FOUND|REPOSITORY_)/) as string,
    });
  });

  it('never give wrong bytes, whichever byte is damaged', async () => {
    const place = await twoPoints();
    const name = onlyFileOf(place, '.vib');
    const sound = readFileSync(name);
    const random = createRandom(20_261_129);
    for (let k = 0; k < longOr(60, 20); k++) {
      const bytes = Buffer.from(sound);
      const at = random.below(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      writeFileSync(name, bytes);
      await expectRightOrError(place, `byte ${at}`);
    }
    for (const keep of [0, 4096, sound.length - 1]) {
      writeFileSync(name, sound.subarray(0, keep));
      await expectRightOrError(place, `cut to ${keep}`);
    }
  });
});

/** Every read gives right bytes, or an error of the repository. */
async function expectRightOrError(place: string, title: string): Promise<void> {
  const repository = await openRepository(place, { workers: 0 });
  const damage = { code: expect.stringMatching(/^(INTEGRITY|FORMAT|REPOSITORY)_/) as string };
  try {
    const [disk] = await openDisks(repository);
    const rebuilt = async (): Promise<Buffer> => {
      const image = Buffer.alloc(SECOND.length);
      for await (const { offsetBytes, bytes } of disk.blocks()) image.set(bytes, offsetBytes);
      return image;
    };
    for (const read of [content(disk), rebuilt(), disk.read(0, SECOND.length)]) {
      const result = await read.catch((error: unknown) => error);
      if (Buffer.isBuffer(result)) expect(result.equals(SECOND), title).toBe(true);
      else expect(result, title).toMatchObject(damage);
    }
  } catch (error) {
    expect(error, title).toMatchObject(damage);
  } finally {
    await repository.close();
  }
}

describe('a sparse disk of 64 GiB', () => {
  const bench = useLab();

  it('is read in bounded memory', async () => {
    const disks = [{ name: 'a', sizeBytes: 64 * GIB_BYTES }];
    const vm = bench.lab.addVm({ name: 'huge', disks });
    vm.disk('a').write(0, noise(1, 3 * MIB));
    await bench.backup(vm, { blockSizeBytes: MIB });
    await using repository = await openRepository(bench.repository, { workers: 0 });
    const disk = (await repository.point(vm.id)).disk('a');
    const before = process.memoryUsage().rss;
    let peak = before;
    const note = (): void => {
      peak = Math.max(peak, process.memoryUsage().rss);
    };

    expect((await collected(disk.blocks())).length).toBe(3);
    const extents = await collected(disk.extents());
    note();
    let lengthBytes = 0;
    for await (const piece of disk.createReadStream({ lengthBytes: 2 * GIB_BYTES })) {
      lengthBytes += (piece as Buffer).length;
      if (lengthBytes % (64 * MIB) === 0) note();
    }

    expect(extents).toEqual([
      { offsetBytes: 0, lengthBytes: 3 * MIB, zero: false },
      { offsetBytes: 3 * MIB, lengthBytes: 64 * GIB_BYTES - 3 * MIB, zero: true },
    ]);
    expect(lengthBytes).toBe(2 * GIB_BYTES);
    expect(peak - before).toBeLessThan(256 * MIB);
    const end = await disk.read(64 * GIB_BYTES - 10, 10);
    expect(end.equals(Buffer.alloc(10))).toBe(true);
    await expect(disk.read(0, 65 * MIB)).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
  });
});
