/** Exports over TLS: real clients, clients without TLS or a certificate, bad certificates. */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ServeOptions } from '../../src/points/nbd/exportPoint.ts';
import { OPTION, OPTION_REPLY } from '../../src/points/nbd/protocol.ts';
import { type OpenRepository, openRepository } from '../../src/points/openRepository.ts';
import type { DiskServer } from '../../src/points/pointTypes.ts';
import { blocks, writeImage } from '../helpers/bytes/images.ts';
import { makeCertificates } from '../helpers/nbd/certificates.ts';
import { encodeGo, encodeOption, RawClient } from '../helpers/nbd/rawClient.ts';
import { backup, VM } from '../helpers/repository/imageSessions.ts';
import { useSharedTempFolder } from '../helpers/tempFolder.ts';

const execute = promisify(execFile);
const CONTENT = blocks('aB0c');

const folder = useSharedTempFolder();
let repository: OpenRepository;
let server: DiskServer | undefined;
let problems: string[];

beforeAll(async () => {
  makeCertificates(folder.path('tls'));
  makeCertificates(folder.path('other'));
  await backup(folder.path('repository'), writeImage(folder.path('disk.raw'), CONTENT));
});
beforeEach(async () => {
  problems = [];
  repository = await openRepository(folder.path('repository'), { workers: 0 });
});
afterEach(async () => {
  await repository.close();
});

async function serve(options: Partial<ServeOptions> = {}): Promise<string> {
  const point = await repository.point(VM);
  server = await point.serveNbd([point.disk('disk.raw')], {
    address: { host: 'localhost', port: 0 },
    tls: { folder: folder.path('tls') },
    onProblem: (text) => problems.push(text),
    ...options,
  });
  return server.uris[0] ?? '';
}

function portOf(uri: string): number {
  return Number(new URL(uri).port);
}

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execute(program, args, { encoding: 'utf8', timeout: 60_000 })).stdout;
}

async function rawClient(uri: string): Promise<RawClient> {
  const client = await RawClient.connect({ host: 'localhost', port: portOf(uri) });
  client.sendFlags();
  return client;
}

describe('an export over TLS', () => {
  it('is read and written by nbdinfo, nbdcopy and qemu-img with certificates', async () => {
    const uri = await serve({ writable: { folder: folder.path('overlays') } });
    const secure = `${uri}?tls-certificates=${folder.path('tls')}`;

    expect(uri).toMatch(/^nbds:\/\/localhost:\d+\/disk\.raw$/);
    expect(await run('nbdinfo', secure)).toContain('newstyle-fixed with TLS');
    await run('nbdcopy', secure, folder.path('copied.raw'));
    expect(readFileSync(folder.path('copied.raw')).equals(CONTENT)).toBe(true);

    const changed = blocks('XYZ0');
    writeFileSync(folder.path('changed.raw'), changed);
    await run('nbdcopy', '--flush', folder.path('changed.raw'), secure);
    const credentials = `tls-creds-x509,id=t,dir=${folder.path('tls')},endpoint=client`;
    const port = portOf(uri);
    const options = `driver=nbd,host=localhost,port=${port},export=disk.raw,tls-creds=t`;
    const target = folder.path('converted.raw');
    const args = ['convert', '--object', credentials, '--image-opts', options, '-O', 'raw', target];
    await run('qemu-img', ...args);
    expect(readFileSync(target).equals(changed)).toBe(true);
  });

  it('works on a Unix socket too', async () => {
    const uri = await serve({ address: { socket: folder.path('nbd.sock') } });

    expect(uri).toMatch(/^nbds\+unix:\/\/\/disk\.raw\?socket=/);
    const secure = uri.replace('nbds+unix:///', 'nbds+unix://localhost/');
    expect(await run('nbdinfo', `${secure}&tls-certificates=${folder.path('tls')}`)).toContain(
      'with TLS',
    );
  });

  it('answers nothing but TLS before it', async () => {
    const client = await rawClient(await serve());
    for (const [code, data] of [
      [OPTION.list, undefined],
      [OPTION.go, encodeGo('disk.raw')],
      [OPTION.structuredReply, undefined],
      [99, undefined],
    ] as const) {
      expect(await client.option(code, data)).toMatchObject([{ type: OPTION_REPLY.tlsRequired }]);
    }
    expect(await client.option(OPTION.startTls, Buffer.alloc(1))).toMatchObject([
      { type: OPTION_REPLY.invalid },
    ]);
    expect(await client.option(OPTION.abort)).toMatchObject([{ type: OPTION_REPLY.ack }]);
    await client.closed();
  });

  it('breaks off a client that chooses an export without TLS', async () => {
    const client = await rawClient(await serve());
    client.socket.write(encodeOption(OPTION.exportName, Buffer.from('disk.raw')));
    await client.closed();
  });

  it('breaks off a client whose next bytes came before TLS', async () => {
    const client = await rawClient(await serve());
    client.socket.write(Buffer.concat([encodeOption(OPTION.startTls), encodeOption(OPTION.list)]));
    await client.closed();
  });

  it.each([
    ['without a certificate', 'none', 'TLSv1.3', /refused by TLS: ERR_SSL_PEER_DID_NOT_RETURN/],
    ['with a certificate of another CA', 'other', 'TLSv1.3', /refused by TLS: \w*VERIFY|ISSUER/],
    ['with TLS 1.1', 'tls', 'TLSv1.1', /refused by TLS: ERR_SSL/],
  ] as const)('refuses a client %s, once for all tries', async (_what, from, version, text) => {
    const uri = await serve();
    const read = (name: string): Buffer => readFileSync(folder.path(from, name));
    const own =
      from === 'none' ? {} : { cert: read('client-cert.pem'), key: read('client-key.pem') };
    for (let k = 0; k < 3; k++) {
      const client = await rawClient(uri);
      await client.option(OPTION.startTls);
      client.reader.detach();
      const secure = connectTls({
        ...own,
        socket: client.socket,
        ca: readFileSync(folder.path('tls', 'ca-cert.pem')),
        servername: 'localhost',
        minVersion: version,
        maxVersion: version,
        ciphers: 'DEFAULT@SECLEVEL=0',
      });
      secure.on('error', () => {});
      secure.write(encodeOption(OPTION.list));
      await new Promise((resolve) => secure.once('close', resolve));
    }

    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(text);
    const secure = `${uri}?tls-certificates=${folder.path('tls')}`;
    expect(await run('nbdinfo', '--size', secure)).toBe(`${CONTENT.length}\n`);
  });

  it('ends while a client waits in its handshake, and while one is idle', async () => {
    const uri = await serve();
    const waiting = await rawClient(uri);
    await waiting.option(OPTION.startTls);
    const idle = await rawClient(uri);
    await idle.option(OPTION.startTls);
    idle.reader.detach();
    const secure = connectTls({
      socket: idle.socket,
      ca: readFileSync(folder.path('tls', 'ca-cert.pem')),
      cert: readFileSync(folder.path('tls', 'client-cert.pem')),
      key: readFileSync(folder.path('tls', 'client-key.pem')),
      servername: 'localhost',
    });
    await new Promise((resolve) => secure.once('secureConnect', resolve));
    secure.write(encodeOption(OPTION.go, encodeGo('disk.raw')));
    await new Promise((resolve) => secure.once('data', resolve));
    const closed = new Promise((resolve) => secure.once('close', resolve));

    await server?.close();
    await waiting.closed();
    await closed;
    expect(server?.served).toMatchObject({ clients: 0, clientsInAll: 1 });
  });

  it('may listen on every address', async () => {
    const point = await repository.point(VM);
    const options = { host: '0.0.0.0', port: 0, tls: { folder: folder.path('tls') } };
    server = await point.disk('disk.raw').serveNbd(options);

    expect(server.uris[0]).toMatch(/^nbds:\/\/[^/]+:\d+\//);
    expect(server.uris[0]).not.toContain('0.0.0.0');
  });
});

async function expectRefused(text: RegExp): Promise<void> {
  const tls = { folder: folder.path('broken') };
  await expect(serve({ tls })).rejects.toMatchObject({ code: 'USAGE_INVALID_OPTION' });
  await expect(serve({ tls })).rejects.toThrow(text);
}

describe('a TLS folder is refused', () => {
  const names = ['ca-cert.pem', 'server-cert.pem', 'server-key.pem'] as const;

  function broken(): string {
    const target = folder.path('broken');
    rmSync(target, { recursive: true, force: true });
    mkdirSync(target);
    for (const name of names) copyFileSync(folder.path('tls', name), folder.path('broken', name));
    return target;
  }

  it.each(names)('without its %s', async (name) => {
    rmSync(`${broken()}/${name}`);
    await expectRefused(new RegExp(`${name} cannot be read: does not exist`));
  });

  it.each(names)('whose %s is something else', async (name) => {
    writeFileSync(`${broken()}/${name}`, 'text');
    await expectRefused(new RegExp(`${name} is not a (certificate|private key) in PEM`));
  });

  it('whose key is that of another certificate', async () => {
    copyFileSync(folder.path('other', 'server-key.pem'), `${broken()}/server-key.pem`);
    await expectRefused(/server-key\.pem is not the key of .*server-cert\.pem/);
  });

  it('whose key is locked', async () => {
    const args = ['pkcs8', '-topk8', '-in', folder.path('tls', 'server-key.pem')];
    await execute('openssl', [...args, '-out', `${broken()}/server-key.pem`, '-passout', 'pass:x']);
    await expectRefused(/locked by a passphrase/);
  });

  it('whose certificate has expired', async () => {
    const target = broken();
    const own = ['-in', `${target}/server-cert.pem`, '-signkey', `${target}/server-key.pem`];
    const until = ['-not_after', '20200101000000Z', '-not_before', '20190101000000Z'];
    const args = ['x509', ...own, '-out', `${target}/old.pem`];
    // Older versions of openssl take a number of days only.
    await execute('openssl', [...args, ...until]).catch(async () => {
      await execute('openssl', [...args, '-days', '-1']);
    });
    copyFileSync(`${target}/old.pem`, `${target}/server-cert.pem`);
    await expectRefused(/server-cert\.pem has expired on/);
  });
});
