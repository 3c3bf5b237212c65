/** The life of the command `export`: its start, its outputs, its end, and odd places for files. */
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { COMMAND, OPTION, OPTION_REPLY } from '../../src/points/nbd/protocol.ts';
import { BLOCK_BYTES, blocks, flipBit, MIB, writeImage } from '../helpers/bytes/images.ts';
import { createRandom, noise, wordText } from '../helpers/bytes/random.ts';
import { expectFailure, runCli, startCli } from '../helpers/cli/cli.ts';
import { copyOf, expectBytes, run, startExport, summaryOf } from '../helpers/nbd/exportCommand.ts';
import { encodeGo, encodeOption, RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { leasesOf } from '../helpers/repository/leases.ts';
import { fileTree, onlyFileOf, vmFolderOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const CONTENT = Buffer.concat([blocks('aB0c'), noise('tail', 777)]);
let repository: string;
let place: string[];

beforeEach(async () => {
  repository = folder.path('repo');
  await backup(repository, writeImage(folder.path('d'), CONTENT));
  place = ['--repo', repository, '--vm', VM, '--socket', folder.path('s')];
});

function overlay(...more: readonly string[]): string[] {
  return ['--writable', folder.path('o'), ...more];
}

describe('the end of an export', () => {
  it('leaves nothing, at whatever moment of its start it comes', async () => {
    const before = fileTree(repository);
    for (const delayMs of [100, 180, 260]) {
      const { child, ended } = startCli(['export', ...place, ...overlay()]);
      await wait(delayMs);
      child.kill('SIGINT');
      const { exitCode, signal, stderr } = await ended;

      // Before Node has loaded the program, the signal ends the process.
      if (signal === null) expect([EXIT_CODES.done, EXIT_CODES.interrupted]).toContain(exitCode);
      expect(stderr).not.toMatch(/INTERNAL|^\s+at /m);
      expect(existsSync(folder.path('s'))).toBe(false);
      expect(existsSync(folder.path('o'))).toBe(false);
      expect(fileTree(repository)).toEqual(before);
    }
  });

  it('is regular when its socket was deleted', async () => {
    const server = await startExport(place);
    const client = await RawClient.open({ path: folder.path('s') });
    rmSync(folder.path('s'));

    expect((await client.read(0, 1)).error).toBe(0);
    expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
    client.destroy();
  });

  it('flushes what clients wrote without a flush', async () => {
    const server = await startExport([...place, ...overlay('--keep')]);
    const client = await RawClient.open({ path: folder.path('s') });
    const bytes = noise('written', BLOCK_BYTES);
    await client.write(5, bytes);
    await server.stop();
    client.destroy();
    const again = await startExport([
      ...place.slice(0, 4),
      ...overlay('--keep'),
      '--socket',
      folder.path('t'),
    ]);

    const found = await copyOf(again.uris[0] ?? '', folder.path('copied'));
    const model = Buffer.from(CONTENT);
    bytes.copy(model, 5);
    expectBytes(found, model);
    await again.stop();
  });

  it('of a reader of its output is no end of the export', async () => {
    const { child, ended } = startCli(['export', ...place]);
    onTestFinished(() => void child.kill('SIGKILL'));
    child.stdout?.once('data', () => child.stdout?.destroy());
    if (child.stdout) await once(child.stdout, 'close');

    const uri = `nbd+unix:///d?socket=${folder.path('s')}`;
    expectBytes(await copyOf(uri, folder.path('copied')), CONTENT);
    child.kill('SIGINT');
    const { exitCode, stderr } = await ended;
    expect(stderr).not.toMatch(/INTERNAL|^\s+at /m);
    expect(exitCode).toBe(EXIT_CODES.done);
    expect(existsSync(folder.path('s'))).toBe(false);
  });

  it('comes while clients copy: they get an error, the export a regular end', async () => {
    const big = writeImage(folder.path('big'), noise('big', 60 * MIB));
    await backup(folder.path('other'), big);
    const server = await startExport(['--repo', folder.path('other'), ...place.slice(2)]);
    const uri = server.uris[0] ?? '';
    const copies = [1, 2].map(
      async (k) =>
        await run('nbdcopy', uri, folder.path(`copy${k}`)).then(
          () => 'done',
          () => 'error',
        ),
    );
    const client = await RawClient.open({ path: folder.path('s') });
    await client.read(0, MIB);
    const result = await server.stop();

    expect(await Promise.all(copies)).toHaveLength(2);
    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(summaryOf(result).failures).toBe(0);
    expect(leasesOf(folder.path('other'))).toEqual([]);
    client.destroy();
  });
});

describe('an overlay is refused', () => {
  it.each([
    ['in the repository by a link', () => path.join(folder.path('link'), 'o')],
    ['in the repository by dots', () => `${repository}/../repo/o`],
    ['in the folder of the VM', () => path.join(vmFolderOf(repository), 'o')],
    ['as the repository itself', () => repository],
  ])('%s', async (_what, target) => {
    symlinkSync(repository, folder.path('link'));
    const before = fileTree(repository);

    const result = await runCli(['export', ...place, '--writable', target()]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(fileTree(repository)).toEqual(before);
  });

  it('in the repository that files of --file lie in', async () => {
    const before = fileTree(repository);
    const files = ['--file', onlyFileOf(repository, '.vbk'), '--socket', folder.path('s')];

    const result = await runCli(['export', ...files, '--writable', path.join(repository, 'o')]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(fileTree(repository)).toEqual(before);
  });

  it('where a file or a folder of somebody is, which stay', async () => {
    writeFileSync(folder.path('file'), 'of somebody');
    mkdirSync(folder.path('o'));
    writeFileSync(folder.path('o', 'note'), 'of somebody');
    const onFile = await runCli(['export', ...place, '--writable', folder.path('file')]);
    const server = await startExport([...place, ...overlay()]);
    await server.stop();

    expect(onFile.exitCode).not.toBe(EXIT_CODES.done);
    expect(onFile.stderr).toMatch(/^error: .* hint: /m);
    expect(readdirSync(folder.path('o'))).toEqual(['note']);
  });

  it.each([
    ['a map with a flipped bit', (file: string) => flipBit(file, 200), /INTEGRITY_CRC|FORMAT_/],
    ['a map of zeros', (file: string) => writeFileSync(file, Buffer.alloc(9000)), /FORMAT_|CRC/],
    ['an empty map', (file: string) => writeFileSync(file, ''), /FORMAT_/],
  ])('when it is kept and has %s; it stays as it is', async (_what, harm, code) => {
    const first = await startExport([...place, ...overlay('--keep')]);
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 70000', first.uris[0] ?? '');
    await first.stop();
    const map = fileTree(folder.path('o')).find((line) => line.includes('/map '));
    harm(folder.path('o', map?.split(' ')[0] ?? ''));
    const before = fileTree(folder.path('o'));

    const result = await runCli(['export', ...place, ...overlay('--keep')]);

    expect(result.stderr).toMatch(code);
    expect(result.exitCode).not.toBe(EXIT_CODES.done);
    expect(fileTree(folder.path('o'))).toEqual(before);
    expect(leasesOf(repository)).toEqual([]);
  });
});

describe('kinds of points', () => {
  it('with blocks of 8 MiB and every compression are read at random places without a cache', async () => {
    const states = [1, 2, 3].map((seed) =>
      Buffer.concat([wordText(seed, 9 * MIB), noise(seed, 2 * MIB), wordText(9, 99_999)]),
    );
    const image = folder.path('large');
    const other = folder.path('other');
    for (const [k, compression] of (['none', 'high', 'default'] as const).entries()) {
      const options = { blockSizeBytes: k === 0 ? 8 * MIB : undefined, compression } as object;
      await backup(other, writeImage(image, states[k] ?? Buffer.alloc(0)), options);
    }
    const random = createRandom(5);
    for (const [k, state] of states.entries()) {
      const args = ['--repo', other, ...place.slice(2), '--point', `${k + 1}`, '--memory', '0'];
      const server = await startExport(args);
      const client = await RawClient.open({ path: folder.path('s') });
      for (let n = 0; n < 12; n++) {
        const offset = random.below(state.length);
        const length = 1 + random.below(Math.min(300_000, state.length - offset));
        expectBytes(
          (await client.read(offset, length)).bytes,
          state.subarray(offset, offset + length),
        );
      }
      client.destroy();
      await server.stop();
    }
  });
});

describe('old and odd clients', () => {
  it.each([
    ['with', 1, 134],
    ['without', 3, 10],
  ])('may choose an export by its name, %s zeros', async (_what, flags, lengthBytes) => {
    const server = await startExport(place);
    const client = await RawClient.connect({ path: folder.path('s') });
    client.sendFlags(flags);
    client.socket.write(encodeOption(OPTION.exportName, Buffer.from('d')));
    const head = await client.reader.read(lengthBytes);

    expect(Number(head.readBigUInt64BE(0))).toBe(CONTENT.length);
    expectBytes(head.subarray(10), Buffer.alloc(lengthBytes - 10));
    expectBytes((await client.read(0, CONTENT.length)).bytes, CONTENT);
    client.send({ command: COMMAND.disconnect });
    await client.closed();
    await server.stop();
  });

  it('may ask for names that are too long, and then go on', async () => {
    const server = await startExport(place);
    const client = await RawClient.connect({ path: folder.path('s') });
    client.sendFlags();
    for (const name of ['x'.repeat(5000), '\0', 'd\0', ' d', 'D']) {
      const [reply] = await client.option(OPTION.go, encodeGo(name));
      expect(reply?.type).toBeGreaterThanOrEqual(0x8000_0000);
    }
    const replies = await client.option(OPTION.list);
    expect(replies.map(({ type }) => type)).toEqual([OPTION_REPLY.server, OPTION_REPLY.ack]);
    await client.choose('d');
    expectBytes((await client.read(1, 99)).bytes, CONTENT.subarray(1, 100));
    client.destroy();
    await server.stop();
  });
});

it('a damaged fingerprint or block of an older point does not harm others', async () => {
  writeImage(folder.path('d'), Buffer.concat([blocks('aX0c'), noise('tail', 777)]));
  await backup(repository, folder.path('d'));
  const full = onlyFileOf(repository, '.vbk');
  flipBit(full, readFileSync(full).indexOf(blocks('B').subarray(0, 64)) + 1);
  const server = await startExport([...place, '--point', '2']);

  const expected = Buffer.concat([blocks('aX0c'), noise('tail', 777)]);
  expectBytes(await copyOf(server.uris[0] ?? '', folder.path('copied')), expected);
  expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
  const older = await startExport([...place, '--point', '1']);
  await expect(run('nbdcopy', older.uris[0] ?? '', 'null:')).rejects.toThrow('nbdcopy');
  expect((await older.stop()).exitCode).toBe(EXIT_CODES.doneWithProblems);
});
