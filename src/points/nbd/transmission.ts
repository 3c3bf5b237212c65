/** The second phase of a connection: requests for one export. */
import type { Socket } from 'node:net';
import type { Chosen } from './negotiation.ts';
import type { ServedExtent } from './nbdExport.ts';
import {
  ALLOCATION_CONTEXT_ID,
  CHUNK,
  CHUNK_DONE,
  COMMAND,
  COMMAND_FLAGS,
  HOLE_AND_ZERO,
  MAX_BLOCK_BYTES,
  NBD_ERROR,
  NbdFailure,
  REQUEST_BYTES,
  REQUEST_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from './protocol.ts';
import { ReplyWriter } from './replyWriter.ts';
import { ConnectionEnded, type SocketReader } from './socketReader.ts';
import type { ByteBudget } from './byteBudget.ts';

/** Requests of one connection at the same time. The next one is read when one of them is done. */
const MAX_REQUESTS = 16;
/** Most descriptors in one answer about extents: 8 bytes each. */
const MAX_DESCRIPTORS = 65_536;

interface Request {
  readonly flags: number;
  readonly command: number;
  readonly cookie: Buffer;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Counts of a server. */
export interface Served {
  requests: number;
  bytes: number;
  failures: number;
}

export interface TransmissionOptions {
  readonly socket: Socket;
  readonly reader: SocketReader;
  readonly chosen: Chosen;
  /** Bytes of all replies that wait for a client, over all connections. */
  readonly budget: ByteBudget;
  readonly served: Served;
  readonly onFailure: (text: string) => void;
}

export class Transmission {
  readonly #options: TransmissionOptions;
  readonly #writer: ReplyWriter;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(options: TransmissionOptions) {
    this.#options = options;
    this.#writer = new ReplyWriter(options.socket);
  }

  /** Serves requests until the client disconnects. @throws {@link ConnectionEnded} */
  async run(): Promise<void> {
    try {
      for (;;) {
        const request = parseRequest(await this.#options.reader.read(REQUEST_BYTES));
        if (request.command === COMMAND.disconnect) return;
        if (request.command === COMMAND.write) {
          // Its data follows. A client that writes to a read-only export is broken off.
          throw new ConnectionEnded();
        }
        await this.#start(request);
      }
    } finally {
      await Promise.allSettled(this.#inFlight);
    }
  }

  async #start(request: Request): Promise<void> {
    const work = this.#serve(request)
      // The connection is gone. The reader of the next request finds that out.
      .catch(() => {})
      .finally(() => this.#inFlight.delete(work));
    this.#inFlight.add(work);
    if (this.#inFlight.size >= MAX_REQUESTS) await Promise.race(this.#inFlight);
  }

  async #serve(request: Request): Promise<void> {
    const { served, onFailure } = this.#options;
    served.requests++;
    try {
      await this.#answer(request);
    } catch (error) {
      if (!(error instanceof NbdFailure)) throw error;
      if (error.errorNumber === NBD_ERROR.eio) {
        served.failures++;
        onFailure(error.message);
      }
      await this.#fail(request, error);
    }
  }

  async #answer(request: Request): Promise<void> {
    switch (request.command) {
      case COMMAND.read:
        return await this.#read(request);
      case COMMAND.blockStatus:
        return await this.#blockStatus(request);
      case COMMAND.flush:
        return await this.#done(request);
      case COMMAND.cache:
        this.#check(request);
        return await this.#done(request);
      case COMMAND.trim:
      case COMMAND.writeZeroes:
        throw new NbdFailure(NBD_ERROR.eperm, 'the export is read-only');
      default:
        throw new NbdFailure(NBD_ERROR.einval, `command ${request.command} is not known`);
    }
  }

  async #read(request: Request): Promise<void> {
    this.#check(request);
    const { offsetBytes, lengthBytes } = request;
    if (lengthBytes > MAX_BLOCK_BYTES) {
      throw new NbdFailure(NBD_ERROR.eoverflow, `read of ${lengthBytes} B, at most 32 MiB`);
    }
    const { budget, served, chosen } = this.#options;
    await budget.use(lengthBytes, async () => {
      if (!chosen.hasStructuredReplies) {
        const bytes = await chosen.served.read(offsetBytes, lengthBytes);
        await this.#writer.write(simpleReply(0, request.cookie), bytes);
      } else await this.#sendChunks(request);
    });
    served.bytes += lengthBytes;
  }

  /** Zeros go as holes, without their bytes. A client may ask for one chunk only. */
  async #sendChunks(request: Request): Promise<void> {
    const { served } = this.#options.chosen;
    const { offsetBytes, lengthBytes, flags } = request;
    const isWhole = (flags & COMMAND_FLAGS.df) !== 0;
    const extents: Iterable<ServedExtent> = isWhole
      ? [{ lengthBytes, zero: false }]
      : served.extents(offsetBytes, lengthBytes);
    let at = offsetBytes;
    for (const { lengthBytes: partBytes, zero } of extents) {
      const isLast = at + partBytes === offsetBytes + lengthBytes;
      const place = Buffer.alloc(zero ? 12 : 8);
      place.writeBigUInt64BE(BigInt(at));
      if (zero) place.writeUInt32BE(partBytes, 8);
      const content = zero ? [place] : [place, await served.read(at, partBytes)];
      await this.#chunk(request, zero ? CHUNK.offsetHole : CHUNK.offsetData, isLast, content);
      at += partBytes;
    }
    if (lengthBytes === 0) await this.#done(request);
  }

  async #blockStatus(request: Request): Promise<void> {
    const { chosen } = this.#options;
    if (!chosen.hasAllocation) {
      throw new NbdFailure(NBD_ERROR.einval, 'block status without a context');
    }
    this.#check(request);
    const { offsetBytes, lengthBytes, flags } = request;
    if (lengthBytes === 0) throw new NbdFailure(NBD_ERROR.einval, 'block status of nothing');
    const most = flags & COMMAND_FLAGS.reqOne ? 1 : MAX_DESCRIPTORS;
    const context = Buffer.alloc(4);
    context.writeUInt32BE(ALLOCATION_CONTEXT_ID);
    const descriptors: Buffer[] = [context];
    for (const extent of chosen.served.extents(offsetBytes, lengthBytes)) {
      if (descriptors.length > most) break;
      const descriptor = Buffer.alloc(8);
      descriptor.writeUInt32BE(extent.lengthBytes, 0);
      descriptor.writeUInt32BE(extent.zero ? HOLE_AND_ZERO : 0, 4);
      descriptors.push(descriptor);
    }
    await this.#chunk(request, CHUNK.blockStatus, true, descriptors);
  }

  #check({ offsetBytes, lengthBytes }: Request): void {
    const { sizeBytes } = this.#options.chosen.served;
    if (offsetBytes + lengthBytes <= sizeBytes) return;
    throw new NbdFailure(
      NBD_ERROR.einval,
      `bytes ${offsetBytes} to ${offsetBytes + lengthBytes} of a disk of ${sizeBytes} B`,
    );
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

/** @throws {@link ConnectionEnded} for bytes that are no request, or a place beyond all disks */
function parseRequest(bytes: Buffer): Request {
  const offsetBytes = Number(bytes.readBigUInt64BE(16));
  const isRequest = bytes.readUInt32BE(0) === REQUEST_MAGIC;
  if (!isRequest || !Number.isSafeInteger(offsetBytes)) throw new ConnectionEnded();
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    cookie: Buffer.from(bytes.subarray(8, 16)),
    offsetBytes,
    lengthBytes: bytes.readUInt32BE(24),
  };
}

function simpleReply(errorNumber: number, cookie: Buffer): Buffer {
  const reply = Buffer.alloc(16);
  reply.writeUInt32BE(SIMPLE_REPLY_MAGIC, 0);
  reply.writeUInt32BE(errorNumber, 4);
  cookie.copy(reply, 8);
  return reply;
}
