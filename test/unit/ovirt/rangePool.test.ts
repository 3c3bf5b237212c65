import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { RangePool } from '../../../src/ovirt/imageio/rangePool.ts';
import { MIB } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import { type RangeRequest, RangeServer, textAnswer } from '../../helpers/lab/rangeServer.ts';
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

function makeWriter(limit = 1, readMs = 10_000): RangePool {
  const url = new URL('http://localhost/images/ticket');
  const socketPath = temp.path('image');
  const options = { url, caPem: undefined, connectMs: 10_000, readMs, socketPath };
  const pool = new RangePool(options, limit);
  onTestFinished(() => pool.close());
  return pool;
}

const stopReading = ({ socket }: RangeRequest): void => void socket.pause();

describe('a write', () => {
  const LARGE = noise('large', 2 * MIB);
  let image: RangeServer;

  beforeEach(async () => {
    image = await RangeServer.start(Buffer.alloc(3 * MIB), { path: temp.path('image') });
  });
  afterEach(() => image.close());

  /** The server takes what was sent: the start of the bytes before they were changed. */
  async function expectStart(sent: Buffer): Promise<void> {
    const [request] = image.requests;
    request?.socket.resume();
    await expect.poll(() => request?.socket.destroyed).toBe(true);
    expect(request?.body.equals(sent.subarray(0, request.body.length))).toBe(true);
  }

  it.each([1, 65_537, 2 * MIB])('of %i B arrives exactly', async (lengthBytes) => {
    const bytes = LARGE.subarray(0, lengthBytes);

    const answer = await makeWriter().put(bytes, 513, 'write', undefined);

    expect(answer).toMatchObject({ status: 200, isRange: false, text: '' });
    const expected = Buffer.alloc(3 * MIB);
    bytes.copy(expected, 513);
    expect(image.image.equals(expected)).toBe(true);
    expect(image.requests.map(({ head }) => head.split('\r\n'))).toEqual([
      [
        'PUT /images/ticket?flush=n HTTP/1.1',
        'host: localhost',
        'connection: keep-alive',
        'content-type: application/octet-stream',
        `content-length: ${lengthBytes}`,
        `content-range: bytes 513-${512 + lengthBytes}/*`,
      ],
    ]);
  });

  it('after another uses no more connections than allowed, and all of them', async () => {
    const pool = makeWriter(3);
    const offsets = Array.from({ length: 12 }, (_, k) => k * 1000);

    await Promise.all(
      offsets.map((at) => pool.put(LARGE.subarray(at, at + 1000), at, 'write', undefined)),
    );

    expect(image.image.subarray(0, 12_000).equals(LARGE.subarray(0, 12_000))).toBe(true);
    expect(image.sockets.length).toBe(3);
  });

  it.each<[string, (request: RangeRequest) => void]>([
    ['waits', () => {}],
    ['ends its side', ({ socket }) => socket.end()],
  ])('that is refused early by a server that then %s returns the text', async (_what, then) => {
    image.onHead = (request) => {
      stopReading(request);
      request.socket.write(textAnswer(403, 'no such ticket'));
      then(request);
    };
    const bytes = Buffer.from(LARGE);
    const pool = makeWriter();

    const answer = await pool.put(bytes, 0, 'write', undefined);
    bytes.fill(0);

    expect(answer).toMatchObject({ status: 403, text: 'no such ticket' });
    await expectStart(LARGE);
    image.onHead = () => {};
    expect((await pool.put(LARGE, 0, 'write', undefined)).status).toBe(200);
    expect(image.sockets.length).toBe(2);
  });

  it('that is refused at its end keeps the connection', async () => {
    image.answer = ({ socket }) => socket.write(textAnswer(507, 'no space left'));
    const pool = makeWriter();

    const answer = await pool.put(LARGE, 0, 'write', undefined);

    expect(answer).toMatchObject({ status: 507, text: 'no space left' });
    await pool.put(LARGE, 0, 'write', undefined);
    expect(image.sockets.length).toBe(1);
  });

  it.each<[string, (request: RangeRequest) => void, RegExp]>([
    ['has no answer', ({ socket }) => socket.end(), /^UND_ERR_SOCKET$/],
    ['is cut', ({ socket }) => socket.destroy(), /^(UND_ERR_SOCKET|EPIPE|ECONNRESET)$/],
    ['is no HTTP', ({ socket }) => socket.write('220 mail\r\n\r\n'), /^TRANSFER_BAD_ANSWER$/],
  ])('that %s has a code, and the next one works', async (_what, answer, code) => {
    const pool = makeWriter();
    const first = image.answer;
    image.answer = answer;

    const writing = pool.put(LARGE, 0, 'write', undefined);
    await expect(writing).rejects.toMatchObject({ code: expect.stringMatching(code) });

    image.answer = first;
    expect((await pool.put(LARGE, 0, 'write', undefined)).status).toBe(200);
  });

  it('that is cut in its body has a code', async () => {
    image.onHead = ({ socket }) => socket.destroy();
    const code = expect.stringMatching(/^(UND_ERR_SOCKET|EPIPE|ECONNRESET)$/);

    await expect(makeWriter().put(LARGE, 0, 'write', undefined)).rejects.toMatchObject({ code });
  });

  it.each<[string, () => void]>([
    ['is not answered', () => void (image.answer = () => {})],
    ['is not taken', () => void (image.onHead = stopReading)],
  ])('that %s times out, and leaves the memory alone', async (_what, makeSilent) => {
    makeSilent();
    const bytes = Buffer.from(LARGE);

    const writing = makeWriter(1, 100).put(bytes, 0, 'write', undefined);
    await expect(writing).rejects.toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    bytes.fill(0);

    await expectStart(LARGE);
  });

  it('that is aborted ends. Its memory may be changed at once', async () => {
    const controller = new AbortController();
    image.onHead = (request) => {
      stopReading(request);
      controller.abort(new Error('enough'));
    };
    const bytes = Buffer.from(LARGE);
    const pool = makeWriter();

    await expect(pool.put(bytes, 0, 'write', controller.signal)).rejects.toThrow('enough');
    bytes.fill(0);

    await expectStart(LARGE);
    image.onHead = () => {};
    expect((await pool.put(LARGE, 0, 'write', undefined)).status).toBe(200);
  });

  it('that was aborted before is not sent', async () => {
    const signal = AbortSignal.abort(new Error('enough'));

    await expect(makeWriter().put(LARGE, 0, 'write', signal)).rejects.toThrow('enough');

    expect(image.requests).toEqual([]);
  });

  it('fails at the end of the pool, also one that waits', async () => {
    image.onHead = stopReading;
    const pool = makeWriter();
    const writes = [0, 1, 2].map((at) => pool.put(LARGE, at, 'write', undefined));
    const ended = Promise.allSettled(writes);
    await expect.poll(() => image.requests.length).toBe(1);

    pool.close();

    expect((await ended).map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
    image.requests[0]?.socket.resume();
    await expect.poll(() => image.openCount).toBe(0);
    expect(image.sockets.length).toBe(1);
  });
});
