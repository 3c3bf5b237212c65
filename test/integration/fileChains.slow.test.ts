/** `--file` beside `--repo`: the same disks, extents and refusals, through clients of `export`. */
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { NBD_ERROR } from '../../src/points/nbd/protocol.ts';
import {
  blockOf,
  type ChainOptions,
  DISK_NAME,
  diskAfter,
  diskItem,
  FOREIGN_BLOCK_BYTES,
  fileWithBlock,
  foreignChain,
  MACHINE_FOLDER,
  plainOf,
} from '../helpers/bytes/foreignChains.ts';
import {
  type ForeignBlock,
  type ForeignSpec,
  writeForeign,
} from '../helpers/bytes/foreignWriter.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { copyOf, expectBytes, run, startExport } from '../helpers/nbd/exportCommand.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { leasesOf } from '../helpers/repository/leases.ts';
import { pruneTo, synthesize } from '../helpers/repository/prunes.ts';
import { fileTree, pointsOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const temp = useTempFolder();

function write(name: string, content: Buffer): string {
  writeFileSync(temp.path(name), content);
  return temp.path(name);
}

function writeChain(options: ChainOptions): string[] {
  return foreignChain(options).map((content, at) => write(`${at}.any`, content));
}

interface Picture {
  readonly content: Buffer;
  readonly map: unknown;
}

/** Bytes and extents of each disk, by the name in its address. */
async function pictures(args: readonly string[]): Promise<Map<string, Picture>> {
  const server = await startExport([...args, '--socket', temp.path('s')]);
  const found = new Map<string, Picture>();
  for (const uri of server.uris) {
    const content = await copyOf(uri, temp.path('copied'));
    const map: unknown = JSON.parse(await run('nbdinfo', '--json', '--map', uri));
    found.set(uri.replace(/\?.*/, ''), { content, map });
  }
  const { exitCode, stderr } = await server.stop();
  expect(stderr).not.toContain('export_problem');
  expect(exitCode).toBe(EXIT_CODES.done);
  return found;
}

function expectEqual(found: Map<string, Picture>, expected: Map<string, Picture>): void {
  expect([...found.keys()]).toEqual([...expected.keys()]);
  for (const [name, { content, map }] of expected) {
    expectBytes(found.get(name)?.content, content);
    expect(found.get(name)?.map).toEqual(map);
  }
}

describe('a chain of ours', () => {
  let repository: string;

  beforeEach(async () => {
    repository = temp.path('repo');
    for (const [k, [one, two]] of [
      ['AbC', 'x'],
      ['Ab0DE', 'xY0'],
      ['A', 'xY0'],
      ['A00F', '0'],
    ].entries()) {
      const images = [
        writeImage(temp.path('one'), Buffer.concat([blocks(one ?? ''), noise(k, 11 + k)])),
        writeImage(temp.path('two disk'), blocks(two ?? '')),
      ];
      await backup(repository, images);
    }
  });

  function filesTo(pointId: string): string[] {
    const points = pointsOf(repository);
    const at = points.findIndex((point) => point.pointId === pointId);
    const first = points.findLastIndex(({ type }, k) => type === 'full' && k <= at);
    const names = points.slice(first, at + 1).map(({ fileName }) => fileName);
    return names.map((name) => path.join(vmFolderOf(repository), name));
  }

  async function expectSame(pointId: string, files: readonly string[]): Promise<void> {
    const place = ['--repo', repository, '--vm', VM, '--point', pointId];
    expectEqual(await pictures(['--file', ...files]), await pictures(place));
  }

  it('has the bytes and extents of --repo, and leaves no lease', async () => {
    const before = fileTree(repository);
    for (const at of [1, 3]) {
      const { pointId = '' } = pointsOf(repository)[at] ?? {};
      await expectSame(pointId, filesTo(pointId));
    }

    expect(fileTree(repository)).toEqual(before);
    expect(leasesOf(repository)).toEqual([]);
  });

  it('has them after a merge and a synthetic full', async () => {
    await pruneTo(repository, [1, 3]);
    const last = pointsOf(repository).at(-1)?.pointId ?? '';
    await expectSame(last, filesTo(last));
    await synthesize(repository);
    expect(filesTo(last)).toHaveLength(1);
    await expectSame(last, filesTo(last));
  });

  it('may have other names and places, also by links', async () => {
    const { pointId = '' } = pointsOf(repository)[1] ?? {};
    const [full = '', increment = ''] = filesTo(pointId);
    copyFileSync(increment, temp.path('a copy'));
    symlinkSync(full, temp.path('ü link.vib'));

    await expectSame(pointId, [temp.path('ü link.vib'), temp.path('a copy')]);
  });

  it.each([
    ['swapped', [0, 2, 1], 'USAGE_FILE_ORDER'],
    ['the full last', [1, 0], 'USAGE_FILE_ORDER'],
    ['one given by a second path', [0, 1, -1], 'USAGE_FILE_ORDER'],
    ['a gap', [0, 1, 3], 'CHAIN_PARENT_MISSING'],
    ['no full', [2], 'CHAIN_PARENT_MISSING'],
  ] as const)('in a wrong order is refused by each command: %s', async (_what, order, code) => {
    const files = filesTo(pointsOf(repository).at(-1)?.pointId ?? '');
    symlinkSync(files[1] ?? '', temp.path('again'));
    const given = order.map((at) => files[at] ?? temp.path('again'));
    const exitCode = code === 'USAGE_FILE_ORDER' ? EXIT_CODES.usage : EXIT_CODES.failed;

    for (const [command, ...more] of [
      ['export', '--socket', temp.path('s')],
      ['restore', '--output', temp.path('out')],
      ['verify'],
    ] as const) {
      const result = await runCli([command, '--file', ...given, ...more]);
      expectFailure(result, code, exitCode);
    }
    const inspected = await runCli(['inspect', '--file', ...given]);
    expect(inspected.stderr).toContain(code);
    expect(inspected.exitCode).toBe(exitCode);
    expect(existsSync(temp.path('s'))).toBe(false);
  });

  it('of another VM with the same image is refused', async () => {
    const image = writeImage(temp.path('one'), blocks('AbC'));
    const other = temp.path('other');
    await backup(other, image);
    await backup(other, writeImage(image, blocks('Abx')));
    const point = pointsOf(other).at(-1)?.fileName ?? '';
    const [full = ''] = filesTo(pointsOf(repository)[0]?.pointId ?? '');

    const files = [full, path.join(vmFolderOf(other), point)];
    const result = await runCli(['export', '--file', ...files, '--socket', temp.path('s')]);

    expect(result.stderr).toMatch(/USAGE_FILE_ORDER|CHAIN_PARENT_MISSING/);
    expect(result.exitCode).not.toBe(EXIT_CODES.done);
  });

  it('takes writes in an overlay, and its files stay as they are', async () => {
    const before = fileTree(repository);
    const files = filesTo(pointsOf(repository)[1]?.pointId ?? '');
    const place = ['--file', ...files, '--socket', temp.path('s'), '--disk', 'two disk'];
    const overlay = ['--writable', temp.path('o'), '--keep'];
    const model = blocks('xY0').fill(7, 1000, 300_000);
    for (const command of ['write -P 7 1000 299000', 'flush']) {
      const server = await startExport([...place, ...overlay]);
      await run('qemu-io', '-f', 'raw', '-c', command, server.uris[0] ?? '');
      expectBytes(await copyOf(server.uris[0] ?? '', temp.path('copied')), model);
      expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
    }
    // The overlay continues through the repository too: it is the same point and disk.
    const byRepository = ['--repo', repository, '--vm', VM, '--point', '2', '--disk', 'two disk'];
    const server = await startExport([...byRepository, '--socket', temp.path('s'), ...overlay]);
    expectBytes(await copyOf(server.uris[0] ?? '', temp.path('copied')), model);
    await server.stop();

    expect(fileTree(repository)).toEqual(before);
  });
});

describe('a chain of others', () => {
  it.each<[string, ChainOptions]>([
    ['zlib', { method: 'zlib' }],
    ['zstd', { method: 'zstdHigh' }],
    ['version 9 and zlib', { version: 9, method: 'zlibLow' }],
    ['clusters of 512 B and plain blocks', { clusterAlign: 0, method: 'plain' }],
  ])('with %s is served with its extents', async (_what, options) => {
    const files = writeChain(options);

    for (const increments of [0, 2]) {
      const found = await pictures(['--file', ...files.slice(0, increments + 1)]);
      expect([...found.keys()]).toEqual([`nbd+unix:///${DISK_NAME}`]);
      const [{ content, map } = { content: undefined, map: [] }] = found.values();
      expectBytes(content, diskAfter(increments));
      const zeros = (map as { offset: number; length: number; type: number }[]).filter(
        ({ type }) => type === 3,
      );
      expect(zeros.length).toBeGreaterThan(0);
      for (const { offset, length } of zeros) {
        expect(offset % FOREIGN_BLOCK_BYTES).toBe(0);
        const bytes = diskAfter(increments).subarray(offset, offset + length);
        expectBytes(bytes, Buffer.alloc(length));
      }
    }
  });

  it('is restored as qcow2 with the same bytes', async () => {
    const files = writeChain({ method: 'zstd' });

    const result = await runCli([
      'restore',
      '--file',
      ...files,
      '--output',
      temp.path('out'),
      '--format',
      'qcow2',
    ]);
    expect(result.exitCode).toBe(EXIT_CODES.done);
    const image = temp.path('out', `${DISK_NAME}.qcow2`);
    await run('qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', image, temp.path('raw'));
    const raw = readFileSync(temp.path('raw'));
    expectBytes(raw.subarray(0, diskAfter(2).length), diskAfter(2));
  });

  it('with a disk of no bytes is served, listed and restored', async () => {
    const empty = { name: 'DEV__empty', kind: 'file', sizeBytes: 0, blocks: new Map() } as const;
    const items = [diskItem(new Map([[0, 1]]), 'file', 'zlib'), empty];
    const spec = { blockSizeBytes: FOREIGN_BLOCK_BYTES };
    const file = write(
      'x.vbk',
      writeForeign({ ...spec, folders: [{ name: MACHINE_FOLDER, items }] }),
    );
    const server = await startExport(['--file', file, '--socket', temp.path('s')]);

    const uri = server.uris.find((one) => one.includes('empty')) ?? '';
    expect(await run('nbdinfo', '--size', uri)).toBe('0\n');
    expect(await copyOf(uri, temp.path('copied'))).toHaveLength(0);
    const client = await RawClient.open({ path: temp.path('s') }, 'DEV__empty');
    expect(client.sizeBytes).toBe(0);
    expect(await client.read(0, 1)).toMatchObject({ error: NBD_ERROR.einval });
    client.destroy();
    expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
    const restored = await runCli(['restore', '--file', file, '--output', temp.path('out')]);
    expect(restored.exitCode).toBe(EXIT_CODES.done);
    expect(readFileSync(temp.path('out', 'DEV__empty'))).toHaveLength(0);
  });

  it.each<[string, ForeignBlock, Partial<ForeignSpec>, RegExp]>([
    ['RLE', { plain: plainOf(1), method: 'rle', stored: plainOf(1) }, {}, /RLE/],
    ['an encrypted file', blockOf(1, 'plain'), { isBankEncrypted: true }, /encrypted/],
    ['an encrypted block', { ...blockOf(1, 'zlib'), keyIn: 'store' }, {}, /encrypted/],
    ['version 7', blockOf(1, 'plain'), { version: 7 }, /version 7/],
    ['version 14', blockOf(1, 'plain'), { version: 14 }, /version 14/],
    ['version 0x10008', blockOf(1, 'plain'), { version: 0x10008 }, /version (0x10008|65544)/],
  ])('with %s is refused by name', async (_what, block, spec, text) => {
    const file = write('x.vbk', fileWithBlock(block, spec));
    const isLate = !('version' in spec || 'isBankEncrypted' in spec);

    for (const [command, ...more] of [
      ['restore', '--output', temp.path('out')],
      ['verify'],
      ['inspect'],
      ...(isLate ? [] : [['export', '--socket', temp.path('s')]]),
    ] as const) {
      const result = await runCli([command ?? '', '--file', file, ...more]);
      const said = `${result.stdout}${result.stderr}`;
      expect.soft(said, command).toMatch(text);
      // Blocks are not read by inspect.
      if (command === 'inspect' && isLate) continue;
      expect.soft(said, command).toMatch(/FORMAT_UNSUPPORTED/);
      expect.soft(result.exitCode, command).not.toBe(EXIT_CODES.done);
    }
  });

  it('with RLE in one block is served but for that block, whose reads are EIO and named', async () => {
    const layout = new Map<number, ForeignBlock>([
      [0, blockOf(1, 'zstd')],
      [1, { plain: plainOf(2), method: 'rle', stored: plainOf(2) }],
      [2, blockOf(3, 'zlib')],
    ]);
    const disk = { name: DISK_NAME, kind: 'file', sizeBytes: 3 * FOREIGN_BLOCK_BYTES } as const;
    const folders = [{ name: MACHINE_FOLDER, items: [{ ...disk, blocks: layout }] }];
    const spec = { blockSizeBytes: FOREIGN_BLOCK_BYTES, folders };
    const place = ['--file', write('x.vbk', writeForeign(spec)), '--socket', temp.path('s')];
    const started = await startExport(place).catch(String);
    // A refusal of the whole file is a refusal by name too.
    if (typeof started === 'string') {
      expect(started).toMatch(/FORMAT_UNSUPPORTED.*RLE|RLE.*FORMAT_UNSUPPORTED/s);
      return;
    }
    const client = await RawClient.open({ path: temp.path('s') });
    for (let k = 0; k < 3; k++) {
      const reply = await client.read(FOREIGN_BLOCK_BYTES - 1, 2);
      expect(reply).toMatchObject({ error: NBD_ERROR.eio });
    }
    expectBytes((await client.read(0, 4096)).bytes, plainOf(1));
    expectBytes((await client.read(2 * 4096, 4096)).bytes, plainOf(3));
    client.destroy();
    const result = await started.stop();
    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(result.stderr.match(/"type":"export_problem".*RLE/g)).toHaveLength(1);
  });
});
