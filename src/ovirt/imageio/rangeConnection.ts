/**
 * A connection to imageio that reads and writes ranges, one request after the other.
 *
 * It is no undici agent: here TLS decrypts into the memory of the caller. That takes less than half
 * the CPU time per byte of a stream with a new buffer per piece.
 */
import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { ConnectionFailure } from '../networkFailure.ts';
import { secureContextFor } from '../secureContext.ts';
import { type Range, RangeAnswer } from './rangeAnswer.ts';

/** Room for heads and refusals: four TLS records of 16 KiB. */
const READ_BYTES = 64 * 1024;
/** Bytes of a body that are sent at a time. */
const PIECE_BYTES = 256 * 1024;
/** HTTP status from which on a request was refused. */
const FIRST_REFUSAL = 400;

export interface RangeConnectionOptions {
  readonly url: URL;
  readonly caPem: string | undefined;
  readonly connectMs: number;
  /** Longest wait for an answer, and for each piece of it. */
  readonly readMs: number;
  readonly socketPath?: string | undefined;
}

interface Exchange {
  readonly answer: RangeAnswer;
  readonly resolve: (answer: RangeAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface Reading {
  /** Room for the next bytes. */
  readonly room: () => Uint8Array;
  /** So many bytes came into the last room. */
  readonly onBytes: (countBytes: number) => void;
}

/** @see node:net socket.connect, option `onread`; TLS sockets have it as well. */
function openSocket(options: RangeConnectionOptions, { room, onBytes }: Reading): Socket {
  const { url, caPem, socketPath } = options;
  const onread = {
    buffer: room,
    callback: (countBytes: number) => {
      onBytes(countBytes);
      return true;
    },
  };
  if (socketPath !== undefined) return connectTcp({ path: socketPath, onread });
  const host = url.hostname.replaceAll(/^\[|\]$/g, '');
  const tls = {
    host,
    port: Number(url.port || 443),
    secureContext: secureContextFor(caPem),
    // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    ...(isIP(host) ? {} : { servername: host }),
    onread,
  };
  return connectTls(tls);
}

export class RangeConnection {
  readonly #options: RangeConnectionOptions;
  readonly #socket: Socket;
  readonly #opened: Promise<void>;
  readonly #headRoom: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Memory of the caller that gets the next bytes; otherwise they come into the room for heads. */
  #bodyRoom: Uint8Array | undefined;
  #exchange: Exchange | undefined;
  #idleSinceMs = performance.now();

  constructor(options: RangeConnectionOptions) {
    this.#options = options;
    const onBytes = (countBytes: number): void => this.#onBytes(countBytes);
    this.#socket = openSocket(options, { room: () => this.#nextRoom(), onBytes });
    this.#opened = this.#open();
    // The first fetch throws the error; until then nobody waits for the promise.
    this.#opened.catch(() => {});
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('end', () => this.destroy());
    this.#socket.on('close', () => this.destroy());
  }

  /** Milliseconds since the end of the last answer; infinite after the end of the connection. */
  get idleMs(): number {
    return this.#socket.destroyed ? Infinity : performance.now() - this.#idleSinceMs;
  }

  /**
   * Asks for a range and takes the answer. Only one call of {@link fetch} or {@link put} may be
   * under way at a time. The memory of the range is not written to after the call has ended.
   *
   * @throws {@link TransferError} `TRANSFER_BAD_ANSWER`; errors of sockets; {@link
   *   ConnectionFailure}. The connection has then ended.
   */
  async fetch(range: Range, what: string, signal: AbortSignal | undefined): Promise<RangeAnswer> {
    const { offsetBytes, lengthBytes } = range;
    const head = `${this.#head('GET')}range: bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}\r\n\r\n`;
    return await this.#guarded(signal, async () => {
      const answer = this.#answerOf(new RangeAnswer(range, what));
      this.#socket.write(head);
      return await answer;
    });
  }

  /**
   * Writes bytes at an offset of the image and takes the answer. The bytes are not read after the
   * call has ended.
   *
   * @throws as {@link fetch}
   */
  async put(
    bytes: Uint8Array,
    offsetBytes: number,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<RangeAnswer> {
    const head =
      `${this.#head('PUT', '?flush=n')}content-type: application/octet-stream\r\n` +
      `content-length: ${bytes.length}\r\n` +
      `content-range: bytes ${offsetBytes}-${offsetBytes + bytes.length - 1}/*\r\n\r\n`;
    return await this.#guarded(signal, async () => {
      const nothing: Range = { offsetBytes, lengthBytes: 0, targets: [] };
      const answer = this.#answerOf(new RangeAnswer(nothing, what));
      this.#socket.write(head);
      const isSent = await this.#send(bytes, answer);
      const answered = await answer;
      if (!isSent && answered.status < FIRST_REFUSAL) {
        throw new ConnectionFailure(
          'UND_ERR_SOCKET',
          'the server answered before it had all bytes',
        );
      }
      return answered;
    });
  }

  /**
   * Sends a body in pieces, and stops when the answer has come: a server that refuses a request
   * closes without reading the body, and what is still sent then makes the refusal get lost.
   *
   * @returns true when all bytes are sent. Otherwise the connection has ended. In both cases the
   *   socket reads no byte any more.
   */
  async #send(bytes: Uint8Array, answer: Promise<RangeAnswer>): Promise<boolean> {
    const isOver = answer.then(
      () => true,
      () => true,
    );
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const sent = new Promise<void>((resolve) => {
        this.#socket.write(bytes.subarray(at, at + PIECE_BYTES), () => resolve());
      });
      const isEarly = await Promise.race([sent.then(() => false), isOver]);
      if (!isEarly) continue;
      // Undefined after a failure. The caller of `answer` gets its error.
      const early = await answer.catch(() => undefined);
      const isLast = at + PIECE_BYTES >= bytes.length;
      // A server that answers well has all bytes: only the news of the last write is missing.
      const isTaken = isLast && early !== undefined && early.status < FIRST_REFUSAL;
      if (!isTaken) this.destroy();
      await sent;
      return isTaken;
    }
    return true;
  }

  /** Ends the connection. A request under way fails with `error`. */
  destroy(error: Error = new ConnectionFailure('UND_ERR_SOCKET', 'other side closed')): void {
    this.#socket.destroy(error);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    exchange?.reject(error);
  }

  async #open(): Promise<void> {
    const { connectMs, readMs, socketPath } = this.#options;
    const socket = this.#socket;
    const event = socketPath === undefined ? 'secureConnect' : 'connect';
    const timer = setTimeout(() => {
      const text = `no connection in ${connectMs} ms`;
      socket.destroy(new ConnectionFailure('UND_ERR_CONNECT_TIMEOUT', text));
    }, connectMs);
    try {
      await once(socket, event);
    } finally {
      clearTimeout(timer);
    }
    socket.setNoDelay(true);
    socket.setTimeout(readMs, () => this.#onSilence());
  }

  #head(method: string, query = ''): string {
    const { url } = this.#options;
    return `${method} ${url.pathname}${query} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\n`;
  }

  /** Runs one exchange. An abort, an error and the wish of the server end the connection. */
  async #guarded(
    signal: AbortSignal | undefined,
    exchange: () => Promise<RangeAnswer>,
  ): Promise<RangeAnswer> {
    signal?.throwIfAborted();
    const onAbort = (): void => this.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#opened;
      const answer = await exchange();
      if (!answer.keepsConnection) this.destroy();
      return answer;
    } catch (error) {
      this.destroy();
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#idleSinceMs = performance.now();
    }
  }

  async #answerOf(answer: RangeAnswer): Promise<RangeAnswer> {
    return await new Promise((resolve, reject) => {
      this.#exchange = { answer, resolve, reject };
    });
  }

  #nextRoom(): Uint8Array {
    this.#bodyRoom = this.#exchange?.answer.room;
    return this.#bodyRoom ?? this.#headRoom;
  }

  #onBytes(countBytes: number): void {
    const exchange = this.#exchange;
    // Bytes without a request.
    if (!exchange) return this.destroy();
    const { answer } = exchange;
    try {
      const isEnd = this.#bodyRoom
        ? answer.filled(countBytes)
        : answer.push(this.#headRoom.subarray(0, countBytes));
      if (!isEnd) return;
      this.#exchange = undefined;
      exchange.resolve(answer);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onSilence(): void {
    if (!this.#exchange) return;
    const isHead = this.#exchange.answer.status === 0;
    const code = isHead ? 'UND_ERR_HEADERS_TIMEOUT' : 'UND_ERR_BODY_TIMEOUT';
    this.destroy(new ConnectionFailure(code, 'the server is silent'));
  }
}
