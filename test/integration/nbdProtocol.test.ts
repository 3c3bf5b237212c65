/** The NBD server against clients that keep to the protocol, and others that do not. */
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MIB } from '../../src/core/units.ts';
import { NbdServer } from '../../src/points/nbd/nbdServer.ts';
import { OverlayExport, overlayBaseOf } from '../../src/points/nbd/overlayExport.ts';
import {
  COMMAND,
  COMMAND_FLAGS,
  NBD_ERROR,
  OPTION,
  OPTION_REPLY,
  TRANSMISSION_FLAGS,
} from '../../src/points/nbd/protocol.ts';
import { CLUSTER_BYTES } from '../../src/points/overlay/clusterMap.ts';
import { OpenOverlay } from '../../src/points/overlay/overlayFiles.ts';
import { noise } from '../helpers/bytes/random.ts';
import { FaultyFiles } from '../helpers/faults/faultyFiles.ts';
import { MemoryDisk } from '../helpers/nbd/memoryDisk.ts';
import { encodeGo, encodeOption, encodeRequest, RawClient } from '../helpers/nbd/rawClient.ts';
import { useTempFolder } from '../helpers/tempFolder.ts';

const SIZE_BYTES = 40 * MIB + 512;
const MAX_BYTES = 32 * MIB;
const NOT_SENT = 9;

const folder = useTempFolder();
let disk: MemoryDisk;
let overlay: OpenOverlay;
let server: NbdServer;
let problems: string[];

beforeEach(start);
afterEach(stop);

async function start(): Promise<void> {
  problems = [];
  const content = Buffer.alloc(SIZE_BYTES);
  noise('disk', MIB).copy(content, 0);
  disk = new MemoryDisk('disk', content);
  const base = new MemoryDisk('writable', content);
  overlay = await OpenOverlay.open(overlayBaseOf(base), {
    folder: folder.path('overlays'),
    keep: true,
    identity: { pointId: 'point', diskId: 'disk', sizeBytes: SIZE_BYTES },
  });
  server = await NbdServer.start({
    exports: [disk, new OverlayExport(base, overlay.overlay, overlay.folder)],
    address: { socket: folder.path('s') },
    onProblem: (text) => problems.push(text),
  });
}

async function stop(): Promise<void> {
  await server.close();
  await overlay.close().catch(() => {});
}

async function open(name = 'writable', isStructured = true): Promise<RawClient> {
  return await RawClient.open({ path: folder.path('s') }, name, isStructured);
}

/** A client still gets the right bytes. */
async function expectAlive(): Promise<void> {
  const client = await open('disk');
  const { error, bytes } = await client.read(1000, 3000);
  expect(error).toBe(0);
  expect(bytes.equals(disk.content.subarray(1000, 4000))).toBe(true);
  client.destroy();
}

describe('flags', () => {
  const { readOnly, sendFlush, sendFua, sendTrim, sendWriteZeroes, sendFastZero, canMultiConn } =
    TRANSMISSION_FLAGS;
  const writes = sendFlush | sendFua | sendTrim | sendWriteZeroes | sendFastZero;

  it('of a read-only export say so', async () => {
    const client = await open('disk');
    expect(client.flags & (readOnly | writes | canMultiConn)).toBe(readOnly | canMultiConn);
    client.destroy();
  });

  it('of a writable export name what it can', async () => {
    const client = await open('writable');
    expect(client.flags & (readOnly | writes | canMultiConn)).toBe(writes | canMultiConn);
    client.destroy();
  });
});

describe.each([
  ['structured', true],
  ['simple', false],
])('requests with %s replies', (_what, isStructured) => {
  it('write, zero and discard what other connections then read', async () => {
    const [writer, reader] = [
      await open('writable', isStructured),
      await open('writable', isStructured),
    ];
    const model = Buffer.from(disk.content);
    const big = noise('big', 3 * MIB + 77);
    expect(await writer.write(12_345, big)).toMatchObject({ error: 0 });
    big.copy(model, 12_345);
    expect(await writer.write(SIZE_BYTES - 3, Buffer.from('end'), COMMAND_FLAGS.fua)).toMatchObject(
      { error: 0 },
    );
    model.write('end', SIZE_BYTES - 3);
    for (const [command, flags, offset, length] of [
      [COMMAND.trim, 0, 100, 10],
      [COMMAND.trim, COMMAND_FLAGS.fua, CLUSTER_BYTES, 3 * CLUSTER_BYTES],
      [COMMAND.writeZeroes, 0, 700_001, 200_000],
      [COMMAND.writeZeroes, COMMAND_FLAGS.noHole, MIB, MIB + 5],
      [COMMAND.writeZeroes, COMMAND_FLAGS.fastZero, 3 * MIB - 9, 2 * CLUSTER_BYTES],
    ] as const) {
      expect(await writer.request({ command, flags, offset, length })).toMatchObject({ error: 0 });
      model.fill(0, offset, offset + length);
    }
    expect(await writer.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });

    const { bytes } = await reader.read(0, 5 * MIB);
    expect(bytes.equals(model.subarray(0, 5 * MIB))).toBe(true);
    expect((await reader.read(SIZE_BYTES - 10, 10)).bytes).toEqual(model.subarray(-10));
    expect(disk.content.subarray(0, 3).equals(noise('disk', 3))).toBe(true);
    expect(server.served).toMatchObject({ clients: 2, clientsInAll: 2, failures: 0 });
    expect(server.served.bytesWritten).toBe(big.length + 3);
    writer.destroy();
    reader.destroy();
  });

  it.each([
    ['a read beyond the disk', COMMAND.read, 0, SIZE_BYTES - 1, 2, NBD_ERROR.einval],
    ['a read of 4 GiB', COMMAND.read, 0, 0, 0xffffffff, NBD_ERROR.einval],
    ['a read at 2^64', COMMAND.read, 0, 2n ** 64n - 1n, 1, NBD_ERROR.einval],
    ['a read of more than 32 MiB', COMMAND.read, 0, 0, MAX_BYTES + 1, NBD_ERROR.eoverflow],
    ['a discard beyond the disk', COMMAND.trim, 0, SIZE_BYTES, 1, NBD_ERROR.einval],
    ['zeros beyond the disk', COMMAND.writeZeroes, 0, SIZE_BYTES, 1, NBD_ERROR.enospc],
    ['zeros that are not fast', COMMAND.writeZeroes, 16, 5, 10, NBD_ERROR.enotsup],
    ['fast zeros that take space', COMMAND.writeZeroes, 18, 0, MIB, NBD_ERROR.enotsup],
    ['flags that nobody knows', COMMAND.read, 0x40, 0, 1, NBD_ERROR.einval],
    ['a flag of another command', COMMAND.trim, 2, 0, 1, NBD_ERROR.einval],
    ['an unknown command', NOT_SENT, 0, 0, 0, NBD_ERROR.einval],
  ])('refuse %s', async (_case, command, flags, offset, length, error) => {
    const client = await open('writable', isStructured);

    expect(await client.request({ command, flags, offset, length })).toMatchObject({ error });
    expect(await client.read(0, 10)).toMatchObject({ error: 0 });
    expect(problems).toEqual([]);
    client.destroy();
  });

  it('drop the payload of a write that is refused, and go on', async () => {
    const [client, reader] = [
      await open('writable', isStructured),
      await open('disk', isStructured),
    ];

    expect(await reader.write(0, noise('refused', MIB))).toMatchObject({ error: NBD_ERROR.eperm });
    expect(await client.write(SIZE_BYTES - 1, Buffer.alloc(2))).toMatchObject({
      error: NBD_ERROR.enospc,
    });
    expect(await client.write(2n ** 64n - 1n, Buffer.alloc(600_000))).toMatchObject({
      error: NBD_ERROR.enospc,
    });
    expect(await client.write(0, Buffer.alloc(MAX_BYTES + 1))).toMatchObject({
      error: NBD_ERROR.einval,
    });
    expect(await client.write(0, Buffer.alloc(10), 0x80)).toMatchObject({
      error: NBD_ERROR.einval,
    });
    for (const one of [client, reader]) {
      const { bytes } = await one.read(0, 100);
      expect(bytes.equals(disk.content.subarray(0, 100))).toBe(true);
      one.destroy();
    }
    expect(overlay.overlay.size.dataBytes).toBe(0);
  });

  it('of no bytes do nothing', async () => {
    const client = await open('writable', isStructured);
    for (const command of [COMMAND.read, COMMAND.write, COMMAND.trim, COMMAND.writeZeroes]) {
      expect(await client.request({ command, offset: SIZE_BYTES })).toMatchObject({ error: 0 });
    }
    expect(overlay.overlay.size).toEqual({ dataBytes: 0, zeroBytes: 0 });
    client.destroy();
  });
});

describe('many requests at the same time', () => {
  it('write into one cluster without losing a byte', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, async () => await open()));
    const model = Buffer.from(disk.content.subarray(0, CLUSTER_BYTES));
    const total = 512;
    for (let k = 0; k < total; k++) {
      const bytes = noise(k, 100);
      bytes.copy(model, k * 128);
      clients[k % clients.length]?.send(
        { command: COMMAND.write, offset: k * 128, length: bytes.length },
        bytes,
      );
    }
    for (let k = 0; k < total; k++) {
      const reply = await clients[k % clients.length]?.reply({ command: COMMAND.write });
      expect(reply?.error).toBe(0);
    }
    const { bytes } = (await clients[0]?.read(0, CLUSTER_BYTES)) ?? {};
    expect(bytes?.equals(model)).toBe(true);
    for (const client of clients) client.destroy();
  });

  it('tell the extents of the point and of the overlay as one list', async () => {
    const client = await open();
    await client.write(20 * MIB, Buffer.from('x'));
    await client.request({ command: COMMAND.writeZeroes, offset: 0, length: CLUSTER_BYTES });
    const { bytes } = await client.request({
      command: COMMAND.blockStatus,
      offset: 0,
      length: SIZE_BYTES,
    });
    const found: number[][] = [];
    for (let at = 0; at < bytes.length; at += 8) {
      found.push([bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4)]);
    }

    expect(found).toEqual([
      [CLUSTER_BYTES, 3],
      [MIB - CLUSTER_BYTES, 0],
      [19 * MIB, 3],
      [CLUSTER_BYTES, 0],
      [SIZE_BYTES - 20 * MIB - CLUSTER_BYTES, 3],
    ]);
    client.destroy();
  });
});

describe('a point that is damaged under its clients', () => {
  it('is one message, however often it is read', async () => {
    const client = await open('disk');
    disk.damage = 'block 0 is damaged';
    for (let k = 0; k < 50; k++) {
      expect(await client.read(0, 10)).toMatchObject({ error: NBD_ERROR.eio });
    }
    disk.damage = undefined;

    expect(await client.read(0, 10)).toMatchObject({ error: 0 });
    expect(problems).toEqual(['disk: block 0 is damaged']);
    expect(server.served.failures).toBe(50);
    client.destroy();
  });

  it('has at most twenty messages and one more', async () => {
    const client = await open('disk');
    for (let k = 0; k < 50; k++) {
      disk.damage = `block ${k} is damaged`;
      await client.read(0, 10);
    }
    disk.damage = undefined;

    expect(problems).toHaveLength(21);
    expect(problems.at(-1)).toBe('disk: more problems are only counted');
    client.destroy();
  });
});

describe('a full volume under the overlay', () => {
  it('is ENOSPC for the client and one message, and later requests work', async () => {
    await stop();
    const files = await FaultyFiles.install(folder.path('overlays'));
    try {
      await start();
      const client = await open();
      files.failWhere((name) => (name === 'writev' ? 'ENOSPC' : undefined));
      for (let k = 0; k < 3; k++) {
        expect(await client.write(k * MIB, noise(k, 2 * MIB))).toMatchObject({
          error: NBD_ERROR.enospc,
        });
      }
      expect(await client.read(0, 10)).toMatchObject({ error: 0 });
      files.failWhere(() => undefined);
      expect(await client.write(0, Buffer.from('room'))).toMatchObject({ error: 0 });
      expect((await client.read(0, 4)).bytes.toString()).toBe('room');
      expect(await client.request({ command: COMMAND.flush })).toMatchObject({ error: 0 });
      expect(problems).toEqual([`writable: no space left for the overlay in ${overlay.folder}`]);
      client.destroy();
    } finally {
      files.uninstall();
    }
  });
});

describe('negotiation', () => {
  it.each([
    ['another magic', Buffer.from('0000000349484156454f50550000000300000000', 'hex')],
    ['unknown flags', Buffer.from('ffffffff', 'hex')],
    ['an option of 4 GiB', Buffer.from('0000000349484156454f505400000003ffffffff', 'hex')],
    [
      'the name of no export',
      Buffer.concat([Buffer.from([0, 0, 0, 3]), encodeOption(OPTION.exportName, Buffer.from('?'))]),
    ],
  ])('breaks off a client that sends %s', async (_what, bytes) => {
    const client = await RawClient.connect({ path: folder.path('s') });
    client.socket.resume().write(bytes);

    await client.closed();
    await expectAlive();
  });

  it.each([
    ['an unknown option', 77, Buffer.alloc(10), OPTION_REPLY.unsupported],
    ['extended headers', 11, Buffer.alloc(0), OPTION_REPLY.unsupported],
    ['TLS, which is off', OPTION.startTls, Buffer.alloc(0), OPTION_REPLY.unsupported],
    ['a list with data', OPTION.list, Buffer.alloc(1), OPTION_REPLY.invalid],
    ['half an option', OPTION.go, Buffer.from([0, 0, 0, 9, 1]), OPTION_REPLY.invalid],
    ['an unknown name', OPTION.go, encodeGo('?'), OPTION_REPLY.unknown],
    ['contexts too early', OPTION.setMetaContext, encodeGo('disk'), OPTION_REPLY.invalid],
  ])('answers %s, and goes on', async (_what, code, data, type) => {
    const client = await RawClient.connect({ path: folder.path('s') });
    client.sendFlags();

    expect((await client.option(code, data)).at(-1)).toMatchObject({ code, type });
    await client.choose('disk');
    expect(await client.read(0, 10)).toMatchObject({ error: 0 });
    client.destroy();
  });

  it('waits for a client that reads no answers', async () => {
    const socket = connect(folder.path('s')).on('error', () => {});
    await once(socket, 'connect');
    socket.write(Buffer.from([0, 0, 0, 3]));
    const flood = Buffer.concat(Array.from({ length: 4096 }, () => encodeOption(OPTION.list)));
    let isFull = false;
    for (let k = 0; k < 200 && !isFull; k++) {
      isFull = !socket.write(flood);
      await new Promise((resolve) => setImmediate(resolve));
    }

    // The server stopped reading, so the client's own buffer fills.
    expect(isFull).toBe(true);
    await expectAlive();
    socket.destroy();
  });
});

describe('clients that stop in the middle', () => {
  it.each([
    ['half a request', encodeRequest({ command: COMMAND.read, length: 10 }).subarray(0, 20)],
    ['a write without its payload', encodeRequest({ command: COMMAND.write, length: MIB })],
    [
      'a write with half of its payload',
      Buffer.concat([encodeRequest({ command: COMMAND.write, length: MIB }), noise(1, 300_000)]),
    ],
    ['rubbish', Buffer.alloc(28, 'x')],
  ])('with %s do not disturb others', async (_what, bytes) => {
    const client = await open();
    client.socket.write(bytes);
    await expectAlive();
    client.socket.end();
    await client.closed();
    await expectAlive();

    // The server sees the end of a connection a moment after its client.
    await vi.waitFor(() => expect(server.served.clients).toBe(0), { timeout: 20_000 });
  });

  it('and never read hold little memory, and do not stop others', async () => {
    const before = process.memoryUsage().rss;
    const clients = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const client = await open('disk');
        client.reader.detach();
        for (let k = 0; k < 64; k++) {
          client.send({ command: COMMAND.read, offset: 0, length: MAX_BYTES });
        }
        return client;
      }),
    );
    await expectAlive();

    expect(process.memoryUsage().rss - before).toBeLessThan(300 * MIB);
    for (const client of clients) client.destroy();
  });

  it('200 at the same time: those above the limit are refused, others served', async () => {
    const sockets = Array.from({ length: 200 }, () => connect(folder.path('s')));
    const outcomes = await Promise.all(
      sockets.map(
        async (socket) =>
          await new Promise<'greeted' | 'refused'>((resolve) => {
            socket.on('error', () => {});
            socket.once('data', () => resolve('greeted'));
            socket.once('close', () => resolve('refused'));
          }),
      ),
    );

    expect(outcomes.filter((one) => one === 'greeted')).toHaveLength(128);
    expect(problems).toEqual(['clients: 128 are connected; more are refused']);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map(async (one) => one.closed || (await once(one, 'close'))));
    await expectAlive();
  });

  it.skipIf(process.platform !== 'linux')('are probed when they are silent', async () => {
    const listening = await NbdServer.start({
      exports: [disk],
      address: { host: '127.0.0.1', port: 0 },
    });
    const port = Number(new URL(listening.uris[0] ?? '').port);
    const client = await RawClient.open({ host: '127.0.0.1', port });
    const ofServer = new RegExp(
      `^ *\\d+: 0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} \\S+ 01 \\S+ (\\d\\d):`,
      'm',
    );
    // Timer 02 of the kernel is the one that keeps a connection alive.
    expect(ofServer.exec(readFileSync('/proc/net/tcp', 'utf8'))?.[1]).toBe('02');
    client.destroy();
    await listening.close();
  });

  it('get answers to what is under way when the server ends, and ESHUTDOWN for more', async () => {
    const gate = new EventEmitter();
    disk.held = once(gate, 'open').then(() => {});
    const client = await open('disk');
    client.send({ command: COMMAND.read, length: 10, cookie: 1 });
    // The reply to another request tells that the first one was read.
    await client.request({ command: COMMAND.flush });
    const closing = server.close();
    const late = await client.write(0, Buffer.from('late'));
    gate.emit('open');
    const early = await client.reply({ command: COMMAND.read, length: 10 });
    await closing;
    await client.closed();

    expect(late).toMatchObject({ error: NBD_ERROR.eshutdown });
    expect(early).toMatchObject({ cookie: 1, error: 0, bytes: disk.content.subarray(0, 10) });
  });

  it('see the end of the server, which flushes what they wrote', async () => {
    const client = await open();
    await client.write(0, Buffer.from('last words'));
    await server.close();
    await client.closed();
    await overlay.close();
    const again = await OpenOverlay.open(overlayBaseOf(disk), {
      folder: folder.path('overlays'),
      keep: true,
      identity: { pointId: 'point', diskId: 'disk', sizeBytes: SIZE_BYTES },
    });

    expect((await again.overlay.read(0, 10)).toString()).toBe('last words');
    await again.close();
  });
});
