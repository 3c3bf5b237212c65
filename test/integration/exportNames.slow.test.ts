/** Addresses that `export` prints: names, sockets, hosts and points of every kind. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../src/core/errors.ts';
import { openRepository } from '../../src/points/openRepository.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { noise } from '../helpers/bytes/random.ts';
import { expectFailure, runCli } from '../helpers/cli/cli.ts';
import { useLab } from '../helpers/lab/useLab.ts';
import { copyOf, expectBytes, run, startExport, summaryOf } from '../helpers/nbd/exportCommand.ts';
import { makeCertificates } from '../helpers/nbd/certificates.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { pointsOf } from '../helpers/repository/repositoryFiles.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const folder = useTempFolder();
const NAMES = [
  'with space',
  'ünï-日本-😀',
  'what?socket=x&y#z',
  '100%25 %2F +plus',
  '"quotes" \'and\' \\ [1]',
  '-dash;colon:@',
];

async function expectClients(uri: string, content: Buffer): Promise<void> {
  expectBytes(await copyOf(uri, folder.path('copied')), content);
  expect(Number(await run('nbdinfo', '--size', uri))).toBe(content.length);
  await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', uri, folder.path('converted'));
  expectBytes(readFileSync(folder.path('converted')), content);
}

describe('names of disks', () => {
  it('are taken by clients from the printed addresses as they are', async () => {
    const images = NAMES.map((name, k) => writeImage(folder.path(name), noise(k, 512 * (k + 1))));
    await backup(folder.path('repo'), images);
    const place = ['--repo', folder.path('repo'), '--vm', VM];
    const server = await startExport([...place, '--socket', folder.path('s')]);

    expect(server.uris).toHaveLength(NAMES.length);
    for (const [k, uri] of server.uris.entries()) {
      expect(uri).toMatch(/^nbd\+unix:\/\/\/[\x21-\x7e]+$/);
      await expectClients(uri, noise(k, 512 * (k + 1)));
    }
    const list = await run(
      'nbdinfo',
      '--json',
      '--list',
      `nbd+unix:///?socket=${folder.path('s')}`,
    );
    const { exports } = JSON.parse(list) as { exports: { 'export-name': string }[] };
    expect(exports.map((one) => one['export-name']).toSorted()).toEqual(NAMES.toSorted());
    expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
  });

  it('with slashes and dots reach clients too', async () => {
    const path = folder.path('d');
    const content = noise(9, 4096);
    await backup(folder.path('repo'), writeImage(path, content), { vmName: 'a/../b c' });
    const place = ['--repo', folder.path('repo'), '--vm', 'a/../b c'];
    const server = await startExport([...place, '--socket', folder.path('s')]);

    await expectClients(server.uris[0] ?? '', content);
    expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
  });
});

describe('disks with one alias', () => {
  const bench = useLab();

  it('are exports by their ids, and one of several can be served alone', async () => {
    const disks = ['twin', 'twin', 'a/b c'].map((name) => ({ name, sizeBytes: 262_144 }));
    const vm = bench.lab.addVm({ name: 'web01', disks });
    for (const disk of vm.disks) disk.write(0, Buffer.from(`data of ${disk.id}`));
    await bench.backup(vm);
    const [one, two, other] = vm.disks.map((disk) => disk.id);
    const repository = await openRepository(bench.repository, { workers: 0 });
    try {
      const point = await repository.point('web01');
      const server = await point.serveNbd(point.disks, { address: { socket: folder.path('s') } });
      for (const [k, id] of [one, two, other].entries()) {
        const bytes = await copyOf(server.uris[k] ?? '', folder.path('copied'));
        expect(bytes.toString('latin1')).toContain(`data of ${id}`);
      }
      expect(server.uris[0]).toContain(one);
      expect(server.uris[1]).toContain(two);
      expect(server.uris[2]).not.toContain(other);
      await server.close();
      const alone = await point.disk(two ?? '').serveNbd({ socket: folder.path('s') });
      const bytes = await copyOf(alone.uris[0] ?? '', folder.path('copied'));
      expect(bytes.toString('latin1')).toContain(`data of ${two}`);
    } finally {
      await repository.close();
    }
  });
});

describe('addresses', () => {
  const CONTENT = blocks('aB0');
  let place: string[];
  beforeEach(async () => {
    await backup(folder.path('repo'), writeImage(folder.path('disk a'), CONTENT));
    place = ['--repo', folder.path('repo'), '--vm', VM];
  });

  it.each(['my socket', 'ü日本.sock', 'a%20b&c=d#e?f+g'])('with a socket %s', async (name) => {
    const server = await startExport([...place, '--socket', folder.path(name)]);

    await expectClients(server.uris[0] ?? '', CONTENT);
    await server.stop();
    expect(existsSync(folder.path(name))).toBe(false);
  });

  it.each(['127.0.0.1:0', '127.0.0.2:0', '[::1]:0', 'localhost:0'])(
    'that listen on %s',
    async (address) => {
      const server = await startExport([...place, '--listen', address]);

      const [uri = ''] = server.uris;
      expect(uri).toMatch(/^nbd:\/\/[^/]+:[1-9]\d*\/disk%20a$/);
      await expectClients(uri, CONTENT);
      const result = await server.stop();
      expect(result.exitCode).toBe(EXIT_CODES.done);
      expect(summaryOf(result)).toMatchObject({ failures: 0, bytesWritten: 0 });
    },
  );

  it.each(['[::]:0', ':::0', '192.0.2.1:0', '127.0.0.1:-1', '127.0.0.1:1e3', ':0'])(
    'are refused: %s',
    async (address) => {
      const result = await runCli(['export', ...place, '--listen', address]);

      expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    },
  );

  it('in a folder that does not exist are refused, and the folder is named', async () => {
    const socket = folder.path('missing', 's');

    const result = await runCli(['export', ...place, '--socket', socket]);

    expectFailure(result, 'USAGE_INVALID_OPTION', EXIT_CODES.usage);
    expect(result.stderr).toContain(`missing: ${folder.path('missing')}`);
  });

  it('of a port that is taken are refused', async () => {
    const server = await startExport([...place, '--listen', '127.0.0.1:0']);
    const { port } = new URL(server.uris[0] ?? '');

    const result = await runCli(['export', ...place, '--listen', `127.0.0.1:${port}`]);

    expect(result.exitCode).toBe(EXIT_CODES.usage);
    expect(result.stderr).toMatch(/^error: .* hint: /m);
    await expectClients(server.uris[0] ?? '', CONTENT);
  });

  it('of a socket that another export or a file has are refused, and the file stays', async () => {
    const socket = folder.path('s');
    const first = await startExport([...place, '--socket', socket]);
    const beside = await runCli(['export', ...place, '--socket', socket]);
    await expectClients(first.uris[0] ?? '', CONTENT);
    await first.stop();
    writeFileSync(socket, 'a file of somebody');
    const onFile = await runCli(['export', ...place, '--socket', socket]);

    expectFailure(beside, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
    expectFailure(onFile, 'USAGE_OUTPUT_EXISTS', EXIT_CODES.usage);
    expect(readFileSync(socket, 'utf8')).toBe('a file of somebody');
  });

  it('with TLS begin with nbds, and other clients are turned away', async () => {
    const tls = makeCertificates(folder.path('tls'));
    const server = await startExport([...place, '--listen', '127.0.0.1:0', '--tls', tls]);
    const [uri = ''] = server.uris;

    expect(uri).toMatch(/^nbds:\/\//);
    const withCertificates = `${uri}?tls-certificates=${tls}`;
    expectBytes(await copyOf(withCertificates, folder.path('copied')), CONTENT);
    await expect(run('nbdinfo', uri.replace('nbds:', 'nbd:'))).rejects.toThrow();
    expect((await server.stop()).exitCode).toBe(EXIT_CODES.done);
  });
});

describe('points', () => {
  const STATES = ['Ab0', 'Ac0', 'Ad0'];
  let ids: string[];
  beforeEach(async () => {
    for (const state of STATES) {
      await backup(folder.path('repo'), writeImage(folder.path('d'), blocks(state)));
    }
    ids = pointsOf(folder.path('repo')).map(({ pointId }) => pointId);
  });

  it('are chosen by number, id and the beginning of an id', async () => {
    for (const [point, at] of [
      ['2', 1],
      [ids[0]?.slice(0, 8) ?? '', 0],
      [ids[1] ?? '', 1],
      ['latest', 2],
    ] as const) {
      const place = ['--repo', folder.path('repo'), '--vm', VM, '--point', point];
      const server = await startExport([...place, '--socket', folder.path('s')]);
      expectBytes(await copyOf(server.uris[0] ?? '', folder.path('x')), blocks(STATES[at] ?? ''));
      await server.stop();
    }
  });

  it.each([
    ['--point', '4', 'USAGE_NOT_FOUND'],
    ['--point', '0', 'USAGE_NOT_FOUND'],
    ['--point', 'ffffffff-none', 'USAGE_NOT_FOUND'],
    ['--point', 'all', 'USAGE_NOT_FOUND'],
    ['--disk', 'e', 'USAGE_NOT_FOUND'],
    ['--memory', '-1', 'USAGE_INVALID_OPTION'],
    ['--memory', 'lots', 'USAGE_INVALID_OPTION'],
    ['--workers', '-1', 'USAGE_INVALID_OPTION'],
  ])('and settings that do not exist are refused: %s %s', async (option, value, code) => {
    const place = ['--repo', folder.path('repo'), '--vm', VM, '--socket', folder.path('s')];

    const result = await runCli(['export', ...place, option, value]);

    expectFailure(result, code, EXIT_CODES.usage);
    expect(existsSync(folder.path('s'))).toBe(false);
  });
});
