import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RangePool } from '../../../src/ovirt/imageio/rangePool.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const temp = useTempFolder();
const BYTES = 8;

let server: Server;
let sockets: Socket[];
/** Answers a request that came over a connection. */
let answerTo: (socket: Socket, request: string) => void;

function good(request: string, header = ''): string {
  const [, from = '', to = ''] = /bytes=(\d+)-(\d+)/.exec(request) ?? [];
  return (
    `HTTP/1.1 206 Partial Content\r\ncontent-range: bytes ${from}-${to}/*\r\n` +
    `content-length: ${BYTES}\r\n${header}\r\n${from.padStart(BYTES, '0')}`
  );
}

beforeEach(async () => {
  sockets = [];
  answerTo = (socket, request) => socket.write(good(request));
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (bytes) => answerTo(socket, bytes.toString('latin1')));
  });
  server.listen(temp.path('server'));
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.close();
});

function makePool(limit: number, readMs = 10_000): RangePool {
  const url = new URL('http://localhost/images/ticket');
  const socketPath = temp.path('server');
  return new RangePool({ url, caPem: undefined, connectMs: 10_000, readMs, socketPath }, limit);
}

async function read(pool: RangePool, offsetBytes: number, signal?: AbortSignal): Promise<string> {
  const target = Buffer.alloc(BYTES);
  const range = { offsetBytes, lengthBytes: BYTES, targets: [target] };
  await pool.fetch(range, 'read', signal);
  return target.toString();
}

describe('ranges of a pool', () => {
  it('come over one connection when they are asked for one after the other', async () => {
    const pool = makePool(4);

    expect([await read(pool, 5), await read(pool, 77)]).toEqual(['00000005', '00000077']);

    expect(sockets.length).toBe(1);
    pool.close();
  });

  it('use no more connections than allowed, and all of them', async () => {
    const pool = makePool(3);
    const offsets = Array.from({ length: 20 }, (_, k) => k * BYTES);

    const texts = await Promise.all(offsets.map((offset) => read(pool, offset)));

    expect(texts.map(Number)).toEqual(offsets);
    expect(sockets.length).toBe(3);
    pool.close();
  });

  it('are asked for with the path, the host and the range', async () => {
    const requests: string[] = [];
    answerTo = (socket, request) => {
      requests.push(request);
      socket.write(good(request));
    };
    const pool = makePool(1);

    await read(pool, 16);

    expect(requests).toEqual([
      'GET /images/ticket HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive\r\nrange: bytes=16-23\r\n\r\n',
    ]);
    pool.close();
  });

  it.each([
    [
      'says that it closes',
      (socket: Socket, text: string) => socket.write(good(text, 'connection: close\r\n')),
    ],
    ['closes', (socket: Socket, text: string) => socket.end(good(text))],
  ])('come over a new connection after the server %s', async (_what, answer) => {
    const pool = makePool(1);
    const first = answerTo;
    answerTo = answer;
    await read(pool, 1);
    answerTo = first;
    await expect.poll(() => sockets[0]?.destroyed).toBe(true);

    expect(await read(pool, 2)).toBe('00000002');
    expect(sockets.length).toBe(2);
    pool.close();
  });
});

function cut(socket: Socket, text: string): void {
  socket.write(good(text).slice(0, -2), () => socket.destroy());
}

describe('a failure', () => {
  it.each([
    ['is cut off', cut, 'UND_ERR_SOCKET'],
    ['has no answer', (socket: Socket) => socket.end(), 'UND_ERR_SOCKET'],
    ['is never answered', () => {}, 'UND_ERR_HEADERS_TIMEOUT'],
    [
      'stops in the middle',
      (socket: Socket, text: string) => socket.write(good(text).slice(0, -2)),
      'UND_ERR_BODY_TIMEOUT',
    ],
    ['is no HTTP', (socket: Socket) => socket.write('220 mail\r\n\r\n'), 'TRANSFER_BAD_ANSWER'],
  ])('of a range that %s has a code, and the next range is read', async (_what, answer, code) => {
    const pool = makePool(1, 200);
    const first = answerTo;
    answerTo = answer;

    await expect(read(pool, 1)).rejects.toMatchObject({ code });

    answerTo = first;
    expect(await read(pool, 2)).toBe('00000002');
    pool.close();
  });

  it('to connect has a code', async () => {
    const url = new URL('http://localhost/images/ticket');
    const socketPath = temp.path('nobody');
    const options = { url, caPem: undefined, connectMs: 1000, readMs: 1000, socketPath };

    await expect(read(new RangePool(options, 1), 0)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('in a rest closes the connection that the server talked to unasked', async () => {
    const pool = makePool(1);
    await read(pool, 1);

    sockets[0]?.write('HTTP/1.1 206 Partial Content\r\n\r\n');
    await expect.poll(() => sockets[0]?.destroyed).toBe(true);

    expect(await read(pool, 2)).toBe('00000002');
    pool.close();
  });
});

describe('the end', () => {
  it('by an abort leaves the memory of the range alone', async () => {
    const pool = makePool(1);
    const controller = new AbortController();
    const target = Buffer.alloc(BYTES, '.');
    let late: (() => void) | undefined;
    answerTo = (socket, request) => {
      late = () => socket.write(good(request));
      controller.abort(new Error('enough'));
    };
    const range = { offsetBytes: 0, lengthBytes: BYTES, targets: [target] };

    await expect(pool.fetch(range, 'read', controller.signal)).rejects.toThrow('enough');

    late?.();
    await expect.poll(() => sockets[0]?.destroyed).toBe(true);
    expect(target.toString()).toBe('........');
    pool.close();
  });

  it('fails what is under way and what waits, and nothing is opened afterwards', async () => {
    answerTo = () => {};
    const pool = makePool(1);
    const reads = [read(pool, 0), read(pool, 8), read(pool, 16)];
    const ended = Promise.allSettled(reads);
    await expect.poll(() => sockets.length).toBe(1);

    pool.close();

    expect((await ended).map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
    await expect(read(pool, 0)).rejects.toMatchObject({ code: 'UND_ERR_DESTROYED' });
    expect(sockets.length).toBe(1);
  });

  it.each([1, 2, 3, 4])('%i turns before a request is sent fails it', async (turns) => {
    const pool = makePool(1);
    await read(pool, 0);
    const reading = read(pool, 8);
    reading.catch(() => {});
    for (let k = 0; k < turns; k++) await Promise.resolve();

    pool.close();

    await expect(reading).rejects.toMatchObject({ code: expect.stringMatching(/^UND_ERR/) });
  });

  it('while a connection opens fails its request', async () => {
    const pool = makePool(1);
    const reading = read(pool, 0);
    // The request has its connection now.
    await Promise.resolve();

    pool.close();

    await expect(reading).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
  });
});
