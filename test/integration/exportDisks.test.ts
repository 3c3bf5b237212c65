/** Disks of every size and history, served to Debian's own clients. */
import { afterEach, describe, expect, it } from 'vitest';
import { COMMAND } from '../../src/points/nbd/protocol.ts';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import { BLOCK_BYTES, blocks, MIB, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { writeIslands } from '../helpers/bytes/sparseImages.ts';
import { copyOf, expectBytes, run } from '../helpers/nbd/exportCommand.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { chainOf, pruneTo } from '../helpers/repository/prunes.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
let repository: OpenRepository | undefined;
let socketCount = 0;

afterEach(async () => {
  await repository?.close();
  repository = undefined;
});

async function open(path: string): Promise<OpenRepository> {
  repository ??= await openRepository(path, { workers: 0 });
  return repository;
}

interface Served {
  readonly uri: string;
  readonly socket: string;
  /** The extents that the point tells, neighbours of one kind joined. */
  readonly extents: readonly [number, boolean][];
}

async function serve(path: string, disk: string, point = 'latest'): Promise<Served> {
  const opened = (await (await open(path)).point(VM, point)).disk(disk);
  const socket = folder.path(`s${socketCount++}`);
  const { uris } = await opened.serveNbd({ socket });
  const extents: [number, boolean][] = [];
  for await (const { lengthBytes, zero } of opened.extents()) {
    const last = extents.at(-1);
    if (last?.[1] === zero) last[0] += lengthBytes;
    else extents.push([lengthBytes, zero]);
  }
  return { uri: uris[0] ?? '', socket, extents };
}

async function mapOf(uri: string): Promise<[number, boolean][]> {
  const map = JSON.parse(await run('nbdinfo', '--json', '--map', uri)) as {
    length: number;
    type: number;
  }[];
  return map.map(({ length, type }) => [length, type === 3]);
}

async function expectServed(served: Served, content: Buffer): Promise<void> {
  expectBytes(await copyOf(served.uri, folder.path('copied')), content);
  expect(await mapOf(served.uri)).toEqual(served.extents);
  for (const isStructured of [true, false]) {
    const client = await RawClient.open({ path: served.socket }, '', isStructured);
    expect(client.sizeBytes).toBe(content.length);
    expectBytes((await client.read(0, content.length)).bytes, content);
    const half = Math.floor(content.length / 2);
    expectBytes((await client.read(half, content.length - half)).bytes, content.subarray(half));
    expectBytes((await client.read(content.length - 1, 1)).bytes, content.subarray(-1));
    client.destroy();
  }
}

describe('a disk of any size', () => {
  const sizes = [1, 511, 512 * 3 + 1, BLOCK_BYTES - 1, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 513];

  it.each(sizes)('of %d bytes is served to the byte, as a full and as an increment', async (n) => {
    const image = folder.path('d');
    const first = noise('first', n);
    await backup(folder.path('repo'), writeImage(image, first));
    const second = Buffer.from(first);
    second[n - 1] = (second[n - 1] ?? 0) ^ 255;
    await backup(folder.path('repo'), writeImage(image, second));

    await expectServed(await serve(folder.path('repo'), 'd', '1'), first);
    await expectServed(await serve(folder.path('repo'), 'd', '2'), second);
  });

  it('of nothing but zeros, with a short last block, is one hole', async () => {
    const content = Buffer.alloc(2 * BLOCK_BYTES + 7);
    await backup(folder.path('repo'), writeImage(folder.path('d'), content));

    const served = await serve(folder.path('repo'), 'd');
    await expectServed(served, content);
    expect(served.extents).toEqual([[content.length, true]]);
  });
});

it('a disk that grew and shrank is served with the size of each point', async () => {
  const states = ['Ab', 'AbC0D', 'A0', 'A00000', 'Axy'].map((text, k) =>
    Buffer.concat([blocks(text), noise(k, 1 + 100 * k)]),
  );
  const chain = await chainOf(
    folder,
    states.map((d) => ({ d })),
  );

  for (const [k, content] of states.entries()) {
    await expectServed(await serve(chain.repository, 'd', `${k + 1}`), content);
  }
  await repository?.close();
  repository = undefined;
  await pruneTo(chain.repository, [1, 3, 4]);
  for (const position of [1, 3, 4]) {
    const content = states[position] ?? Buffer.alloc(0);
    await expectServed(await serve(chain.repository, 'd', chain.pointIds[position]), content);
  }
});

it('many disks of one point are listed, each under its name and with its size', async () => {
  const names = Array.from({ length: 12 }, (_, k) => `disk ${k}`);
  const images = names.map((name, k) => writeImage(folder.path(name), noise(k, 1000 + k)));
  await backup(folder.path('repo'), images);
  const point = await (await open(folder.path('repo'))).point(VM);
  const { uris } = await point.serveNbd(point.disks, { address: { socket: folder.path('s') } });

  const list = JSON.parse(
    await run('nbdinfo', '--json', '--list', `nbd+unix:///?socket=${folder.path('s')}`),
  ) as { exports: { 'export-name': string; 'export-size': number }[] };

  expect(
    list.exports
      .map((one) => [one['export-name'], one['export-size']])
      .toSorted(([a], [b]) => `${a}`.localeCompare(`${b}`)),
  ).toEqual(
    names.map((name, k) => [name, 1000 + k]).toSorted(([a], [b]) => `${a}`.localeCompare(`${b}`)),
  );
  for (const [k, uri] of uris.entries()) {
    expectBytes(await copyOf(uri, folder.path(`copy${k}`)), noise(k, 1000 + k));
  }
});

describe('a sparse disk', () => {
  const SIZE_BYTES = 64 * 1024 * MIB + 1;
  const FAR = SIZE_BYTES - 3 * MIB;

  it('of 64 GiB moves only its data, and tells its extents in few replies', async () => {
    const image = writeIslands(folder.path('d'), SIZE_BYTES, [
      [0, noise(1, MIB)],
      [FAR, noise(2, 2 * MIB)],
    ]);
    await backup(folder.path('repo'), image, { blockSizeBytes: MIB });
    const point = await (await open(folder.path('repo'))).point(VM);
    const server = await point.disk('d').serveNbd({ socket: folder.path('s') });
    const uri = server.uris[0] ?? '';

    await run('nbdcopy', uri, folder.path('copied'));
    const moved = server.served.bytesRead;
    await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri, folder.path('copied'));
    const blockCount = await run('stat', '-c', '%b', folder.path('copied'));

    // The second island touches up to four blocks of 1 MiB.
    expect(moved).toBeGreaterThanOrEqual(3 * MIB);
    expect(moved).toBeLessThanOrEqual(5 * MIB);
    expect(Number(blockCount) * 512).toBeLessThanOrEqual(5 * MIB);
  });

  it('answers a block status of 4 GiB - 1, and one of one byte', async () => {
    const image = writeIslands(folder.path('d'), SIZE_BYTES, [[FAR, noise(2, 2 * MIB)]]);
    await backup(folder.path('repo'), image, { blockSizeBytes: MIB });
    await serve(folder.path('repo'), 'd');
    const client = await RawClient.open({ path: folder.path(`s${socketCount - 1}`) });
    const ask = async (offset: number, length: number, flags = 0): Promise<Buffer> =>
      (await client.request({ command: COMMAND.blockStatus, offset, length, flags })).bytes;

    const whole = await ask(5, 0xffff_ffff);
    const last = await ask(SIZE_BYTES - 1, 1);
    const one = await ask(FAR - 7, 100, 8);

    expect(whole.readUInt32BE(0)).toBeLessThanOrEqual(0xffff_ffff);
    expect(whole.readUInt32BE(0)).toBeGreaterThan(MIB);
    expect(whole.readUInt32BE(4)).toBe(3);
    expect(last.readUInt32BE(0)).toBe(1);
    expect(one).toHaveLength(8);
    expect(one.readUInt32BE(0)).toBeLessThanOrEqual(100);
    client.destroy();
  });
});
