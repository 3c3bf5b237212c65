/** Writable exports of restore points: real clients, kept overlays, a repository left alone. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  truncateSync,
  unlinkSync,
} from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMAND, NBD_ERROR } from '../../src/points/nbd/protocol.ts';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import type { DiskServer } from '../../src/points/pointTypes.ts';
import { BLOCK_BYTES, blocks, flipBit, sha256OfFile, writeImage } from '../helpers/bytes/images.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const FIRST = blocks('aB00cc0D0');
const SECOND = blocks('aX0e0c0D0');
const CAN_MOUNT = await canMountVolumes();

const folder = useTempFolder();
let repository: OpenRepository;
let problems: string[];

beforeEach(async () => {
  problems = [];
  const image = writeImage(folder.path('disk.raw'), FIRST);
  await backup(folder.path('repository'), image);
  writeImage(image, SECOND);
  await backup(folder.path('repository'), image);
  await reopen();
});
afterEach(async () => {
  await repository.close().catch(() => {});
});

async function reopen(): Promise<void> {
  repository = await openRepository(folder.path('repository'), { workers: 0, cacheBytes: 0 });
}

async function serve(
  keep = true,
  point = 'latest',
  parent = folder.path('overlays'),
): Promise<DiskServer> {
  const opened = await repository.point(VM, point);
  return await opened.serveNbd([opened.disk('disk.raw')], {
    address: { socket: folder.path('s') },
    writable: { folder: parent, keep },
    onProblem: (text) => problems.push(text),
  });
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args, { encoding: 'utf8', timeout: 60_000 })).stdout;
}

async function qemuIo(uri: string, ...commands: readonly string[]): Promise<string> {
  return await run('qemu-io', '-f', 'raw', ...commands.flatMap((one) => ['-c', one]), uri);
}

async function contentOf(uri: string): Promise<Buffer> {
  await run('nbdcopy', uri, folder.path('copied.raw'));
  return readFileSync(folder.path('copied.raw'));
}

function digests(): Record<string, string> {
  const root = folder.path('repository');
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const paths = files.map((entry) => path.join(entry.parentPath, entry.name));
  return Object.fromEntries(paths.map((file) => [file, sha256OfFile(file)]));
}

describe('a writable export', () => {
  it('takes writes of qemu-io and nbdcopy, keeps them, and leaves the repository alone', async () => {
    const before = digests();
    const server = await serve();
    const uri = server.uris[0] ?? '';
    const model = Buffer.from(SECOND);
    const out = await qemuIo(
      uri,
      'write -P 0xab 1000 70000',
      'write -f -P 0xcd 600000 512',
      'write -z 262144 300000',
      'discard 1572864 131072',
      'flush',
      'read -P 0xab 1000 70000',
    );
    model.fill(0xab, 1000, 71_000);
    model.fill(0xcd, 600_000, 600_512);
    model.fill(0, 262_144, 562_144);
    model.fill(0, 1_572_864, 1_572_864 + 131_072);

    expect(out).not.toMatch(/fail|error/i);
    expect((await contentOf(uri)).equals(model)).toBe(true);
    await server.close();
    expect(server.overlays).toMatchObject([{ exportName: 'disk.raw', isKept: true }]);
    expect(server.overlays[0]?.changedBytes).toBeGreaterThan(300_000);
    expect(digests()).toEqual(before);
    expect(Object.keys(before).length).toBeGreaterThan(2);

    const again = await serve();
    expect((await contentOf(again.uris[0] ?? '')).equals(model)).toBe(true);
    await again.close();
  });

  it('is a base of qemu-img compare, and told as extents', async () => {
    const server = await serve(false);
    const uri = server.uris[0] ?? '';
    await qemuIo(uri, `write -P 5 ${8 * BLOCK_BYTES} 65536`);
    const map = JSON.parse(await run('nbdinfo', '--json', '--map', uri)) as object[];
    await run('nbdcopy', uri, folder.path('copied.raw'));

    expect(
      await run('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', uri, folder.path('copied.raw')),
    ).toContain('identical');
    expect(map.at(-2)).toMatchObject({
      offset: 7 * BLOCK_BYTES,
      type: 0,
      length: BLOCK_BYTES + 65_536,
    });
    expect(map.at(-1)).toMatchObject({ type: 3 });
    await server.close();
    expect(existsSync(folder.path('overlays'))).toBe(false);
  });

  it('is copied whole by qemu-img, which asks for one extent at a time', async () => {
    const server = await serve(false);
    const uri = server.uris[0] ?? '';
    // Zeros of the point, data of the point, zeros of the overlay.
    await qemuIo(uri, `write -zu ${4 * BLOCK_BYTES} ${BLOCK_BYTES}`);
    const copy = folder.path('converted.raw');

    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, copy);

    expect(readFileSync(copy).equals(SECOND)).toBe(true);
    await server.close();
  });

  it('continues only what belongs to it', async () => {
    await (await serve()).close();

    await expect(serve(false)).rejects.toMatchObject({ code: 'USAGE_OUTPUT_EXISTS' });
    await expect(serve(true, '1')).rejects.toMatchObject({
      code: 'USAGE_OUTPUT_EXISTS',
      message: expect.stringMatching(/is the overlay of restore point/) as string,
    });
    const server = await serve();
    const second = await repository.point(VM);
    await expect(
      second.disk('disk.raw').serveNbd({
        socket: folder.path('t'),
        writable: { folder: folder.path('overlays'), keep: true },
      }),
    ).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await server.close();
  });

  it('never writes into the repository', async () => {
    await expect(serve(true, 'latest', folder.path('repository', 'o'))).rejects.toMatchObject({
      code: 'USAGE_INVALID_OPTION',
      message: expect.stringContaining('inside a repository') as string,
    });
  });

  it('tells that its last flush failed, and gives everything back', async () => {
    const files = await FaultyFiles.install(folder.path('overlays'));
    try {
      const server = await serve();
      const client = await RawClient.open({ path: folder.path('s') });
      await client.write(0, Buffer.from('x'));
      files.failWhere((name) => (name === 'datasync' ? 'EIO' : undefined));
      await expect(server.close()).rejects.toMatchObject({ code: 'OUTPUT_IO' });
      files.failWhere(() => undefined);
      client.destroy();
      await (await serve()).close();
      await repository.close();
    } finally {
      files.uninstall();
    }
  });

  it('leaves no overlay when it cannot listen', async () => {
    mkdirSync(folder.path('s'));

    await expect(serve(false)).rejects.toMatchObject({ code: 'USAGE_OUTPUT_EXISTS' });
    expect(existsSync(folder.path('overlays'))).toBe(false);
  });

  it('gives EIO for a write into a cluster whose rest is damaged, and takes whole clusters', async () => {
    const file = onlyFileOf(folder.path('repository'), '.vbk');
    flipBit(file, readFileSync(file).indexOf(blocks('D').subarray(0, 64)) + 100);
    const server = await serve();
    const client = await RawClient.open({ path: folder.path('s') });
    const at = 7 * BLOCK_BYTES;
    for (let k = 0; k < 5; k++) {
      expect(await client.write(at + 1, Buffer.from('x'))).toMatchObject({ error: NBD_ERROR.eio });
    }
    expect(server.overlays[0]?.changedBytes).toBe(0);
    for (let k = 0; k < 4; k++) {
      expect(await client.write(at + k * 65_536, Buffer.alloc(65_536, k))).toMatchObject({
        error: 0,
      });
    }

    expect(await client.read(at, 5)).toMatchObject({ error: 0, bytes: Buffer.alloc(5) });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^disk\.raw: .*stored block/);
    client.destroy();
  });
});

describe('containers that change under a server', () => {
  it.each([
    ['vanish', (file: string) => unlinkSync(file)],
    ['are cut short', (file: string) => truncateSync(file, 4096)],
  ])('and %s give EIO and one message for each; what is written stays', async (_what, harm) => {
    await serve();
    const client = await RawClient.open({ path: folder.path('s') });
    expect(await client.write(0, Buffer.alloc(65_536, 1))).toMatchObject({ error: 0 });
    for (const end of ['.vbk', '.vib']) harm(onlyFileOf(folder.path('repository'), end));
    let failures = 0;
    for (let k = 0; k < 40; k++) {
      const { error } = await client.read(BLOCK_BYTES * (k % 9), 1000);
      expect([0, NBD_ERROR.eio]).toContain(error);
      if (error !== 0) failures++;
    }

    // A file that was only unlinked can still be read while it is open.
    expect(problems).toHaveLength(failures === 0 ? 0 : 2);
    expect(await client.read(0, 100)).toMatchObject({ error: 0, bytes: Buffer.alloc(100, 1) });
    expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
    client.destroy();
  });
});

it('a container that cannot be read any more is one message', async () => {
  await repository.close();
  const files = await FaultyFiles.install(folder.path('repository'));
  try {
    await reopen();
    await serve();
    const client = await RawClient.open({ path: folder.path('s') });
    files.failWhere((name) => (name === 'read' || name === 'open' ? 'EIO' : undefined));
    for (let k = 0; k < 20; k++) {
      expect(await client.read(7 * BLOCK_BYTES + k, 10)).toMatchObject({ error: NBD_ERROR.eio });
    }
    files.failWhere(() => undefined);

    expect(await client.read(7 * BLOCK_BYTES, 10)).toMatchObject({ error: 0 });
    expect(problems).toHaveLength(1);
    client.destroy();
  } finally {
    files.uninstall();
  }
});

describe.skipIf(!CAN_MOUNT)('a volume that is full', () => {
  it('is ENOSPC for the client and one message; the server goes on', async () => {
    await inSmallVolume(1, async (volume) => {
      const server = await serve(false, 'latest', path.join(volume, 'overlays'));
      try {
        await fillVolume(server);
      } finally {
        await server.close();
      }
    });
  });
});

async function fillVolume(server: DiskServer): Promise<void> {
  const client = await RawClient.open({ path: folder.path('s') });
  await client.write(0, Buffer.alloc(BLOCK_BYTES, 1));
  expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
  const errors: number[] = [];
  for (let k = 0; k < 9; k++) {
    errors.push((await client.write(k * BLOCK_BYTES, Buffer.alloc(BLOCK_BYTES, k + 1))).error);
  }
  expect(new Set(errors)).toEqual(new Set([0, NBD_ERROR.enospc]));
  const zeros = { command: COMMAND.writeZeroes, offset: 0, length: BLOCK_BYTES };
  expect(await client.request(zeros)).toMatchObject({ error: 0 });
  expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
  for (const [k, error] of errors.entries()) {
    if (error !== 0) continue;
    const { bytes } = await client.read(k * BLOCK_BYTES, 100);
    expect(bytes[0]).toBe(k === 0 ? 0 : k + 1);
  }
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain('no space left for the overlay in');
  expect(server.served.failures).toBe(errors.filter((one) => one !== 0).length);
  client.destroy();
}
