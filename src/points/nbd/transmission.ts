/** The second phase of a connection: requests for one export. */
import type { Socket } from 'node:net';
import { KIB, MIB } from '../../core/units.ts';
import { CLUSTER_BYTES } from '../overlay/clusterMap.ts';
import type { ByteRange, PointExtent } from '../pointTypes.ts';
import type { ByteBudget } from './byteBudget.ts';
import type { Chosen } from './negotiation.ts';
import {
  ALLOCATION_CONTEXT_ID,
  CHUNK,
  CHUNK_DONE,
  COMMAND,
  COMMAND_FLAGS,
  HOLE_AND_ZERO,
  NBD_ERROR,
  NbdFailure,
  REQUEST_BYTES,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './protocol.ts';
import { ReplyWriter } from './replyWriter.ts';
import { hasFlag, parseRequest, refusalOf, type Request } from './requests.ts';
import { ConnectionEnded, type SocketReader } from './socketReader.ts';

/** Requests of one connection at the same time. The next one is read when one of them is done. */
const MAX_REQUESTS = 16;
/** Most descriptors in one answer about extents. */
const MAX_DESCRIPTORS = 65_536;
const DESCRIPTOR_BYTES = 8;
/** Memory for one small reply of each connection. It waits for nothing that slow clients hold. */
const OWN_REPLY_BYTES = 128 * KIB;
/** Data of a long read go in pieces, so that one client holds little memory at a time. */
const READ_PIECE_BYTES = MIB;
/** The payload of a write is taken off the socket in pieces of this size. */
const WRITE_PIECE_BYTES = 256 * KIB;
/** Memory beside a piece: the rest of its first and of its last cluster. */
const EDGE_BYTES = 2 * CLUSTER_BYTES;
/** A client that sends no payload for so long is broken off. */
const PAYLOAD_MS = 120_000;

/** Counts of a server. */
export interface Served {
  clients: number;
  clientsInAll: number;
  requests: number;
  bytesRead: number;
  bytesWritten: number;
  failures: number;
}

/** Parts that the connections of a server share. */
export interface ServerParts {
  /** Bytes of replies that wait for a client, without one small reply of each connection. */
  readonly replies: ByteBudget;
  /** Bytes of all writes under way. They never wait for a client. */
  readonly payloads: ByteBudget;
  readonly served: Served;
  /** Requests under way. None of them rejects. */
  readonly underWay: Set<Promise<void>>;
  /** No more requests are served. */
  isClosing: boolean;
}

export interface TransmissionOptions {
  readonly socket: Socket;
  readonly reader: SocketReader;
  readonly chosen: Chosen;
  readonly server: ServerParts;
  /** Gets each failure for a reason that is not its client's. */
  readonly onFailure: (failure: NbdFailure) => void;
}

export class Transmission {
  readonly #options: TransmissionOptions;
  readonly #writer: ReplyWriter;
  readonly #inFlight = new Set<Promise<void>>();
  #isOwnReplyUsed = false;

  constructor(options: TransmissionOptions) {
    this.#options = options;
    const { replies } = options.server;
    this.#writer = new ReplyWriter(options.socket, () => replies.isContended);
  }

  /** Serves requests until the client disconnects. @throws {@link ConnectionEnded} */
  async run(): Promise<void> {
    const { reader } = this.#options;
    try {
      for (;;) {
        const request = parseRequest(await reader.read(REQUEST_BYTES));
        if (request.command === COMMAND.disconnect) return;
        const refusal = this.#refusal(request);
        // The payload of a refused write is read and dropped, so that the next request is found.
        if (request.command === COMMAND.write) await this.#receive(request, refusal);
        else await this.#start(request, refusal, () => this.#answer(request));
      }
    } finally {
      while (this.#inFlight.size > 0) await Promise.all(this.#inFlight);
    }
  }

  #refusal(request: Request): NbdFailure | undefined {
    const { chosen, server } = this.#options;
    if (server.isClosing) return new NbdFailure(NBD_ERROR.eshutdown, 'the server is closing');
    return refusalOf(request, chosen);
  }

  /** Starts a request. Waits only while too many are under way. */
  async #start(
    request: Request,
    refusal: NbdFailure | undefined,
    answer: () => Promise<void>,
  ): Promise<void> {
    this.#options.server.served.requests++;
    await this.#track(refusal ? this.#fail(request, refusal) : this.#serve(request, answer));
  }

  async #track(work: Promise<void>): Promise<void> {
    const { underWay } = this.#options.server;
    const tracked = work
      // The connection is gone. The reader of the next request finds that out.
      .catch(() => {})
      .finally(() => {
        this.#inFlight.delete(tracked);
        underWay.delete(tracked);
      });
    this.#inFlight.add(tracked);
    underWay.add(tracked);
    if (this.#inFlight.size >= MAX_REQUESTS) await Promise.race(this.#inFlight);
  }

  async #serve(request: Request, answer: () => Promise<void>): Promise<void> {
    const { server, onFailure } = this.#options;
    try {
      await answer();
    } catch (error) {
      if (error instanceof ConnectionEnded) throw error;
      const failure = asFailure(error);
      server.served.failures++;
      onFailure(failure);
      await this.#fail(request, failure);
    }
  }

  async #answer(request: Request): Promise<void> {
    const { writer } = this.#options.chosen.served;
    const { offsetBytes, lengthBytes } = request;
    switch (request.command) {
      case COMMAND.read:
        return await this.#read(request);
      case COMMAND.blockStatus:
        return await this.#blockStatus(request);
      case COMMAND.flush:
        await writer?.flush();
        break;
      case COMMAND.trim:
      case COMMAND.writeZeroes: {
        await writer?.zero(offsetBytes, lengthBytes, hasFlag(request, COMMAND_FLAGS.noHole));
        await this.#flushIfForced(request);
        break;
      }
      default:
        // Data are cached by reads.
        break;
    }
    return await this.#done(request);
  }

  /**
   * Takes the payload of a write off the socket, and writes each piece while the next one arrives.
   * No memory of others is held while the client is waited for.
   */
  async #receive(request: Request, refusal: NbdFailure | undefined): Promise<void> {
    const { reader, chosen, server } = this.#options;
    const { writer } = chosen.served;
    const writes: Promise<void>[] = [];
    // A refused offset may be any number.
    const range = refusal ? { ...request, offsetBytes: 0 } : request;
    for (const { offsetBytes, lengthBytes } of piecesOf(range, WRITE_PIECE_BYTES)) {
      const bytes = await reader.read(lengthBytes, PAYLOAD_MS);
      if (refusal || !writer) continue;
      await server.payloads.take(this, lengthBytes + EDGE_BYTES);
      const write = writer
        .write(offsetBytes, bytes)
        .finally(() => server.payloads.give(this, lengthBytes + EDGE_BYTES));
      writes.push(write);
      await this.#track(write);
    }
    await this.#start(request, refusal, async () => {
      await Promise.all(writes);
      await this.#flushIfForced(request);
      server.served.bytesWritten += request.lengthBytes;
      await this.#done(request);
    });
  }

  async #flushIfForced(request: Request): Promise<void> {
    if (hasFlag(request, COMMAND_FLAGS.fua)) await this.#options.chosen.served.writer?.flush();
  }

  async #read(request: Request): Promise<void> {
    const { server, chosen } = this.#options;
    const { offsetBytes, lengthBytes } = request;
    if (chosen.hasStructuredReplies) await this.#sendChunks(request);
    else {
      await this.#readPart({ offsetBytes, lengthBytes }, async (pieces) => {
        await this.#writer.write(simpleReply(0, request.cookie), ...pieces);
      });
    }
    server.served.bytesRead += lengthBytes;
  }

  /** Zeros go as holes, without their bytes. A client may ask for one chunk only. */
  async #sendChunks(request: Request): Promise<void> {
    const { served } = this.#options.chosen;
    const { offsetBytes, lengthBytes } = request;
    if (lengthBytes === 0) return await this.#done(request);
    const isWhole = hasFlag(request, COMMAND_FLAGS.df);
    const parts = isWhole
      ? [{ offsetBytes, lengthBytes, zero: false }]
      : shortParts(await served.extents({ offsetBytes, lengthBytes }));
    for (const { zero, ...range } of parts) {
      const isLast = range.offsetBytes + range.lengthBytes === offsetBytes + lengthBytes;
      const place = Buffer.alloc(zero ? 12 : 8);
      place.writeBigUInt64BE(BigInt(range.offsetBytes));
      if (zero) {
        place.writeUInt32BE(range.lengthBytes, 8);
        await this.#chunk(request, CHUNK.offsetHole, isLast, [place]);
      } else {
        await this.#readPart(range, async (pieces) => {
          await this.#chunk(request, CHUNK.offsetData, isLast, [place, ...pieces]);
        });
      }
    }
    return undefined;
  }

  async #readPart(
    range: ByteRange,
    send: (pieces: readonly Buffer[]) => Promise<void>,
  ): Promise<void> {
    const { served } = this.#options.chosen;
    await this.#withMemory(served.heldBytes(range), () => served.read(range, send));
  }

  async #withMemory(bytes: number, work: () => Promise<void>): Promise<void> {
    if (bytes > OWN_REPLY_BYTES || this.#isOwnReplyUsed) {
      await this.#options.server.replies.use(this, bytes, work);
      return;
    }
    this.#isOwnReplyUsed = true;
    try {
      await work();
    } finally {
      this.#isOwnReplyUsed = false;
    }
  }

  async #blockStatus(request: Request): Promise<void> {
    const { chosen } = this.#options;
    const most = hasFlag(request, COMMAND_FLAGS.reqOne) ? 1 : MAX_DESCRIPTORS;
    await this.#withMemory(4 + most * DESCRIPTOR_BYTES, async () => {
      const extents = await chosen.served.extents(request, most);
      await this.#chunk(request, CHUNK.blockStatus, true, [describe(extents)]);
    });
  }

  async #done(request: Request): Promise<void> {
    if (this.#options.chosen.hasStructuredReplies) {
      await this.#chunk(request, CHUNK.none, true, []);
    } else await this.#writer.write(simpleReply(0, request.cookie));
  }

  async #fail(request: Request, { errorNumber, message }: NbdFailure): Promise<void> {
    if (!this.#options.chosen.hasStructuredReplies) {
      await this.#writer.write(simpleReply(errorNumber, request.cookie));
      return;
    }
    const text = Buffer.from(message).subarray(0, 1024);
    const head = Buffer.alloc(6);
    head.writeUInt32BE(errorNumber, 0);
    head.writeUInt16BE(text.length, 4);
    await this.#chunk(request, CHUNK.error, true, [head, text]);
  }

  async #chunk(
    { cookie }: Request,
    type: number,
    isLast: boolean,
    content: readonly Buffer[],
  ): Promise<void> {
    const head = Buffer.alloc(20);
    head.writeUInt32BE(STRUCTURED_REPLY_MAGIC, 0);
    head.writeUInt16BE(isLast ? CHUNK_DONE : 0, 4);
    head.writeUInt16BE(type, 6);
    cookie.copy(head, 8);
    head.writeUInt32BE(
      content.reduce((sum, { length }) => sum + length, 0),
      16,
    );
    await this.#writer.write(head, ...content);
  }
}

/** Pieces of a range. They end at multiples of their size, so that clusters are not cut. */
function* piecesOf(
  { offsetBytes, lengthBytes }: ByteRange,
  pieceBytes: number,
): Generator<ByteRange> {
  const endBytes = offsetBytes + lengthBytes;
  for (let at = offsetBytes; at < endBytes; ) {
    const stop = Math.min(endBytes, Math.floor(at / pieceBytes) * pieceBytes + pieceBytes);
    yield { offsetBytes: at, lengthBytes: stop - at };
    at = stop;
  }
}

/** Extents whose data are cut into pieces. */
function* shortParts(extents: readonly PointExtent[]): Generator<PointExtent> {
  for (const extent of extents) {
    if (extent.zero) yield extent;
    else for (const piece of piecesOf(extent, READ_PIECE_BYTES)) yield { ...piece, zero: false };
  }
}

/** Context and descriptors of an answer about extents. */
function describe(extents: readonly PointExtent[]): Buffer {
  const numbers = [ALLOCATION_CONTEXT_ID];
  for (const { lengthBytes, zero } of extents) {
    numbers.push(lengthBytes, zero ? HOLE_AND_ZERO : 0);
  }
  const bytes = Buffer.alloc(4 * numbers.length);
  for (const [k, number] of numbers.entries()) bytes.writeUInt32BE(number, 4 * k);
  return bytes;
}

function asFailure(error: unknown): NbdFailure {
  if (error instanceof NbdFailure) return error;
  return new NbdFailure(NBD_ERROR.eio, error instanceof Error ? error.message : String(error));
}

function simpleReply(errorNumber: number, cookie: Buffer): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  reply.writeUInt32BE(errorNumber, 4);
  cookie.copy(reply, 8);
  return reply;
}
