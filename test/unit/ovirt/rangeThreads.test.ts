/**
 * Threads that move ranges between a server and the slab: bytes, fingerprints, failures, aborts and
 * ends. The server decides on each byte of its answers.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { Worker } from 'node:worker_threads';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  it,
  onTestFinished,
  vi,
} from 'vitest';
import { createLabAuthority } from '../../../lab/src/http/certificates.ts';
import { type BlockCodecs, createBlockCodecs } from '../../../src/compute/blockCodecs.ts';
import { compileSlabKernels } from '../../../src/compute/kernels/slabKernels.ts';
import { fingerprintStateOffset } from '../../../src/compute/resultRecord.ts';
import { BackupError } from '../../../src/core/errors.ts';
import { createSlab, type Slab, type Slot } from '../../../src/flow/slab.ts';
import { ImageioClient } from '../../../src/ovirt/imageio/imageioClient.ts';
import type { RangeConnectionOptions } from '../../../src/ovirt/imageio/rangeConnection.ts';
import type { RangeResult, SlabTarget } from '../../../src/ovirt/imageio/rangeThread.ts';
import { RangeThreads, type ThreadedImage } from '../../../src/ovirt/imageio/rangeThreads.ts';
import { describeFailure } from '../../../src/ovirt/networkFailure.ts';
import { DEFAULT_TIMINGS } from '../../../src/ovirt/timings.ts';
import { KIB, MIB } from '../../helpers/bytes/images.ts';
import { noise } from '../../helpers/bytes/random.ts';
import {
  rangeAnswer,
  type RangeRequest,
  RangeServer,
  textAnswer,
} from '../../helpers/lab/rangeServer.ts';
import { useTempFolder } from '../../helpers/tempFolder.ts';

const TICKET = '5d0fa3-secret-ticket';
const BLOCK_BYTES = MIB;
/** Content of slots that nothing was read into. */
const UNTOUCHED = Buffer.alloc(BLOCK_BYTES, '.');
const { xxh64 } = compileSlabKernels();
/** Limit of reads that get no answer. */
const SILENCE_MS = 100;

const temp = useTempFolder();
let codecs: BlockCodecs;
let slab: Slab;
let slots: readonly Slot[];
/** One thread for all tests that do not end their threads. */
let shared: RangeThreads;
let server: RangeServer;

beforeAll(async () => {
  codecs = await createBlockCodecs();
  slab = createSlab({ blockSizeBytes: BLOCK_BYTES, slabBytes: 8 * BLOCK_BYTES });
  const lease = slab.lease('pack');
  slots = await Promise.all(Array.from({ length: slab.rawCount }, () => lease.acquireRaw()));
  shared = new RangeThreads(() => ({ memory: slab.memory, xxh64 }), 1);
});
afterAll(() => shared.close());
beforeEach(async () => {
  for (const { bytes } of slots) UNTOUCHED.copy(bytes);
  server = await RangeServer.start(noise('image', 4 * MIB), { path: temp.path('server') });
});
afterEach(() => server.close());

function slotAt(index: number): Slot {
  const slot = slots[index];
  if (!slot) throw new Error(`the slab has ${slots.length} slots`);
  return slot;
}

/** Room at the start of a slot. */
function target(index: number, lengthBytes: number = BLOCK_BYTES): SlabTarget {
  const { bytes, slotIndex } = slotAt(index);
  const stateOffset = fingerprintStateOffset(slotIndex);
  return { placeOffset: bytes.byteOffset, lengthBytes, stateOffset };
}

function bytesOf({ placeOffset, lengthBytes }: SlabTarget): Buffer {
  return Buffer.from(Buffer.from(slab.memory.buffer, placeOffset, lengthBytes));
}

function hasOnly(slot: Slot, start: Uint8Array): boolean {
  const rest = slot.bytes.subarray(start.length);
  return slot.bytes.subarray(0, start.length).equals(start) && UNTOUCHED.includes(rest);
}

interface StartOptions {
  readonly count?: number;
  readonly kernel?: typeof xxh64;
}

function startThreads(options: StartOptions = {}): RangeThreads {
  const { count = 1 } = options;
  const kernel = 'kernel' in options ? options.kernel : xxh64;
  const threads = new RangeThreads(() => ({ memory: slab.memory, xxh64: kernel }), count);
  onTestFinished(() => threads.close());
  return threads;
}

interface OpenOptions extends Partial<RangeConnectionOptions> {
  readonly limit?: number;
  readonly threads?: RangeThreads;
}

function open({ limit = 1, threads = shared, ...others }: OpenOptions = {}): ThreadedImage {
  const options: RangeConnectionOptions = {
    url: new URL(`http://localhost/images/${TICKET}`),
    caPem: undefined,
    connectMs: 10_000,
    readMs: 10_000,
    socketPath: temp.path('server'),
    ...others,
  };
  const image = threads.open(options, limit);
  if (!image) throw new Error('no thread could be started');
  onTestFinished(() => image.close());
  return image;
}

async function read(
  image: ThreadedImage,
  targets: readonly SlabTarget[],
  offsetBytes: number,
  signal?: AbortSignal,
): Promise<RangeResult> {
  return await image.fetch(targets, offsetBytes, 'read', signal);
}

/** The error that `work` ends with. The ticket is nowhere in it. */
async function errorOf(work: Promise<unknown>): Promise<Error & { readonly code?: unknown }> {
  const error = await work.then(
    () => expect.unreachable('an error was expected'),
    (reason: unknown) => reason,
  );
  expect(inspect(error, { depth: 8, showHidden: true })).not.toContain(TICKET);
  return error as Error;
}

/** The next read of the image gets the right bytes. */
async function expectReads(image: ThreadedImage): Promise<void> {
  const last = slots.length - 1;
  server.answer = (request) => server.serve(request);
  const result = await read(image, [target(last, 700)], 999);
  expect(result).toMatchObject({ status: 206, receivedBytes: 700 });
  expect(bytesOf(target(last, 700))).toEqual(server.image.subarray(999, 1699));
}

/** Sends pieces that come apart: each has some time to be taken before the next one. */
async function sendPieces({ socket }: RangeRequest, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece);
    await pause(2);
  }
}

function split(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places, bytes.length];
  return ends.map((end, k) => bytes.subarray(ends[k - 1] ?? 0, end));
}

function wholeAnswer(request: RangeRequest): Buffer {
  const { offsetBytes, lengthBytes } = request;
  return rangeAnswer(request, server.image.subarray(offsetBytes, offsetBytes + lengthBytes));
}

describe('a read', () => {
  it('fills a target and returns the fingerprint of the block', async () => {
    const result = await read(open(), [target(0)], 4096);

    const expected = server.image.subarray(4096, 4096 + BLOCK_BYTES);
    expect(bytesOf(target(0)).equals(expected)).toBe(true);
    expect(result).toEqual({
      status: 206,
      isRange: true,
      receivedBytes: BLOCK_BYTES,
      text: '',
      fingerprints: [codecs.fingerprint(expected)],
    });
    expect(server.requests.map(({ head }) => head.split('\r\n'))).toEqual([
      [
        `GET /images/${TICKET} HTTP/1.1`,
        'host: localhost',
        'connection: keep-alive',
        `range: bytes=4096-${4096 + BLOCK_BYTES - 1}`,
      ],
    ]);
  });

  it('fills several targets from pieces that end anywhere', async () => {
    const lengths = [1, 31, 33, BLOCK_BYTES, 4097];
    const targets = lengths.map((lengthBytes, k) => target(k, lengthBytes));
    const totalBytes = lengths.reduce((sum, one) => sum + one, 0);
    server.answer = (request) => {
      const answer = wholeAnswer(request);
      const from = answer.length - totalBytes;
      const places = [1, 32, 33, 64, 65, 66, 5000, BLOCK_BYTES + 64, totalBytes - 1];
      const ends = places.map((place) => from + place);
      void sendPieces(request, split(answer, ends));
    };

    const result = await read(open(), targets, 12_345);

    let at = 12_345;
    for (const [k, lengthBytes] of lengths.entries()) {
      const expected = server.image.subarray(at, at + lengthBytes);
      at += lengthBytes;
      expect(hasOnly(slotAt(k), expected), `target ${k}`).toBe(true);
      expect(result.fingerprints[k], `fingerprint ${k}`).toBe(codecs.fingerprint(expected));
    }
    expect(result.receivedBytes).toBe(totalBytes);
  });

  it.each([
    ['in its first line', [1, 8, 12]],
    ['in a header', [40, 47]],
    ['within its end', [-4, -3, -2, -1]],
    ['right before the body', [0]],
    ['one byte into the body', [-2, 1]],
  ])('takes a head that is split %s', async (_where, places) => {
    server.answer = (request) => {
      const answer = wholeAnswer(request);
      const bodyFrom = answer.length - request.lengthBytes;
      const inside = (place: number): number => (place > 1 ? place : bodyFrom + place);
      const ends = places.map((place) => (place === 1 && places[0] === 1 ? 1 : inside(place)));
      void sendPieces(request, split(answer, ends));
    };

    const result = await read(open(), [target(0, 5000)], 77);

    const expected = server.image.subarray(77, 5077);
    expect(hasOnly(slotAt(0), expected)).toBe(true);
    expect(result.fingerprints).toEqual([codecs.fingerprint(expected)]);
  });

  it('takes a head that comes byte by byte', async () => {
    server.answer = (request) => {
      const answer = wholeAnswer(request);
      void sendPieces(request, split(answer, [...answer.keys()].slice(1, 110)));
    };

    await read(open(), [target(0, 300)], 5);

    expect(hasOnly(slotAt(0), server.image.subarray(5, 305))).toBe(true);
  });

  it('has the fingerprint 0 for zeros only, and none where none is wanted', async () => {
    server.image.fill(0, 0, 3 * KIB);
    server.image[2 * KIB - 1] = 1;
    const { stateOffset: _unused, ...place } = target(3, KIB);
    const targets = [target(0, KIB), target(1, KIB), target(2, KIB)];

    const result = await read(open(), [...targets, { ...place, stateOffset: undefined }], 0);

    const block = server.image.subarray(KIB, 2 * KIB);
    expect(result.fingerprints).toEqual([0n, codecs.fingerprint(block), 0n, undefined]);
  });

  it('has no fingerprints without the kernel', async () => {
    const threads = startThreads({ kernel: undefined });

    const result = await read(open({ threads }), [target(0, KIB)], 0);

    expect(result.fingerprints).toEqual([undefined]);
    expect(hasOnly(slotAt(0), server.image.subarray(0, KIB))).toBe(true);
  });

  it.each([
    [0, 0],
    [1, 0],
    [KIB - 1, 0],
    [KIB, 1],
    [2 * KIB + 100, 2],
    [3 * KIB - 1, 2],
  ])('of which %i B come has the fingerprints of %i filled targets', async (bytes, filled) => {
    server.answer = (request) => {
      request.socket.write(rangeAnswer(request, server.image.subarray(0, bytes)));
    };
    const targets = [0, 1, 2].map((k) => target(k, KIB));
    const image = open();

    const result = await read(image, targets, 0);

    expect(result).toMatchObject({ status: 206, isRange: true, receivedBytes: bytes });
    const expected = [0, 1, 2].map((k) => {
      if (k >= filled) return undefined;
      return codecs.fingerprint(server.image.subarray(k * KIB, (k + 1) * KIB));
    });
    expect(result.fingerprints).toEqual(expected);
    for (const k of [0, 1, 2]) {
      const came = server.image.subarray(
        k * KIB,
        Math.max(k * KIB, Math.min(bytes, (k + 1) * KIB)),
      );
      expect(hasOnly(slotAt(k), came), `target ${k}`).toBe(true);
    }
    await expectReads(image);
    expect(server.sockets.length).toBe(1);
  });

  it.each([
    [403, 'No such ticket'],
    [416, 'Requested range out of allowed range'],
    [500, ''],
    [503, 'x'.repeat(60_000)],
    [200, 'the whole image'],
  ])('that is refused with %i returns the text', async (status, text) => {
    server.answer = ({ socket }) => socket.write(textAnswer(status, text));
    const image = open();

    const result = await read(image, [target(0, KIB)], 0);

    expect(result).toEqual({
      status,
      isRange: false,
      receivedBytes: 0,
      text,
      fingerprints: [undefined],
    });
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
    await expectReads(image);
    expect(server.sockets.length).toBe(1);
  });

  it('over TLS gets the right bytes', async () => {
    const authority = createLabAuthority();
    const secure = await RangeServer.start(noise('tls', 2 * MIB), authority.issue());
    onTestFinished(() => secure.close());
    const url = new URL(`https://127.0.0.1:${secure.port}/images/${TICKET}`);
    const image = open({ url, caPem: authority.caPem, socketPath: undefined, limit: 2 });

    const [first, second] = await Promise.all([
      read(image, [target(0), target(1, 5)], 3),
      read(image, [target(2, 100_001)], BLOCK_BYTES),
    ]);

    const parts = [
      secure.image.subarray(3, 3 + BLOCK_BYTES),
      secure.image.subarray(3 + BLOCK_BYTES, 8 + BLOCK_BYTES),
      secure.image.subarray(BLOCK_BYTES, BLOCK_BYTES + 100_001),
    ];
    for (const [k, part] of parts.entries()) expect(hasOnly(slotAt(k), part)).toBe(true);
    const fingerprints = parts.map((part) => codecs.fingerprint(part));
    expect([...first.fingerprints, ...second.fingerprints]).toEqual(fingerprints);
  });
});

const RANGE_HEAD = 'HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-1023/*\r\n';

describe('an answer that is not understood', () => {
  it.each([
    ['is no HTTP', '220 mail\r\n\r\n'],
    ['is another range', textAnswer(206, 'x', 'content-range: bytes 1-1024/*\r\n')],
    ['names no range', textAnswer(206, 'x')],
    ['has no length', `${RANGE_HEAD}\r\nabc`],
    ['is chunked', `${RANGE_HEAD}transfer-encoding: chunked\r\n\r\n1\r\na\r\n`],
    ['has two lengths', textAnswer(206, 'x', `content-length: 2\r\n`)],
    ['has a length of no number', `${RANGE_HEAD}content-length: -1\r\n\r\n`],
    ['has an endless head', `HTTP/1.1 206 Any\r\n${'x-more: y\r\n'.repeat(4000)}`],
    ['has a longer body', `${RANGE_HEAD}content-length: 1025\r\n\r\n${'x'.repeat(1025)}`],
  ])('because it %s fails the read, and the next one works', async (_what, answer) => {
    server.answer = ({ socket }) => socket.write(answer);
    const image = open();

    const error = await errorOf(read(image, [target(0, KIB)], 0));

    expect(error).toBeInstanceOf(BackupError);
    expect(error).toMatchObject({ code: 'TRANSFER_BAD_ANSWER', retryable: false });
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
    await expect.poll(() => server.sockets[0]?.destroyed).toBe(true);
    await expectReads(image);
  });

  it.each([
    ['a few bytes', KIB, 5],
    ['a few bytes after a large body', BLOCK_BYTES, 5],
    ['a MiB', BLOCK_BYTES, MIB],
  ])('because %s follow it is not written beyond its range', async (_what, bytes, moreBytes) => {
    server.answer = (request) => {
      request.socket.write(Buffer.concat([wholeAnswer(request), Buffer.alloc(moreBytes, '!')]));
    };
    const image = open();

    // The further bytes may come with the body or after it.
    const outcome = await read(image, [target(0, bytes)], 0).then(
      ({ receivedBytes }) => receivedBytes,
      (error: unknown) => (error as BackupError).code,
    );

    expect([bytes, 'TRANSFER_BAD_ANSWER']).toContain(outcome);
    await expect.poll(() => server.sockets[0]?.destroyed).toBe(true);
    expect(slotAt(0).bytes.subarray(bytes).includes('!')).toBe(false);
    for (const slot of slots.slice(1)) expect(hasOnly(slot, Buffer.alloc(0))).toBe(true);
    await expectReads(image);
  });
});

function halfAnswer(request: RangeRequest): Buffer {
  const answer = wholeAnswer(request);
  return answer.subarray(0, answer.length - request.lengthBytes / 2);
}

describe('a failure of the network', () => {
  it.each<[string, (request: RangeRequest) => void]>([
    [
      'is cut in the body',
      (request) => request.socket.write(halfAnswer(request), () => request.socket.destroy()),
    ],
    [
      'is cut in the head',
      ({ socket }) => socket.write('HTTP/1.1 206 Par', () => socket.destroy()),
    ],
    ['ends without an answer', ({ socket }) => socket.end()],
  ])('in a read that %s has a code, and the next read works', async (_what, answer) => {
    server.answer = answer;
    const image = open();

    const error = await errorOf(read(image, [target(0, KIB)], 0));

    const failure = { reason: 'UND_ERR_SOCKET', isTls: false, isUnsent: false };
    expect(describeFailure(error)).toEqual(failure);
    await expectReads(image);
  });

  it.each<[string, (request: RangeRequest) => void, string]>([
    ['is never answered', () => {}, 'UND_ERR_HEADERS_TIMEOUT'],
    [
      'gets half a head',
      ({ socket }) => socket.write('HTTP/1.1 206 Par'),
      'UND_ERR_HEADERS_TIMEOUT',
    ],
    [
      'stops in the body',
      (request) => request.socket.write(halfAnswer(request)),
      'UND_ERR_BODY_TIMEOUT',
    ],
  ])('in a read that %s has a code, and the next read works', async (_what, answer, code) => {
    const image = open({ readMs: SILENCE_MS });
    const isWhole = code === 'UND_ERR_BODY_TIMEOUT';
    server.answer = answer;

    const error = await errorOf(read(image, [target(0, KIB)], 0));
    UNTOUCHED.copy(slotAt(0).bytes);
    for (const request of server.requests) {
      request.socket.write(isWhole ? wholeAnswer(request) : textAnswer(500, 'late'));
    }

    expect(error).toMatchObject({ code });
    expect(describeFailure(error)).toEqual({ reason: code, isTls: false, isUnsent: false });
    // A busy machine may need longer than the limit for an answer.
    await vi.waitFor(() => expectReads(image), { timeout: 30_000 });
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
  });

  it('has a code where nobody listens', async () => {
    const image = open({ socketPath: temp.path('nobody') });

    expect(await errorOf(read(image, [target(0, KIB)], 0))).toMatchObject({ code: 'ENOENT' });
    expect(await errorOf(read(image, [target(0, KIB)], 0))).toMatchObject({ code: 'ENOENT' });
  });

  it('is told as unsent where a host refuses the connection', async () => {
    const secure = await RangeServer.start(Buffer.alloc(0), createLabAuthority().issue());
    const url = new URL(`https://127.0.0.1:${secure.port}/images/${TICKET}`);
    await secure.close();

    const error = await errorOf(read(open({ url, socketPath: undefined }), [target(0, KIB)], 0));

    const failure = { reason: 'ECONNREFUSED', isTls: false, isUnsent: true };
    expect(describeFailure(error)).toEqual(failure);
  });

  it('is told as one of TLS where the certificate is not trusted', async () => {
    const secure = await RangeServer.start(server.image, createLabAuthority().issue());
    onTestFinished(() => secure.close());
    const url = new URL(`https://127.0.0.1:${secure.port}/images/${TICKET}`);

    const error = await errorOf(read(open({ url, socketPath: undefined }), [target(0, KIB)], 0));

    expect(describeFailure(error)).toMatchObject({ isTls: true, isUnsent: true });
    expect(secure.requests).toEqual([]);
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
  });
});

/** Fills a slot with bytes to write. @returns a copy of them. */
function prepare(index: number, lengthBytes: number): Buffer {
  const bytes = noise(`write ${index}`, lengthBytes);
  bytes.copy(slotAt(index).bytes);
  return bytes;
}

/** Takes the head, and no more than the first piece of the body. */
function stopReading({ socket }: RangeRequest): void {
  socket.pause();
}

/** The server takes what was sent. It is the start of `sent`, whatever the slot holds by now. */
async function expectStartOf(sent: Buffer): Promise<void> {
  const [request] = server.requests;
  if (!request) throw new Error('no request');
  request.socket.resume();
  await expect.poll(() => request.socket.destroyed).toBe(true);
  expect(request.body.length).toBeGreaterThan(0);
  expect(request.body.equals(sent.subarray(0, request.body.length))).toBe(true);
}

describe('a write', () => {
  it.each([1, 511, 65_537, BLOCK_BYTES])('of %i B arrives exactly', async (lengthBytes) => {
    const bytes = prepare(0, lengthBytes);
    const before = Buffer.from(server.image);

    const result = await open().put(target(0, lengthBytes), 4097, 'write', undefined);

    expect(result).toMatchObject({ status: 200, isRange: false, text: '' });
    bytes.copy(before, 4097);
    expect(server.image.equals(before)).toBe(true);
    expect(server.requests.map(({ head }) => head.split('\r\n'))).toEqual([
      [
        `PUT /images/${TICKET}?flush=n HTTP/1.1`,
        'host: localhost',
        'connection: keep-alive',
        'content-type: application/octet-stream',
        `content-length: ${lengthBytes}`,
        `content-range: bytes 4097-${4096 + lengthBytes}/*`,
      ],
    ]);
  });

  it('and a read take turns on one connection', async () => {
    const image = open();
    for (const k of [0, 1, 2]) {
      const bytes = prepare(k, 70_000);
      await image.put(target(k, 70_000), k * 70_000, 'write', undefined);
      await read(image, [target(3, 70_000)], k * 70_000);
      expect(bytesOf(target(3, 70_000)).equals(bytes)).toBe(true);
    }
    expect(server.sockets.length).toBe(1);
  });

  it('over TLS arrives exactly', async () => {
    const authority = createLabAuthority();
    const secure = await RangeServer.start(Buffer.alloc(2 * MIB), authority.issue());
    onTestFinished(() => secure.close());
    const url = new URL(`https://127.0.0.1:${secure.port}/images/${TICKET}`);
    const image = open({ url, caPem: authority.caPem, socketPath: undefined });

    for (const k of [0, 1, 2]) {
      const bytes = prepare(k, BLOCK_BYTES - k);
      await image.put(target(k, bytes.length), 100 * k, 'write', undefined);
      const written = secure.image.subarray(100 * k, 100 * k + bytes.length);
      expect(written.equals(bytes)).toBe(true);
    }
  });

  it('that is refused at its end returns the text, and keeps the connection', async () => {
    server.answer = ({ socket }) => socket.write(textAnswer(507, 'no space left'));
    prepare(0, BLOCK_BYTES);
    const image = open();

    const result = await image.put(target(0), 0, 'write', undefined);

    expect(result).toMatchObject({ status: 507, text: 'no space left' });
    await expectReads(image);
    expect(server.sockets.length).toBe(1);
  });

  it.each<[string, (request: RangeRequest) => void]>([
    ['waits', () => {}],
    ['ends its side', ({ socket }) => socket.end()],
  ])(
    'that is refused early by a server that then %s leaves the slot alone',
    async (_what, then) => {
      server.onHead = (request) => {
        stopReading(request);
        request.socket.write(textAnswer(403, 'no such ticket'));
        then(request);
      };
      const bytes = prepare(0, BLOCK_BYTES);
      const image = open();

      const result = await image.put(target(0), 0, 'write', undefined);
      slotAt(0).bytes.fill(0);

      expect(result).toMatchObject({ status: 403, text: 'no such ticket' });
      await expectStartOf(bytes);
      server.onHead = () => {};
      await expectReads(image);
      expect(server.sockets.length).toBe(2);
    },
  );

  it.each<[string, (request: RangeRequest) => void]>([
    ['in the body', ({ socket }) => socket.destroy()],
    [
      'after the first piece of the body',
      ({ socket }) => void setImmediate(() => socket.destroy()),
    ],
  ])('that is cut %s has a code of the network', async (_where, cut) => {
    server.onHead = cut;
    prepare(0, BLOCK_BYTES);
    const image = open();

    const error = await errorOf(image.put(target(0), 0, 'write', undefined));

    expect(error).toMatchObject({ code: expect.stringMatching(/^(UND_ERR_SOCKET|E[A-Z]+)$/) });
    expect(describeFailure(error)).toMatchObject({ isTls: false, isUnsent: false });
    server.onHead = () => {};
    await expectReads(image);
  });

  it('that is cut before its answer has a code of the network', async () => {
    server.answer = ({ socket }) => socket.destroy();
    prepare(0, KIB);
    const image = open();

    const error = await errorOf(image.put(target(0, KIB), 0, 'write', undefined));

    expect(error).toMatchObject({ code: 'UND_ERR_SOCKET' });
    await expectReads(image);
  });

  it.each<[string, () => void]>([
    ['is not answered', () => (server.answer = () => {})],
    ['is not taken', () => (server.onHead = stopReading)],
  ])('that %s times out, and leaves the slot alone', async (_what, makeSilent) => {
    makeSilent();
    const bytes = prepare(0, BLOCK_BYTES);
    const image = open({ readMs: SILENCE_MS });

    const error = await errorOf(image.put(target(0), 0, 'write', undefined));
    slotAt(0).bytes.fill(0);

    expect(error).toMatchObject({ code: 'UND_ERR_HEADERS_TIMEOUT' });
    await expectStartOf(bytes);
  });

  it.each([
    ['is no HTTP', '220 mail\r\n\r\n'],
    ['has a body after its end', `${textAnswer(200, '')}more`],
  ])('whose answer %s fails', async (_what, answer) => {
    server.answer = ({ socket }) => socket.write(answer);
    prepare(0, KIB);
    const image = open();

    const error = await errorOf(image.put(target(0, KIB), 0, 'write', undefined));

    expect(error).toMatchObject({ code: 'TRANSFER_BAD_ANSWER' });
    await expectReads(image);
  });
});

describe('an abort', () => {
  const reason = new Error('enough');

  it('before the order ends it, and nothing is asked for', async () => {
    const image = open();
    const signal = AbortSignal.abort(reason);

    expect(await errorOf(read(image, [target(0)], 0, signal))).toBe(reason);
    expect(await errorOf(image.put(target(0), 0, 'write', signal))).toBe(reason);

    await expectReads(image);
    expect(server.requests.length).toBe(1);
  });

  it('right after the order ends it, and leaves the slot alone', async () => {
    const image = open();
    const controller = new AbortController();
    const reading = errorOf(read(image, [target(0)], 0, controller.signal));

    controller.abort(reason);

    expect(await reading).toBe(reason);
    UNTOUCHED.copy(slotAt(0).bytes);
    await expectReads(image);
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
  });

  it.each([
    ['before the head', 0],
    ['in the head', 30],
    ['in the body', 300_000],
  ])('%s ends the read. Late bytes do not reach the slot', async (_where, sentBytes) => {
    const controller = new AbortController();
    const image = open();
    const sent = new Promise<RangeRequest>((resolve) => {
      server.answer = (request) => {
        request.socket.write(wholeAnswer(request).subarray(0, sentBytes), () => resolve(request));
      };
    });
    const reading = errorOf(read(image, [target(0)], 0, controller.signal));
    const request = await sent;
    // The body has begun to come.
    const came = (): boolean => !slotAt(0).bytes.subarray(0, 4).equals(UNTOUCHED.subarray(0, 4));
    if (sentBytes > 1000) await expect.poll(came).toBe(true);

    controller.abort(reason);
    const error = await reading;
    UNTOUCHED.copy(slotAt(0).bytes);

    expect(error).toBe(reason);
    request.socket.write(wholeAnswer(request).subarray(sentBytes));
    await expect.poll(() => request.socket.destroyed).toBe(true);
    await expectReads(image);
    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
  });

  it('in a write ends it. The slot may be filled anew at once', async () => {
    const controller = new AbortController();
    server.onHead = (request) => {
      stopReading(request);
      controller.abort(reason);
    };
    const bytes = prepare(0, BLOCK_BYTES);
    const image = open();

    const error = await errorOf(image.put(target(0), 0, 'write', controller.signal));
    slotAt(0).bytes.fill(0);

    expect(error).toBe(reason);
    await expectStartOf(bytes);
    server.onHead = () => {};
    await expectReads(image);
  });

  it.each<[string, (image: ThreadedImage, signal: AbortSignal) => Promise<unknown>]>([
    ['read', (image, signal) => read(image, [target(0)], 0, signal)],
    ['write', (image, signal) => image.put(target(0), 0, 'write', signal)],
  ])('ends a %s only when the thread has answered', async (_what, start) => {
    const controller = new AbortController();
    const image = open();
    server.onHead = stopReading;
    server.answer = () => {};
    let hasEnded = false;
    const ending = errorOf(start(image, controller.signal)).finally(() => {
      hasEnded = true;
    });
    await expect.poll(() => server.requests.length).toBe(1);

    controller.abort(reason);
    // No answer of a thread arrives within a turn of the event loop.
    for (let k = 0; k < 100; k++) await Promise.resolve();
    const hadEnded = hasEnded;

    expect(await ending).toBe(reason);
    expect(hadEnded).toBe(false);
  });

  it('ends orders that wait for a connection, and later ones get their turn', async () => {
    const controller = new AbortController();
    const image = open();
    server.answer = () => {};
    const { signal } = controller;
    const orders = [0, 1, 2].map((k) => errorOf(read(image, [target(k)], 0, signal)));
    const kept = read(image, [target(3, KIB)], KIB);
    await expect.poll(() => server.requests.length).toBe(1);

    server.answer = (request) => server.serve(request);
    controller.abort(reason);

    expect(await Promise.all(orders)).toEqual([reason, reason, reason]);
    for (const { bytes } of slots.slice(0, 3)) UNTOUCHED.copy(bytes);
    await kept;
    expect(hasOnly(slotAt(3), server.image.subarray(KIB, 2 * KIB))).toBe(true);
    for (const slot of slots.slice(0, 3)) expect(hasOnly(slot, Buffer.alloc(0))).toBe(true);
    expect(server.requests.at(-1)?.offsetBytes).toBe(KIB);
  });

  it('of one order does not disturb another one', async () => {
    const controller = new AbortController();
    const image = open({ limit: 2 });
    const held: RangeRequest[] = [];
    server.answer = (request) => void held.push(request);
    const aborted = errorOf(read(image, [target(0)], 0, controller.signal));
    const other = read(image, [target(1)], MIB);
    await expect.poll(() => held.length).toBe(2);

    controller.abort(reason);
    await aborted;
    for (const request of held) server.serve(request);
    await other;

    expect(hasOnly(slotAt(0), Buffer.alloc(0))).toBe(true);
    expect(hasOnly(slotAt(1), server.image.subarray(MIB, 2 * MIB))).toBe(true);
  });

  it('after the end of an order changes nothing', async () => {
    const controller = new AbortController();
    const image = open();
    await read(image, [target(0, KIB)], 0, controller.signal);

    controller.abort(reason);

    await expectReads(image);
    expect(server.sockets.length).toBe(1);
  });
});

describe('over TLS', () => {
  const reason = new Error('enough');
  let secure: ThreadedImage;
  beforeEach(async () => {
    await server.close();
    const authority = createLabAuthority();
    server = await RangeServer.start(noise('tls', 4 * MIB), authority.issue());
    const url = new URL(`https://127.0.0.1:${server.port}/images/${TICKET}`);
    secure = open({ url, caPem: authority.caPem, socketPath: undefined });
  });

  it('an abort in the body ends a read. Late bytes do not reach the slot', async () => {
    const controller = new AbortController();
    server.answer = (request) => request.socket.write(halfAnswer(request));
    const reading = errorOf(read(secure, [target(0)], 0, controller.signal));
    const isTouched = (): boolean => !hasOnly(slotAt(0), Buffer.alloc(0));
    await expect.poll(isTouched).toBe(true);

    controller.abort(reason);
    const error = await reading;
    UNTOUCHED.copy(slotAt(0).bytes);

    expect(error).toBe(reason);
    const [request] = server.requests;
    request?.socket.write(server.image.subarray(0, BLOCK_BYTES / 2));
    await expect.poll(() => request?.socket.destroyed).toBe(true);
    await expectReads(secure);
    expect(isTouched()).toBe(false);
  });

  it('an abort in a write ends it. The slot may be filled anew at once', async () => {
    const controller = new AbortController();
    server.onHead = (request) => {
      stopReading(request);
      controller.abort(reason);
    };
    const bytes = prepare(0, BLOCK_BYTES);

    const error = await errorOf(secure.put(target(0), 0, 'write', controller.signal));
    slotAt(0).bytes.fill(0);

    expect(error).toBe(reason);
    const [request] = server.requests;
    request?.socket.resume();
    await expect.poll(() => request?.socket.destroyed).toBe(true);
    expect(request?.body.equals(bytes.subarray(0, request.body.length))).toBe(true);
    server.onHead = () => {};
    await expectReads(secure);
  });

  it('a write that is refused early returns the text, and ends while bytes wait', async () => {
    server.onHead = (request) => {
      stopReading(request);
      request.socket.write(textAnswer(403, 'no such ticket'));
    };
    // Four slots that lie side by side: more than a connection holds on its way.
    const whole = { placeOffset: slotAt(0).bytes.byteOffset, lengthBytes: 4 * BLOCK_BYTES };
    const room = Buffer.from(slab.memory.buffer, whole.placeOffset, whole.lengthBytes);
    const bytes = noise('large', whole.lengthBytes);
    bytes.copy(room);

    const result = await secure.put(whole, 0, 'write', undefined);
    room.fill(0);

    expect(result).toMatchObject({ status: 403, text: 'no such ticket' });
    const [request] = server.requests;
    request?.socket.resume();
    await expect.poll(() => request?.socket.destroyed).toBe(true);
    expect(request?.body.length).toBeLessThan(bytes.length);
    expect(request?.body.equals(bytes.subarray(0, request.body.length))).toBe(true);
    server.onHead = () => {};
    await expectReads(secure);
  });

  it('the end of the image fails a write and a read under way', async () => {
    server.onHead = stopReading;
    server.answer = () => {};
    const orders = [
      errorOf(secure.put(target(0), 0, 'write', undefined)),
      errorOf(read(secure, [target(1)], 0)),
    ];
    await expect.poll(() => server.requests.length).toBe(1);

    await secure.close();

    expect((await Promise.all(orders)).map(({ code }) => code)).toEqual([
      'UND_ERR_SOCKET',
      'UND_ERR_DESTROYED',
    ]);
    server.requests[0]?.socket.resume();
    await expect.poll(() => server.openCount).toBe(0);
  });

  it('a cut in the body of a read has a code', async () => {
    server.answer = (request) =>
      void request.socket.write(halfAnswer(request), () => request.socket.destroy());

    const error = await errorOf(read(secure, [target(0)], 0));

    expect(describeFailure(error)).toMatchObject({ isTls: false, isUnsent: false });
    await expectReads(secure);
  });
});

describe('the end', () => {
  it('of an image fails what is under way and what waits, and closes connections', async () => {
    const image = open({ limit: 2 });
    server.answer = (request) => request.socket.write(halfAnswer(request));
    const orders = [0, 1, 2, 3].map((k) => errorOf(read(image, [target(k)], k * KIB)));
    await expect.poll(() => server.requests.length).toBe(2);

    await image.close();
    const errors = await Promise.all(orders);
    for (const { bytes } of slots) UNTOUCHED.copy(bytes);

    expect(errors.map((error) => error.code)).toEqual(
      Array(4).fill(expect.stringMatching(/^UND_ERR_(SOCKET|DESTROYED)$/)),
    );
    await expect.poll(() => server.openCount).toBe(0);
    for (const slot of slots) expect(hasOnly(slot, Buffer.alloc(0))).toBe(true);
    await errorOf(read(image, [target(0)], 0));
    expect(server.sockets.length).toBe(2);
  });

  it('of an image closes connections that rest', async () => {
    const image = open();
    await expectReads(image);

    await image.close();

    await expect.poll(() => server.openCount).toBe(0);
    await image.close();
  });

  it('of an image leaves others alone', async () => {
    const [first, second] = [open(), open()];
    await expectReads(first);
    await expectReads(second);

    await first.close();

    await expectReads(second);
    expect(server.sockets.length).toBe(2);
  });

  it('of an image during a write fails it, and leaves the slot alone', async () => {
    const image = open();
    server.onHead = stopReading;
    const bytes = prepare(0, BLOCK_BYTES);
    const writing = errorOf(image.put(target(0), 0, 'write', undefined));
    await expect.poll(() => server.requests.length).toBe(1);

    await image.close();
    const error = await writing;
    slotAt(0).bytes.fill(0);

    expect(error).toMatchObject({ code: 'UND_ERR_SOCKET' });
    await expectStartOf(bytes);
  });

  it('of the threads fails all orders, and closes connections', async () => {
    const threads = startThreads({ count: 2 });
    const image = open({ threads, limit: 2 });
    server.answer = (request) => request.socket.write(halfAnswer(request));
    const orders = [0, 1, 2, 3].map((k) => errorOf(read(image, [target(k)], k * KIB)));
    await expect.poll(() => server.requests.length).toBe(2);

    await threads.close();
    for (const { bytes } of slots) UNTOUCHED.copy(bytes);

    for (const error of await Promise.all(orders)) expect(error).toBeInstanceOf(BackupError);
    await expect.poll(() => server.openCount).toBe(0);
    for (const slot of slots) expect(hasOnly(slot, Buffer.alloc(0))).toBe(true);
    await errorOf(read(image, [target(0)], 0));
  });

  it('of threads that have opened nothing is possible, also twice', async () => {
    const threads = startThreads();

    await threads.close();

    await expect(threads.close()).resolves.toBeUndefined();
  });
});

describe('connections', () => {
  const pools = new Map<number, RangeThreads>();
  beforeAll(() => {
    for (const count of [1, 2, 3]) {
      pools.set(count, new RangeThreads(() => ({ memory: slab.memory, xxh64 }), count));
    }
  });
  afterAll(async () => {
    await Promise.all([...pools.values()].map((threads) => threads.close()));
  });

  it.each([1, 2, 3].flatMap((count) => [1, 2, 3, 5, 8].map((limit) => [count, limit])))(
    'of %i threads are no more than the limit of %i, and all are used',
    async (count, limit) => {
      const image = open({ threads: pools.get(count) ?? shared, limit });
      const held: RangeRequest[] = [];
      server.answer = (request) => void held.push(request);
      const orders = Array.from({ length: 24 }, async (_, k) => {
        // Parts of slots that do not overlap.
        const { placeOffset } = target(k % 3);
        const place = placeOffset + Math.floor(k / 3) * KIB;
        const room: SlabTarget = { placeOffset: place, lengthBytes: KIB, stateOffset: undefined };
        await read(image, [room], k * 5000);
        return bytesOf(room).equals(server.image.subarray(k * 5000, k * 5000 + KIB));
      });
      await expect.poll(() => held.length).toBe(limit);

      server.answer = (request) => server.serve(request);
      for (const request of held) server.serve(request);

      expect(await Promise.all(orders)).toEqual(Array(24).fill(true));
      expect(server.mostOpen).toBe(limit);
      expect(server.sockets.length).toBe(limit);
    },
  );

  it('of two images are counted apart', async () => {
    const threads = pools.get(2) ?? shared;
    const images = [open({ threads, limit: 2 }), open({ threads, limit: 3 })];
    const held: RangeRequest[] = [];
    server.answer = (request) => void held.push(request);
    const orders = images.flatMap((image) =>
      Array.from({ length: 10 }, () => read(image, [target(0, 10)], 0)),
    );
    await expect.poll(() => held.length).toBe(5);

    server.answer = (request) => server.serve(request);
    for (const request of held) server.serve(request);
    await Promise.all(orders);

    expect(server.sockets.length).toBe(5);
  });
});

describe('holdsAll', () => {
  it('is true for memory of the slab only', () => {
    const other = createSlab({ blockSizeBytes: 4096, slabBytes: 8192 });
    const [own, foreign] = [slotAt(0).bytes, Buffer.from(other.memory.buffer)];

    expect(shared.holdsAll([own, slotAt(1).bytes.subarray(5, 9)])).toBe(true);
    expect(shared.holdsAll([Buffer.alloc(8)])).toBe(false);
    expect(shared.holdsAll([own, Buffer.alloc(8)])).toBe(false);
    expect(shared.holdsAll([foreign, own])).toBe(false);
  });
});

describe('a thread that dies', () => {
  it('fails its orders and all later ones, and can be closed', async () => {
    const workers: Worker[] = [];
    const remember = (worker: Worker): void => void workers.push(worker);
    process.on('worker', remember);
    onTestFinished(() => void process.off('worker', remember));
    const threads = startThreads();
    const image = open({ threads, limit: 2 });
    server.answer = () => {};
    const orders = [0, 1, 2].map((k) => errorOf(read(image, [target(k)], 0)));
    orders.push(errorOf(image.put(target(3), 0, 'write', undefined)));
    await expect.poll(() => server.requests.length).toBe(2);
    expect(workers.length).toBe(1);

    await workers[0]?.terminate();

    const errors = await Promise.all([...orders, errorOf(read(image, [target(0)], 0))]);
    for (const error of errors) expect(error).toBeInstanceOf(BackupError);
    expect(errors.map(({ code }) => code)).toEqual(Array(5).fill('WORKER_CRASHED'));
    await image.close();
    await threads.close();
  });

  it('one of two ends no order of the other one', async () => {
    const workers: Worker[] = [];
    const remember = (worker: Worker): void => void workers.push(worker);
    process.on('worker', remember);
    onTestFinished(() => void process.off('worker', remember));
    const image = open({ threads: startThreads({ count: 2 }), limit: 2 });
    const held: RangeRequest[] = [];
    server.answer = (request) => void held.push(request);
    const orders = [0, 1].map((k) => read(image, [target(k, KIB)], 0));
    const settled = Promise.allSettled(orders);
    await expect.poll(() => held.length).toBe(2);

    await workers[0]?.terminate();
    for (const request of held) server.serve(request);

    const results = await settled;
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const rejected = results.find((one) => one.status === 'rejected');
    expect(rejected?.reason).toMatchObject({ code: 'WORKER_CRASHED' });
  });

  it('at its start fails its orders', async () => {
    const threads = startThreads({ kernel: {} as never });
    const image = open({ threads });

    const error = await errorOf(read(image, [target(0)], 0));

    expect(error).toBeInstanceOf(BackupError);
    expect(error).toMatchObject({ code: 'WORKER_CRASHED' });
    const later = await errorOf(image.put(target(0), 0, 'write', undefined));
    expect(later).toMatchObject({ code: 'WORKER_CRASHED' });
  });

  it('does not outlive an abort of its order', async () => {
    const threads = startThreads({ kernel: {} as never });
    const controller = new AbortController();
    const reading = errorOf(read(open({ threads }), [target(0)], 0, controller.signal));

    controller.abort(new Error('enough'));

    await expect(reading).resolves.toBeInstanceOf(Error);
  });
});

/** Answers OPTIONS, and everything else by `answer`. */
function offer(answer: (request: RangeRequest) => void): void {
  const abilities = JSON.stringify({ features: [], max_readers: 8, max_writers: 8 });
  server.answer = (request) => {
    if (!request.head.startsWith('OPTIONS')) answer(request);
    else request.socket.write(textAnswer(200, abilities, 'content-type: application/json\r\n'));
  };
}

async function openClient(imageioReadMs: number = 10_000): Promise<ImageioClient> {
  const client = await ImageioClient.open(`http://localhost/images/${TICKET}`, {
    caPem: undefined,
    timings: { ...DEFAULT_TIMINGS, imageioReadMs },
    connections: 2,
    direction: 'download',
    socketPath: temp.path('server'),
  });
  onTestFinished(() => client.close());
  return client;
}

const refusal = (status: number, text: string) => (request: RangeRequest) =>
  void request.socket.write(textAnswer(status, text));

describe('a client with threads', () => {
  const cases: [string, (request: RangeRequest) => void, string][] = [
    ['a lost ticket', refusal(403, `no ticket ${TICKET}`), 'TRANSFER_TICKET_GONE'],
    ['a server error', refusal(500, `path /images/${TICKET}`), 'FAILED'],
    ['a busy server', refusal(503, ''), 'FAILED'],
    ['another refusal', refusal(416, 'Requested range'), 'FAILED'],
    ['a cut', ({ socket }) => socket.end(), 'FAILED'],
    ['no HTTP', ({ socket }) => socket.write('220 mail\r\n\r\n'), 'TRANSFER_BAD_ANSWER'],
  ];

  it.each([
    ...cases.map((one) => [...one, 10_000] as const),
    ['silence', () => {}, 'FAILED', 2 * SILENCE_MS] as const,
  ])('fails at %s as one without', async (_what, answer, code, readMs) => {
    offer(answer);
    const facts: unknown[] = [];
    for (const threads of [undefined, shared]) {
      const client = await vi.waitFor(() => openClient(readMs), { timeout: 30_000 });
      const part = slotAt(0).bytes.subarray(0, KIB);
      const works = [
        () => client.read([{ bytes: part }], 512, { threads }),
        () => client.write(part, 512, { threads }),
      ];
      for (const work of works) {
        const error = (await errorOf(work())) as BackupError;
        expect(error).toBeInstanceOf(BackupError);
        expect(error.code).toContain(code);
        const { message, hint, retryable, details } = error;
        facts.push({ code: error.code, message, hint, retryable, details });
      }
      await client.close();
    }

    expect(facts.slice(2)).toEqual(facts.slice(0, 2));
  });

  it('reads and writes slots by threads, with as many connections', async () => {
    offer((request) => server.serve(request));
    const client = await openClient();
    const bytes = prepare(1, 5000);
    const stateOffset = fingerprintStateOffset(slotAt(0).slotIndex);
    const part = slotAt(0).bytes.subarray(0, 5000);

    await client.write(slotAt(1).bytes.subarray(0, 5000), 64, { threads: shared });
    const result = await client.read([{ bytes: part, stateOffset }], 64, { threads: shared });

    const fingerprints = [codecs.fingerprint(bytes)];
    expect(result).toMatchObject({ receivedBytes: 5000, fingerprints });
    expect(part.equals(bytes)).toBe(true);
    await client.close();
    await expect.poll(() => server.openCount).toBe(0);
  });

  it('reads into other memory on the calling thread, before and after reads by threads', async () => {
    offer((request) => server.serve(request));
    const client = await openClient();
    const outside = Buffer.alloc(KIB);
    const part = slotAt(0).bytes.subarray(0, KIB);

    for (const [k, bytes] of [outside, part, outside, part].entries()) {
      await client.read([{ bytes }], k * KIB, { threads: shared });
      expect(bytes.equals(server.image.subarray(k * KIB, (k + 1) * KIB)), `read ${k}`).toBe(true);
    }
  });
});
