/**
 * A client that sends exactly what a test wants, also what no good client would send. It parses
 * replies strictly. Scripts use it too: no test framework in here.
 */
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import {
  CHUNK,
  CHUNK_DONE,
  COMMAND,
  MAX_BLOCK_BYTES,
  OPTION,
  OPTION_MAGIC,
  OPTION_REPLY_MAGIC,
  REQUEST_MAGIC,
  SERVER_MAGIC,
  SIMPLE_REPLY_MAGIC,
  STRUCTURED_REPLY_MAGIC,
} from '../../../src/points/nbd/protocol.ts';
import { SocketReader } from '../../../src/points/nbd/socketReader.ts';

export interface OptionReply {
  readonly code: number;
  readonly type: number;
  readonly data: Buffer;
}

export interface RequestFields {
  readonly flags?: number;
  readonly command: number;
  readonly cookie?: number;
  readonly offset?: number | bigint;
  readonly length?: number;
}

export interface Reply {
  readonly cookie: number;
  /** 0 for a success. */
  readonly error: number;
  /** Data of a read in one piece; zeros included. Descriptors of a block status. */
  readonly bytes: Buffer;
}

export function encodeOption(code: number, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64BE(OPTION_MAGIC);
  head.writeUInt32BE(code, 8);
  head.writeUInt32BE(data.length, 12);
  return Buffer.concat([head, data]);
}

function encodeText(text: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
}

/** Data of INFO and GO without wishes. */
export function encodeGo(name: string): Buffer {
  return Buffer.concat([encodeText(name), Buffer.alloc(2)]);
}

export function encodeContext(name: string, query: string): Buffer {
  const count = Buffer.from([0, 0, 0, 1]);
  return Buffer.concat([encodeText(name), count, encodeText(query)]);
}

export function encodeRequest(fields: RequestFields): Buffer {
  const { flags = 0, command, cookie = 0, offset = 0, length = 0 } = fields;
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(REQUEST_MAGIC);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(BigInt(cookie), 8);
  bytes.writeBigUInt64BE(BigInt(offset), 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
}

/** A client that waits for one reply before it sends the next request, unless told otherwise. */
export class RawClient {
  socket: Socket;
  reader: SocketReader;
  hasStructuredReplies = false;
  /** Size and flags of the chosen export. */
  sizeBytes = 0;
  flags = 0;
  #cookie = 1;

  private constructor(socket: Socket) {
    this.socket = socket.on('error', () => {});
    this.reader = new SocketReader(socket);
  }

  /** Connects and reads the greeting. */
  static async connect(address: NetConnectOpts): Promise<RawClient> {
    const socket = connect(address);
    const client = new RawClient(socket);
    const greeting = await client.reader.read(18);
    if (greeting.readBigUInt64BE(0) !== SERVER_MAGIC) throw new Error('no NBD server');
    if (greeting.readBigUInt64BE(8) !== OPTION_MAGIC) throw new Error('no newstyle server');
    return client;
  }

  /** Connects and chooses an export, with structured replies and base:allocation if wanted. */
  static async open(address: NetConnectOpts, name = '', isStructured = true): Promise<RawClient> {
    const client = await RawClient.connect(address);
    client.sendFlags();
    await client.choose(name, isStructured);
    return client;
  }

  async choose(name: string, isStructured = true): Promise<void> {
    if (isStructured) {
      await this.option(OPTION.structuredReply);
      await this.option(OPTION.setMetaContext, encodeContext(name, 'base:allocation'));
      this.hasStructuredReplies = true;
    }
    const [info] = await this.option(OPTION.go, encodeGo(name));
    this.sizeBytes = Number(info?.data.readBigUInt64BE(2) ?? 0n);
    this.flags = info?.data.readUInt16BE(10) ?? 0;
  }

  sendFlags(flags = 3): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(flags);
    this.socket.write(bytes);
  }

  /** Sends an option. @returns its replies up to the last one */
  async option(code: number, data?: Uint8Array): Promise<OptionReply[]> {
    this.socket.write(encodeOption(code, data));
    const replies: OptionReply[] = [];
    for (;;) {
      const reply = await this.optionReply();
      replies.push(reply);
      if (reply.type === 1 || reply.type >= 0x80000000) return replies;
    }
  }

  async optionReply(): Promise<OptionReply> {
    const head = await this.reader.read(20);
    if (head.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw new Error('no reply to an option');
    const data = await this.reader.read(head.readUInt32BE(16));
    return { code: head.readUInt32BE(8), type: head.readUInt32BE(12), data };
  }

  /** Sends a request without waiting. @returns its cookie */
  send(fields: RequestFields, payload?: Uint8Array): number {
    const cookie = fields.cookie ?? this.#cookie++;
    this.socket.write(encodeRequest({ ...fields, cookie }));
    if (payload) this.socket.write(payload);
    return cookie;
  }

  async request(fields: RequestFields, payload?: Uint8Array): Promise<Reply> {
    this.send(fields, payload);
    return await this.reply(fields);
  }

  async read(offset: number, length: number, flags = 0): Promise<Reply> {
    return await this.request({ command: COMMAND.read, offset, length, flags });
  }

  async write(offset: number | bigint, bytes: Uint8Array, flags = 0): Promise<Reply> {
    return await this.request(
      { command: COMMAND.write, offset, length: bytes.length, flags },
      bytes,
    );
  }

  /** The reply to one request, whose length tells how many data a simple reply has. */
  async reply({ command, length = 0, offset = 0 }: RequestFields): Promise<Reply> {
    return this.hasStructuredReplies
      ? await this.#structuredReply(Number(offset), command === COMMAND.read ? length : 0)
      : await this.#simpleReply(command === COMMAND.read ? length : 0);
  }

  async #simpleReply(lengthBytes: number): Promise<Reply> {
    const head = await this.reader.read(16);
    if (head.readUInt32BE(0) !== SIMPLE_REPLY_MAGIC) throw new Error('no simple reply');
    const error = head.readUInt32BE(4);
    const bytes = await this.reader.read(error === 0 ? lengthBytes : 0);
    return { cookie: Number(head.readBigUInt64BE(8)), error, bytes };
  }

  async #structuredReply(offsetBytes: number, lengthBytes: number): Promise<Reply> {
    let error = 0;
    let bytes: Buffer = Buffer.alloc(Math.min(lengthBytes, MAX_BLOCK_BYTES), 0xee);
    for (;;) {
      const head = await this.reader.read(20);
      if (head.readUInt32BE(0) !== STRUCTURED_REPLY_MAGIC) throw new Error('no structured reply');
      const [flags, type] = [head.readUInt16BE(4), head.readUInt16BE(6)];
      const content = await this.reader.read(head.readUInt32BE(16));
      if (type === CHUNK.error) error = content.readUInt32BE(0);
      else if (type === CHUNK.blockStatus) bytes = content.subarray(4);
      else if (type === CHUNK.offsetData) {
        content.copy(bytes, Number(content.readBigUInt64BE(0)) - offsetBytes, 8);
      } else if (type === CHUNK.offsetHole) {
        const at = Number(content.readBigUInt64BE(0)) - offsetBytes;
        bytes.fill(0, at, at + content.readUInt32BE(8));
      } else if (type !== CHUNK.none) throw new Error(`chunk of type ${type}`);
      if (flags & CHUNK_DONE) return { cookie: Number(head.readBigUInt64BE(8)), error, bytes };
    }
  }

  /** Resolves when the server has ended the connection. */
  async closed(): Promise<void> {
    if (!this.socket.closed) await once(this.socket, 'close');
  }

  destroy(): void {
    this.socket.destroy();
  }
}
