/** Restore points served over NBD, read by Debian's own clients. */
import { execFile } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import type { DiskServer } from '../../src/points/pointTypes.ts';
import { BLOCK_BYTES, blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);

const TAIL = Buffer.from('a short last block');
const FIRST = Buffer.concat([blocks('aB00cc0D0'), TAIL]);
const SECOND = Buffer.concat([blocks('aX0e0c0D0'), TAIL]);

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args, { encoding: 'utf8', timeout: 60_000 })).stdout;
}

describe('a served restore point', () => {
  const folder = useTempFolder();
  let repository: OpenRepository;
  let server: DiskServer;

  beforeEach(async () => {
    const image = writeImage(folder.path('disk.raw'), FIRST);
    await backup(folder.path('repository'), image);
    writeImage(image, SECOND);
    await backup(folder.path('repository'), image);
    repository = await openRepository(folder.path('repository'), { workers: 0 });
  });
  afterEach(async () => {
    await repository.close();
  });

  async function serve(point = 'latest'): Promise<string> {
    const opened = await repository.point(VM, point);
    server = await opened.disk('disk.raw').serveNbd({ socket: folder.path('nbd.sock') });
    return server.uris[0] ?? '';
  }

  it.each([
    ['1', FIRST],
    ['2', SECOND],
  ])('%s is copied to the byte by nbdcopy and qemu-img', async (point, content) => {
    const uri = await serve(point);

    await run('nbdcopy', uri, folder.path('copied.raw'));
    await run('nbdcopy', '--no-extents', '--connections=1', uri, folder.path('plain.raw'));
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, folder.path('converted.raw'));

    for (const name of ['copied.raw', 'plain.raw']) {
      expect(readFileSync(folder.path(name)).equals(content)).toBe(true);
    }
    // qemu-img rounds sizes up to sectors.
    const converted = readFileSync(folder.path('converted.raw'));
    expect(converted.subarray(0, content.length).equals(content)).toBe(true);
    expect(statSync(folder.path('nbd.sock')).mode & 0o777).toBe(0o600);
  });

  it('tells its size, flags and extents', async () => {
    const uri = await serve();

    const info = JSON.parse(await run('nbdinfo', '--json', uri)) as {
      exports: Record<string, unknown>[];
    };
    const map = JSON.parse(await run('nbdinfo', '--json', '--map', uri)) as {
      offset: number;
      length: number;
      type: number;
    }[];
    const list = await run('nbdinfo', '--list', uri);

    expect(info.exports[0]).toMatchObject({
      'export-name': 'disk.raw',
      'export-size': SECOND.length,
      is_read_only: true,
      can_multi_conn: true,
      contexts: ['base:allocation'],
    });
    expect(
      map.map(({ offset, length, type }) => [offset / BLOCK_BYTES, length / BLOCK_BYTES, type]),
    ).toEqual([
      [0, 2, 0],
      [2, 1, 3],
      [3, 1, 0],
      [4, 1, 3],
      [5, 1, 0],
      [6, 1, 3],
      [7, 1, 0],
      [8, 1, 3],
      [9, TAIL.length / BLOCK_BYTES, 0],
    ]);
    expect(list).toContain('disk.raw');
  });

  it('gives an error for a damaged block, and goes on', async () => {
    const file = onlyFileOf(folder.path('repository'), '.vbk');
    flipBit(file, readFileSync(file).indexOf(blocks('D').subarray(0, 64)) + 100);
    const uri = await serve();

    await expect(run('nbdcopy', uri, 'null:')).rejects.toThrow(/Input\/output error/);
    const read = await run('qemu-io', '-f', 'raw', '-r', '-c', 'read 0 262144', uri);

    expect(read).toContain('read 262144/262144');
  });

  it.each([
    ['writes', 'write -P 1 0 512'],
    ['zeroes', 'write -z 0 512'],
    ['discards', 'discard 0 512'],
  ])('refuses %s', async (_what, command) => {
    const uri = await serve();

    const { stdout, stderr } = await execute('qemu-io', ['-f', 'raw', '-c', command, uri]).catch(
      (error: unknown) => error as { stdout: string; stderr: string },
    );

    expect(`${stdout}${stderr}`).toMatch(/read-only|not permitted|Permission denied/i);
    await run('nbdcopy', uri, folder.path('copied.raw'));
    expect(readFileSync(folder.path('copied.raw')).equals(SECOND)).toBe(true);
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['rubbish', Buffer.alloc(5000, 'x')],
    ['unknown flags', Buffer.from('ffffffff', 'hex')],
    ['an option of 4 GiB', Buffer.from('0000000349484156454f505400000003ffffffff', 'hex')],
    ['half an option', Buffer.from('0000000349484156454f5054', 'hex')],
    [
      'a name beyond its option',
      Buffer.from('0000000349484156454f5054000000070000000600ffffff0000', 'hex'),
    ],
  ])('survives a client that sends %s', async (_what, bytes) => {
    const uri = await serve();
    const socket = connect(folder.path('nbd.sock')).on('error', () => {});
    socket.resume().write(bytes);
    await new Promise((resolve) => socket.once('data', resolve));
    socket.destroy();

    await run('nbdcopy', uri, folder.path('copied.raw'));
    expect(readFileSync(folder.path('copied.raw')).equals(SECOND)).toBe(true);
  });

  it('ends with its point, and gives the path of its socket back', async () => {
    const uri = await serve();
    const socket = connect(folder.path('nbd.sock')).on('error', () => {});
    const closed = new Promise((resolve) => socket.once('close', resolve));
    await repository.close();
    await closed;

    await expect(run('nbdinfo', uri)).rejects.toThrow();
    repository = await openRepository(folder.path('repository'), { workers: 0 });
    await serve();
    await server.close();
    await server.close();
  });

  it('refuses a path that exists, one that is too long, and addresses that others can reach', async () => {
    writeFileSync(folder.path('nbd.sock'), 'taken');
    await expect(serve()).rejects.toMatchObject({ code: 'USAGE_OUTPUT_EXISTS' });
    const disk = (await repository.point(VM)).disk('disk.raw');
    const invalid = { code: 'USAGE_INVALID_OPTION' };
    await expect(disk.serveNbd({ socket: `/tmp/${'x'.repeat(120)}` })).rejects.toMatchObject(
      invalid,
    );
    await expect(disk.serveNbd({ host: '0.0.0.0', port: 0 })).rejects.toMatchObject(invalid);
    await expect(disk.serveNbd({ socket: '/proc/nbd.sock' })).rejects.toMatchObject(invalid);
  });
});
