/** The first phase of a connection: options until a client has chosen an export. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import {
  ALLOCATION_CONTEXT,
  ALLOCATION_CONTEXT_ID,
  HANDSHAKE_FLAGS,
  INFO,
  MAX_OPTION_BYTES,
  MAX_BLOCK_BYTES,
  OPTION,
  OPTION_MAGIC,
  OPTION_REPLY,
  OPTION_REPLY_MAGIC,
  SERVER_MAGIC,
  TRANSMISSION_FLAGS,
} from './protocol.ts';
import type { ServedDisk } from './servedDisk.ts';
import { ConnectionEnded, SocketReader } from './socketReader.ts';
import type { TlsStarter } from './tls.ts';

const MIN_BLOCK_BYTES = 1;
const PREFERRED_BLOCK_BYTES = 64 * 1024;
/** Zeros after the reply to the oldest option, unless the client does without them. */
const PADDING_BYTES = 124;

/** Choices of a client. */
export interface Chosen {
  readonly served: ServedDisk;
  readonly hasStructuredReplies: boolean;
  /** The client may ask which ranges are zeros. */
  readonly hasAllocation: boolean;
}

/** A client after the first phase. TLS has a socket and a reader of its own. */
export interface Negotiated {
  readonly chosen: Chosen;
  readonly socket: Socket;
  readonly reader: SocketReader;
}

interface Option {
  readonly code: number;
  readonly data: Buffer;
}

/** Reads the fields of an option. A field beyond its end makes the option invalid. */
class OptionData {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  uint16(): number {
    return this.#take(2).readUInt16BE();
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  /** A text after its length. */
  text(): string {
    return this.#take(this.uint32()).toString('utf8');
  }

  end(): void {
    if (this.#at !== this.#data.length) throw new BadOption();
  }

  #take(lengthBytes: number): Buffer {
    const end = this.#at + lengthBytes;
    if (end > this.#data.length) throw new BadOption();
    const bytes = this.#data.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }
}

class BadOption extends Error {}

export class Negotiation {
  #socket: Socket;
  #reader: SocketReader;
  readonly #exports: readonly ServedDisk[];
  /** Starts TLS. While it is here, the client must ask for TLS before anything else. */
  #starter: TlsStarter | undefined;
  #isSecure = false;
  #hasStructuredReplies = false;
  /** Name of the export whose allocation the client asked for. */
  #allocationOf: string | undefined;

  /** @param starter - undefined for a server without TLS. */
  constructor(socket: Socket, exports: readonly ServedDisk[], starter: TlsStarter | undefined) {
    this.#socket = socket;
    this.#reader = new SocketReader(socket);
    this.#exports = exports;
    this.#starter = starter;
  }

  /**
   * @returns undefined when the client is done without an export
   * @throws {@link ConnectionEnded} when it breaks off, or does not keep to the protocol; {@link
   *   TlsRefused} when it has no certificate that is trusted
   */
  async run(): Promise<Negotiated | undefined> {
    const greeting = Buffer.alloc(18);
    greeting.writeBigUInt64BE(SERVER_MAGIC, 0);
    greeting.writeBigUInt64BE(OPTION_MAGIC, 8);
    const flags = HANDSHAKE_FLAGS.fixedNewstyle | HANDSHAKE_FLAGS.noZeroes;
    greeting.writeUInt16BE(flags, 16);
    this.#socket.write(greeting);
    const clientFlags = (await this.#reader.read(4)).readUInt32BE();
    if ((clientFlags & ~flags) !== 0) throw new ConnectionEnded();
    const needsPadding = (clientFlags & HANDSHAKE_FLAGS.noZeroes) === 0;
    for (;;) {
      const option = await this.#option();
      if (option.code === OPTION.abort) {
        this.#reply(option, OPTION_REPLY.ack);
        return undefined;
      }
      if (this.#starter) await this.#secure(option, this.#starter);
      else {
        const chosen =
          option.code === OPTION.exportName
            ? this.#chooseByName(option, needsPadding)
            : this.#answer(option);
        if (chosen) return { chosen, socket: this.#socket, reader: this.#reader };
      }
      await this.#drained();
    }
  }

  /** The only option before TLS is the one that starts it. */
  async #secure(option: Option, starter: TlsStarter): Promise<void> {
    if (option.code === OPTION.exportName) throw new ConnectionEnded();
    if (option.code !== OPTION.startTls) {
      this.#reply(option, OPTION_REPLY.tlsRequired);
      return;
    }
    if (option.data.length > 0) {
      this.#reply(option, OPTION_REPLY.invalid);
      return;
    }
    // Bytes that came before the answer are not encrypted. Nobody may put them into the session.
    if (!this.#reader.isEmpty) throw new ConnectionEnded();
    this.#reader.detach();
    this.#reply(option, OPTION_REPLY.ack);
    this.#socket = await starter(this.#socket);
    this.#reader = new SocketReader(this.#socket);
    this.#starter = undefined;
    this.#isSecure = true;
  }

  /** A client that sends options and reads no answers must not fill the memory. */
  async #drained(): Promise<void> {
    if (!this.#socket.writableNeedDrain) return;
    const closed = new AbortController();
    const onClose = (): void => closed.abort();
    this.#socket.once('close', onClose);
    await once(this.#socket, 'drain', { signal: closed.signal }).catch(() => {
      throw new ConnectionEnded();
    });
    this.#socket.off('close', onClose);
  }

  async #option(): Promise<Option> {
    const head = await this.#reader.read(16);
    if (head.readBigUInt64BE(0) !== OPTION_MAGIC) throw new ConnectionEnded();
    const [code, lengthBytes] = [head.readUInt32BE(8), head.readUInt32BE(12)];
    if (lengthBytes > MAX_OPTION_BYTES) {
      this.#reply({ code }, OPTION_REPLY.tooBig);
      throw new ConnectionEnded();
    }
    return { code, data: await this.#reader.read(lengthBytes) };
  }

  /** Answers an option. @returns what the client has chosen with it */
  #answer(option: Option): Chosen | undefined {
    try {
      if (option.code === OPTION.info || option.code === OPTION.go) {
        const served = this.#inform(option);
        return served ? this.#chosen(served) : undefined;
      }
      this.#answerOther(option);
    } catch (error) {
      if (!(error instanceof BadOption)) throw error;
      this.#reply(option, OPTION_REPLY.invalid);
    }
    return undefined;
  }

  #answerOther(option: Option): void {
    switch (option.code) {
      case OPTION.list:
        this.#list(option);
        break;
      case OPTION.structuredReply:
        new OptionData(option.data).end();
        this.#hasStructuredReplies = true;
        this.#reply(option, OPTION_REPLY.ack);
        break;
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        this.#metaContext(option);
        break;
      case OPTION.startTls:
        // TLS runs already, or there is none.
        this.#reply(option, this.#isSecure ? OPTION_REPLY.invalid : OPTION_REPLY.unsupported);
        break;
      default:
        this.#reply(option, OPTION_REPLY.unsupported);
    }
  }

  #list(option: Option): void {
    new OptionData(option.data).end();
    for (const { name, description } of this.#exports) {
      const bytes = Buffer.from(name);
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      this.#reply(option, OPTION_REPLY.server, length, bytes, Buffer.from(description));
    }
    this.#reply(option, OPTION_REPLY.ack);
  }

  #inform(option: Option): ServedDisk | undefined {
    const data = new OptionData(option.data);
    const name = data.text();
    const wanted = Array.from({ length: data.uint16() }, () => data.uint16());
    data.end();
    const served = this.#find(name);
    if (!served) {
      this.#reply(option, OPTION_REPLY.unknown, Buffer.from(`there is no export "${name}"`));
      return undefined;
    }
    this.#info(option, INFO.export, exportFacts(served));
    if (wanted.includes(INFO.name)) this.#info(option, INFO.name, Buffer.from(served.name));
    if (wanted.includes(INFO.description)) {
      this.#info(option, INFO.description, Buffer.from(served.description));
    }
    this.#info(option, INFO.blockSize, blockSizes());
    this.#reply(option, OPTION_REPLY.ack);
    return option.code === OPTION.go ? served : undefined;
  }

  #metaContext(option: Option): void {
    if (!this.#hasStructuredReplies) throw new BadOption();
    const data = new OptionData(option.data);
    const name = data.text();
    const queries = Array.from({ length: Math.min(data.uint32(), MAX_OPTION_BYTES) }, () =>
      data.text(),
    );
    data.end();
    const isSet = option.code === OPTION.setMetaContext;
    if (isSet) this.#allocationOf = undefined;
    const served = this.#find(name);
    if (!served) {
      this.#reply(option, OPTION_REPLY.unknown);
      return;
    }
    const listsAll = !isSet && (queries.length === 0 || queries.includes('base:'));
    if (listsAll || queries.includes(ALLOCATION_CONTEXT)) {
      if (isSet) this.#allocationOf = served.name;
      const id = Buffer.alloc(4);
      id.writeUInt32BE(isSet ? ALLOCATION_CONTEXT_ID : 0);
      this.#reply(option, OPTION_REPLY.metaContext, id, Buffer.from(ALLOCATION_CONTEXT));
    }
    this.#reply(option, OPTION_REPLY.ack);
  }

  /** The oldest way to choose: an unknown name ends the connection. */
  #chooseByName(option: Option, needsPadding: boolean): Chosen {
    const served = this.#find(option.data.toString('utf8'));
    if (!served) throw new ConnectionEnded();
    const padding = Buffer.alloc(needsPadding ? PADDING_BYTES : 0);
    this.#socket.write(Buffer.concat([exportFacts(served).subarray(2), padding]));
    return this.#chosen(served);
  }

  #chosen(served: ServedDisk): Chosen {
    const hasAllocation = this.#allocationOf === served.name;
    return { served, hasStructuredReplies: this.#hasStructuredReplies, hasAllocation };
  }

  /** An empty name means the first export. */
  #find(name: string): ServedDisk | undefined {
    if (name === '') return this.#exports[0];
    return this.#exports.find((one) => one.name === name);
  }

  #info(option: Option, kind: number, content: Buffer): void {
    if (kind === INFO.export || kind === INFO.blockSize) {
      this.#reply(option, OPTION_REPLY.info, content);
      return;
    }
    const head = Buffer.alloc(2);
    head.writeUInt16BE(kind);
    this.#reply(option, OPTION_REPLY.info, head, content);
  }

  #reply({ code }: Pick<Option, 'code'>, type: number, ...content: readonly Buffer[]): void {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
    head.writeUInt32BE(code, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(
      content.reduce((sum, { length }) => sum + length, 0),
      16,
    );
    this.#socket.write(Buffer.concat([head, ...content]));
  }
}

const {
  hasFlags,
  readOnly,
  sendFlush,
  sendFua,
  sendTrim,
  sendWriteZeroes,
  sendDf,
  canMultiConn,
  sendCache,
  sendFastZero,
} = TRANSMISSION_FLAGS;
const FLAGS_OF_ALL = hasFlags | sendDf | canMultiConn | sendCache;
const FLAGS_OF_WRITABLE = sendFlush | sendFua | sendTrim | sendWriteZeroes | sendFastZero;

/**
 * Kind, size and flags. All connections see the same bytes: there is one overlay, and a flush
 * covers the writes of all of them.
 */
function exportFacts({ sizeBytes, writer }: ServedDisk): Buffer {
  const facts = Buffer.alloc(12);
  facts.writeUInt16BE(INFO.export, 0);
  facts.writeBigUInt64BE(BigInt(sizeBytes), 2);
  facts.writeUInt16BE(FLAGS_OF_ALL | (writer ? FLAGS_OF_WRITABLE : readOnly), 10);
  return facts;
}

function blockSizes(): Buffer {
  const sizes = Buffer.alloc(14);
  sizes.writeUInt16BE(INFO.blockSize, 0);
  sizes.writeUInt32BE(MIN_BLOCK_BYTES, 2);
  sizes.writeUInt32BE(PREFERRED_BLOCK_BYTES, 6);
  sizes.writeUInt32BE(MAX_BLOCK_BYTES, 10);
  return sizes;
}
