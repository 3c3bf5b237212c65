/** Overlays of the command `export` over their whole life, and damage below them. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { COMMAND, COMMAND_FLAGS, NBD_ERROR } from '../../src/points/nbd/protocol.ts';
import { BLOCK_BYTES, blocks, flipBit, writeImage } from '../helpers/bytes/images.ts';
import { createRandom, noise } from '../helpers/bytes/random.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { canMountVolumes, inSmallVolume } from '../helpers/folders.ts';
import {
  copyOf,
  expectBytes,
  type ExportCommand,
  run,
  startExport,
  summaryOf,
} from '../helpers/nbd/exportCommand.ts';
import { RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, expectClean, VM } from '../helpers/repository/imageSessions.ts';
import { leasesOf } from '../helpers/repository/leases.ts';
import { prune } from '../helpers/repository/prunes.ts';
import { fileTree, onlyFileOf, pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const CLUSTER_BYTES = 65_536;
/** The last cluster and the last sector are short. */
const TAIL = noise('tail', CLUSTER_BYTES + 4096 + 77);
const FIRST = Buffer.concat([blocks('aB0D'), TAIL]);
const SECOND = Buffer.concat([blocks('aX0D'), TAIL]);
const SIZE = SECOND.length;

const folder = useTempFolder();
let repository: string;
let socketCount = 0;
const servers: ExportCommand[] = [];

beforeEach(async () => {
  repository = folder.path('repo');
  const image = folder.path('d');
  await backup(repository, writeImage(image, FIRST));
  await backup(repository, writeImage(image, SECOND));
});

interface Served extends ExportCommand {
  readonly uri: string;
  readonly socket: string;
}

async function serve(...more: readonly string[]): Promise<Served> {
  const socket = folder.path(`s${socketCount++}`);
  const place = ['--repo', repository, '--vm', VM, '--socket', socket];
  const server = await startExport([...place, ...more]);
  servers.push(server);
  return { ...server, uri: server.uris[0] ?? '', socket };
}

/** A volume cannot be unmounted while a server has files there. */
async function endAll(): Promise<void> {
  for (const { child, ended } of servers.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
}

function overlay(...more: readonly string[]): string[] {
  return ['--writable', folder.path('overlays'), ...more];
}

async function rawClient({ socket }: Served): Promise<RawClient> {
  return await RawClient.open({ path: socket });
}

/** Changes at odd places, applied to a server and to `model`. */
async function change(client: RawClient, model: Buffer, seed: number): Promise<void> {
  const random = createRandom(seed);
  for (let k = 0; k < 60; k++) {
    const offset = random.below(SIZE);
    const length = 1 + random.below(Math.min(SIZE - offset, 3 * CLUSTER_BYTES));
    const command = [COMMAND.write, COMMAND.trim, COMMAND.writeZeroes][random.below(3)] ?? 1;
    const bytes = command === COMMAND.write ? random.bytes(length) : Buffer.alloc(length);
    const flags = random.below(4) === 0 ? COMMAND_FLAGS.fua : 0;
    const payload = command === COMMAND.write ? bytes : undefined;
    const { error } = await client.request({ command, offset, length, flags }, payload);
    expect(error).toBe(0);
    bytes.copy(model, offset);
  }
}

describe('an overlay', () => {
  it('is kept, continued by several servers, and thrown away; the repository stays', async () => {
    const before = fileTree(repository);
    const model = Buffer.from(SECOND);
    for (const round of [1, 2]) {
      const server = await serve(...overlay('--keep'));
      const client = await rawClient(server);
      await change(client, model, round);
      client.destroy();
      expectBytes(await copyOf(server.uri, folder.path('copied')), model);
      const result = await server.stop();
      expect(result.exitCode).toBe(EXIT_CODES.done);
      expect(summaryOf(result).overlays).toMatchObject([{ exportName: 'd', isKept: true }]);
    }
    const plain = await serve();
    expectBytes(await copyOf(plain.uri, folder.path('copied')), SECOND);
    await plain.stop();
    rmSync(folder.path('overlays'), { recursive: true });
    const server = await serve(...overlay());
    expectBytes(await copyOf(server.uri, folder.path('copied')), SECOND);
    await server.stop();

    expect(existsSync(folder.path('overlays'))).toBe(false);
    expect(fileTree(repository)).toEqual(before);
    await expectClean(repository);
  });

  it('tells clusters of zeros as holes, and takes zeros over the end of the last cluster', async () => {
    const server = await serve(...overlay());
    const client = await rawClient(server);
    const model = Buffer.from(SECOND);
    const offset = 3 * BLOCK_BYTES + 100;
    const zeros = { command: COMMAND.writeZeroes, offset, length: SIZE - offset };

    expect(await client.request(zeros)).toMatchObject({ error: 0 });
    model.fill(0, offset);
    const beyond = { command: COMMAND.trim, offset: SIZE - 10, length: 11 };
    expect(await client.request(beyond)).toMatchObject({ error: NBD_ERROR.einval });
    expectBytes(await copyOf(server.uri, folder.path('copied')), model);
    const map = JSON.parse(await run('nbdinfo', '--json', '--map', server.uri)) as object[];
    expect(map.at(-1)).toMatchObject({
      offset: 3 * BLOCK_BYTES + CLUSTER_BYTES,
      length: SIZE - 3 * BLOCK_BYTES - CLUSTER_BYTES,
      type: 3,
    });
    client.destroy();
    await server.stop();
  });

  it('has what was flushed or written with FUA after SIGKILL, on each further start', async () => {
    const first = await serve(...overlay('--keep'));
    const client = await rawClient(first);
    const model = Buffer.from(SECOND);
    await change(client, model, 7);
    expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
    const last = noise('fua', 3000);
    await client.write(SIZE - last.length, last, COMMAND_FLAGS.fua);
    last.copy(model, SIZE - last.length);
    const zeros = { command: COMMAND.writeZeroes, offset: 0, length: BLOCK_BYTES + 5 };
    await client.request({ ...zeros, flags: COMMAND_FLAGS.fua });
    model.fill(0, 0, BLOCK_BYTES + 5);
    first.child.kill('SIGKILL');
    await first.ended;
    client.destroy();

    for (const signal of ['SIGKILL', 'SIGINT'] as const) {
      const server = await serve(...overlay('--keep'));
      expectBytes(await copyOf(server.uri, folder.path('copied')), model);
      server.child.kill(signal);
      await server.ended;
    }
    expect(await prune(repository, { last: 1 })).toMatchObject({ messages: [] });
    expect(leasesOf(repository)).toEqual([]);
  });

  it('of a killed server is refused without --keep, and continued with it', async () => {
    const first = await serve(...overlay());
    await run('qemu-io', '-f', 'raw', '-c', 'write -f -P 9 0 65536', first.uri);
    first.child.kill('SIGKILL');
    await first.ended;

    const place = ['--repo', repository, '--vm', VM, '--socket', folder.path('x')];
    const refused = await runCli(['export', ...place, ...overlay()]);
    expectFailure(refused, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
    const second = await serve(...overlay('--keep'));
    const model = Buffer.from(SECOND).fill(9, 0, 65_536);
    expectBytes(await copyOf(second.uri, folder.path('copied')), model);
    await second.stop();
  });

  it('belongs to its point, also when a prune has merged that into a full', async () => {
    const model = Buffer.from(SECOND);
    const first = await serve(...overlay('--keep'));
    const client = await rawClient(first);
    await change(client, model, 3);
    client.destroy();
    await first.stop();
    await prune(repository, { last: 1 });
    expect(pointsOf(repository)).toHaveLength(1);

    const second = await serve(...overlay('--keep'));
    expectBytes(await copyOf(second.uri, folder.path('copied')), model);
    expect((await second.stop()).exitCode).toBe(EXIT_CODES.done);
  });

  it('is private to its server: two servers of one point see only their own writes', async () => {
    const one = await serve(...overlay());
    const two = await serve('--writable', folder.path('others'));
    const none = await serve();
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 4096', one.uri);
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 2 0 4096', two.uri);

    const contents = [
      [one, Buffer.from(SECOND).fill(1, 0, 4096)],
      [two, Buffer.from(SECOND).fill(2, 0, 4096)],
      [none, SECOND],
    ] as const;
    for (const [{ uri }, content] of contents) {
      expectBytes(await copyOf(uri, folder.path('copied')), content);
    }
    expect(leasesOf(repository)).toHaveLength(3);
    await one.stop();
    expect(leasesOf(repository)).toHaveLength(2);
    const pruned = await prune(repository, { last: 1 });
    expect(pruned.messages).toMatchObject([{ code: 'REPO-515' }, { code: 'REPO-515' }]);
    expectBytes(await copyOf(two.uri, folder.path('copied')), Buffer.from(SECOND).fill(2, 0, 4096));
    await two.stop();
    await none.stop();
  });

  it('of one disk of several is made when that disk is served', async () => {
    await backup(repository, [folder.path('d'), writeImage(folder.path('e'), noise('e', 5000))]);
    const server = await serve('--disk', 'e', ...overlay('--keep'));
    await run('qemu-io', '-f', 'raw', '-c', 'write -P 1 0 512', server.uri);
    await server.stop();

    const both = await serve(...overlay('--keep'));
    expect(both.uris).toHaveLength(2);
    const uriOfE = both.uris.find((uri) => uri.includes('///e?')) ?? '';
    const model = noise('e', 5000).fill(1, 0, 512);
    expectBytes(await copyOf(uriOfE, folder.path('copied')), model);
    await both.stop();
  });
});

function damage(): void {
  const file = onlyFileOf(repository, '.vbk');
  flipBit(file, readFileSync(file).indexOf(blocks('D').subarray(0, 64)) + 100);
}

describe('damage below an overlay', () => {
  const AT = 3 * BLOCK_BYTES;

  it('is EIO for reads and partial writes, heals by whole clusters, and is one message', async () => {
    damage();
    const server = await serve(...overlay('--keep'));
    const client = await rawClient(server);
    const eio = { error: NBD_ERROR.eio };
    const part = { offset: AT + 10, length: 100 };

    expect(await client.read(AT, 1)).toMatchObject(eio);
    expect(await client.write(AT + 10, Buffer.alloc(100, 1))).toMatchObject(eio);
    expect(await client.request({ command: COMMAND.writeZeroes, ...part })).toMatchObject(eio);
    const whole = noise('whole', 2 * CLUSTER_BYTES);
    expect(await client.write(AT, whole)).toMatchObject({ error: 0 });
    const zeros = { offset: AT + 2 * CLUSTER_BYTES, length: CLUSTER_BYTES };
    expect(await client.request({ command: COMMAND.trim, ...zeros })).toMatchObject({ error: 0 });
    // The first cluster is there, the last one is damaged: nothing, or only the first part, may
    // be written.
    const over = Buffer.alloc(CLUSTER_BYTES, 5);
    expect(await client.write(AT + 2.5 * CLUSTER_BYTES, over)).toMatchObject(eio);

    expectBytes((await client.read(AT, whole.length)).bytes, whole);
    expect(await client.read(AT + 2 * CLUSTER_BYTES, 4096)).toMatchObject({
      error: 0,
      bytes: Buffer.alloc(4096),
    });
    expect(await client.read(AT + 3 * CLUSTER_BYTES, 1)).toMatchObject(eio);
    expect(await client.read(AT - 1, 2)).toMatchObject({ error: 0 });
    expect(await client.read(AT + 3 * CLUSTER_BYTES - 1, 2)).toMatchObject(eio);
    expectBytes((await client.read(0, AT)).bytes, SECOND.subarray(0, AT));
    expectBytes((await client.read(AT + BLOCK_BYTES, TAIL.length)).bytes, TAIL);
    expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
    client.destroy();
    const result = await server.stop();
    expect(result.exitCode).toBe(EXIT_CODES.doneWithProblems);
    expect(result.stderr.match(/"type":"export_problem"/g)).toHaveLength(1);
  });

  it('can be written over by clients, and the kept overlay then has the whole disk', async () => {
    damage();
    const server = await serve(...overlay('--keep'));
    await run('nbdcopy', writeImage(folder.path('new'), FIRST), server.uri);
    expectBytes(await copyOf(server.uri, folder.path('copied')), FIRST);
    const first = await server.stop();
    const again = await serve(...overlay('--keep'));
    expectBytes(await copyOf(again.uri, folder.path('copied')), FIRST);

    expect(first.exitCode).toBe(EXIT_CODES.done);
    expect((await again.stop()).exitCode).toBe(EXIT_CODES.done);
  });
});

describe.skipIf(!(await canMountVolumes()))('a full volume below an overlay', () => {
  it('is ENOSPC for qemu-io, one message, and what was flushed is continued', async () => {
    await inSmallVolume(1, async (volume) => {
      try {
        await fill(path.join(volume, 'o'));
      } finally {
        await endAll();
      }
    });
  });
});

async function fill(overlays: string): Promise<void> {
  const place = ['--writable', overlays, '--keep'];
  const server = await serve(...place);
  await run('qemu-io', '-f', 'raw', '-c', 'write -f -P 1 1000 1000', server.uri);
  const command = `write -P 2 ${CLUSTER_BYTES} ${16 * CLUSTER_BYTES}`;
  await expect(run('qemu-io', '-f', 'raw', '-c', command, server.uri)).rejects.toMatchObject({
    stdout: expect.stringContaining('No space left') as string,
  });
  const part = 'read -P 1 1000 1000';
  expect(await run('qemu-io', '-f', 'raw', '-c', part, server.uri)).not.toMatch(/fail/i);
  const ended = await server.stop();
  expect(ended.exitCode).toBe(EXIT_CODES.doneWithProblems);
  expect(ended.stderr.match(/"type":"export_problem"/g)).toHaveLength(1);

  const again = await serve(...place);
  expect(await run('qemu-io', '-f', 'raw', '-c', part, again.uri)).not.toMatch(/fail/i);
  await again.stop();
}
