/** Clients of the command `export` that do not behave: the server lives. */
import { once } from 'node:events';
import { existsSync, renameSync, truncateSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { COMMAND, NBD_ERROR, OPTION, OPTION_REPLY } from '../../src/points/nbd/protocol.ts';
import { BLOCK_BYTES, blocks, MIB, writeImage } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import {
  copyOf,
  expectBytes,
  type ExportCommand,
  startExport,
  summaryOf,
} from '../helpers/nbd/exportCommand.ts';
import {
  encodeContext,
  encodeGo,
  encodeOption,
  encodeRequest,
  RawClient,
} from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { leasesOf } from '../helpers/repository/leases.ts';
import { containersOf, onlyFileOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const CONTENT = Buffer.concat([noise('disk', 40 * MIB), blocks('a0'), Buffer.from('end')]);
const SIZE = CONTENT.length;
let server: ExportCommand;
let uri: string;

async function start(...more: readonly string[]): Promise<void> {
  const place = ['--repo', folder.path('repo'), '--vm', VM, '--socket', folder.path('s')];
  server = await startExport([...place, '--workers', '1', ...more]);
  uri = server.uris[0] ?? '';
}

async function open(name = 'd', isStructured = true): Promise<RawClient> {
  return await RawClient.open({ path: folder.path('s') }, name, isStructured);
}

async function expectAlive(): Promise<void> {
  const client = await open();
  const at = SIZE - BLOCK_BYTES;
  expectBytes((await client.read(at, BLOCK_BYTES)).bytes, CONTENT.subarray(at));
  client.destroy();
}

function rawSocket(): Socket {
  return connect(folder.path('s')).on('error', () => {});
}

beforeEach(async () => {
  await backup(folder.path('repo'), writeImage(folder.path('d'), CONTENT));
});

describe('a read-only export', () => {
  it('refuses connections above 128, serves others after they have gone', async () => {
    await start();
    const sockets = Array.from({ length: 200 }, rawSocket);
    const outcomes = await Promise.all(
      sockets.map(
        async (socket) =>
          await new Promise((resolve) => {
            socket.once('data', () => resolve('greeted')).once('close', () => resolve('refused'));
          }),
      ),
    );
    expect(outcomes.filter((one) => one === 'greeted')).toHaveLength(128);
    for (const socket of sockets) socket.destroy();
    await expectAlive();

    const result = await server.stop();
    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stderr.match(/128/g)).toHaveLength(1);
  });

  it('ends on Ctrl-C with half-open, idle and greedy clients, and leaves nothing', async () => {
    await start();
    const half = [rawSocket(), rawSocket(), rawSocket()];
    await Promise.all(half.map(async (socket) => await once(socket, 'data')));
    half[1]?.write(encodeOption(OPTION.go, encodeGo('d')).subarray(0, 9));
    const idle = await open();
    const greedy = await open();
    greedy.reader.detach();
    greedy.socket.pause();
    for (let n = 0; n < 50; n++) greedy.send({ command: COMMAND.read, length: 32 * MIB });
    idle.socket.write(encodeRequest({ command: COMMAND.read, length: 9 }).subarray(0, 5));

    const result = await server.stop();

    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(summaryOf(result)).toMatchObject({ clientsInAll: 2, failures: 0 });
    expect(existsSync(folder.path('s'))).toBe(false);
    expect(leasesOf(folder.path('repo'))).toEqual([]);
    for (const one of [...half, idle, greedy]) one.destroy();
  });

  it('survives random bytes at every stage', async () => {
    await start();
    const random = createRandom(16);
    for (let k = 0; k < 40; k++) {
      const client = await RawClient.connect({ path: folder.path('s') });
      client.sendFlags(k % 4);
      if (k % 3 === 0) await client.choose('d', k % 2 === 0).catch(() => {});
      const head = encodeOption(random.below(12), random.bytes(random.below(80)));
      const request = encodeRequest({
        command: random.below(12),
        flags: random.below(64),
        offset: random.below(2 * SIZE),
        length: random.below(2 ** 32),
      });
      client.socket.write(k % 3 === 0 ? request : head);
      client.socket.end(random.bytes(random.below(300)));
    }
    await expectAlive();
    const result = await server.stop();
    expect(result.exitCode).toBe(EXIT_CODES.done);
    expect(result.stderr).not.toMatch(/INTERNAL|WORKER_CRASHED|^\s+at /m);
  });

  it('answers requests of the protocol that are at its edges', async () => {
    await start();
    const client = await open();
    const einval = { error: NBD_ERROR.einval };
    for (const request of [
      { command: COMMAND.read, offset: SIZE, length: 1 },
      { command: COMMAND.read, offset: 2n ** 63n, length: 1 },
      { command: COMMAND.read, offset: SIZE - 1, length: 0xffff_ffff },
      { command: COMMAND.blockStatus, offset: SIZE, length: 1 },
      { command: COMMAND.blockStatus, offset: SIZE - 5, length: 6 },
      { command: COMMAND.blockStatus, offset: 0, length: 0 },
      { command: 0xffff, offset: 0, length: 0 },
    ]) {
      expect(await client.request(request)).toMatchObject(einval);
    }
    for (const command of [COMMAND.trim, COMMAND.writeZeroes]) {
      expect(await client.request({ command, length: 512 })).toMatchObject({
        error: NBD_ERROR.eperm,
      });
    }
    expect(await client.request({ command: COMMAND.cache, length: MIB })).toMatchObject({
      error: 0,
    });
    const df = await client.read(1, 3 * MIB, 4);
    expectBytes(df.bytes, CONTENT.subarray(1, 1 + 3 * MIB));
    client.send({ command: COMMAND.disconnect });
    await client.closed();
    await expectAlive();
    await server.stop();
  });

  it('answers pipelined requests each with its own cookie and bytes', async () => {
    await start();
    const client = await open('d', false);
    const random = createRandom(3);
    const asked = new Map<number, readonly [number, number]>();
    const LENGTH = 5000;
    for (let k = 0; k < 300; k++) {
      const offset = random.below(SIZE - LENGTH);
      asked.set(client.send({ command: COMMAND.read, offset, length: LENGTH }), [offset, LENGTH]);
    }
    for (let k = 0; k < 300; k++) {
      const { cookie, error, bytes } = await client.reply({
        command: COMMAND.read,
        length: LENGTH,
      });
      const [offset = -1] = asked.get(cookie) ?? [];
      asked.delete(cookie);
      expect(error).toBe(0);
      expectBytes(bytes, CONTENT.subarray(offset, offset + LENGTH));
    }
    expect(asked.size).toBe(0);
    client.destroy();
    await server.stop();
  });

  it('negotiates names, contexts and lists that are odd', async () => {
    await start();
    const client = await RawClient.connect({ path: folder.path('s') });
    client.sendFlags();
    const types = async (code: number, data?: Buffer): Promise<number[]> =>
      (await client.option(code, data)).map(({ type }) => type);

    expect(await types(OPTION.info, encodeGo('nobody'))).toEqual([OPTION_REPLY.unknown]);
    expect(await types(OPTION.go, encodeGo('D'))).toEqual([OPTION_REPLY.unknown]);
    expect((await types(OPTION.info, encodeGo('d'))).at(-1)).toBe(OPTION_REPLY.ack);
    await types(OPTION.structuredReply);
    const unknown = encodeContext('d', 'qemu:dirty-bitmap:x');
    expect(await types(OPTION.setMetaContext, unknown)).toEqual([OPTION_REPLY.ack]);
    const listed = await types(OPTION.listMetaContext, encodeContext('d', 'base:'));
    expect(listed).toEqual([OPTION_REPLY.metaContext, OPTION_REPLY.ack]);
    expect(await types(0xffff_ffff, Buffer.alloc(60_000))).toEqual([OPTION_REPLY.unsupported]);
    await client.choose('d', false);
    client.hasStructuredReplies = true;
    const status = { command: COMMAND.blockStatus, length: 512 };
    expect((await client.request(status)).error).not.toBe(0);
    client.destroy();
    await expectAlive();
    await server.stop();
  });

  it('counts what it served', async () => {
    await start();
    expectBytes(await copyOf(uri, folder.path('copied')), CONTENT);
    const client = await open();
    await client.read(0, 1000);
    await client.read(SIZE, 1);
    client.destroy();
    const result = await server.stop();

    const summary = summaryOf(result);
    // The zeros of the disk are not sent.
    expect(summary.bytesRead).toBe(SIZE - BLOCK_BYTES + 1000);
    expect(summary.bytesWritten).toBe(0);
  });
});

describe('containers that vanish or are cut below a served point', () => {
  it.each([
    ['renamed', (file: string) => renameSync(file, `${file}.gone`)],
    ['cut', (file: string) => truncateSync(file, 2 * MIB)],
  ])('are right bytes or EIO with one message: %s', async (_what, harm) => {
    await start('--memory', '0', '--writable', folder.path('o'));
    expect(containersOf(folder.path('repo'))).toHaveLength(1);
    harm(onlyFileOf(folder.path('repo'), '.vbk'));
    const client = await open();
    expect(await client.write(0, Buffer.alloc(MIB, 7))).toMatchObject({ error: 0 });
    let failures = 0;
    for (let at = MIB; at + MIB < SIZE; at += 3 * MIB) {
      const { error, bytes } = await client.read(at, MIB);
      if (error === 0) expectBytes(bytes, CONTENT.subarray(at, at + MIB));
      else {
        expect(error).toBe(NBD_ERROR.eio);
        failures++;
      }
    }
    expectBytes((await client.read(0, MIB)).bytes, Buffer.alloc(MIB, 7));
    expectBytes((await client.read(SIZE - 3 - BLOCK_BYTES, 9)).bytes, Buffer.alloc(9));
    client.destroy();
    const result = await server.stop();

    expect(summaryOf(result).failures).toBe(failures);
    const messages = result.stderr.match(/"type":"export_problem"/g) ?? [];
    expect(messages.length).toBe(failures === 0 ? 0 : 1);
    expect(result.exitCode).toBe(failures === 0 ? EXIT_CODES.done : EXIT_CODES.doneWithProblems);
  });
});
