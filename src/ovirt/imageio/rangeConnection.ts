/**
 * A connection to imageio for ranges, one request after the other.
 *
 * It is no undici agent: here TLS decrypts into one buffer that is used again and again. That takes
 * half the CPU time per byte of a stream with a new buffer per piece.
 */
import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { errors as undiciErrors } from 'undici';
import { secureContextFor } from '../http.ts';
import { type Range, RangeAnswer } from './rangeAnswer.ts';

/** Bytes of the buffer of a socket: four TLS records of 16 KiB. */
const READ_BYTES = 64 * 1024;

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

/** @see node:net socket.connect, option `onread`; TLS sockets have it as well. */
function openSocket(options: RangeConnectionOptions, onBytes: (bytes: Buffer) => void): Socket {
  const { url, caPem, socketPath } = options;
  const onread = {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback: (countBytes: number, buffer: Uint8Array) => {
      onBytes(Buffer.from(buffer.buffer, buffer.byteOffset, countBytes));
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
  #exchange: Exchange | undefined;
  #idleSinceMs = performance.now();

  constructor(options: RangeConnectionOptions) {
    this.#options = options;
    this.#socket = openSocket(options, (bytes) => this.#onBytes(bytes));
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
   * Asks for a range and takes the answer. Only one call may be under way at a time. The memory of
   * the range is not written to after the call has ended.
   *
   * @throws {@link TransferError} `TRANSFER_BAD_ANSWER`; errors of sockets; undici's errors for
   *   time-outs. The connection has then ended.
   */
  async fetch(range: Range, what: string, signal: AbortSignal | undefined): Promise<RangeAnswer> {
    signal?.throwIfAborted();
    const onAbort = (): void => this.destroy(signal?.reason as Error);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await this.#opened;
      const answer = await this.#exchangeOf(range, what);
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

  /** Ends the connection. A request under way fails with `error`. */
  destroy(error: Error = new undiciErrors.SocketError('other side closed')): void {
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
      socket.destroy(new undiciErrors.ConnectTimeoutError(`no connection in ${connectMs} ms`));
    }, connectMs);
    try {
      await once(socket, event);
    } finally {
      clearTimeout(timer);
    }
    socket.setNoDelay(true);
    socket.setTimeout(readMs, () => this.#onSilence());
  }

  async #exchangeOf(range: Range, what: string): Promise<RangeAnswer> {
    const { offsetBytes, lengthBytes } = range;
    const { url } = this.#options;
    return await new Promise((resolve, reject) => {
      this.#exchange = { answer: new RangeAnswer(range, what), resolve, reject };
      this.#socket.write(
        `GET ${url.pathname} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\n` +
          `range: bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}\r\n\r\n`,
      );
    });
  }

  #onBytes(bytes: Buffer): void {
    const exchange = this.#exchange;
    // Bytes without a request.
    if (!exchange) return this.destroy();
    try {
      if (!exchange.answer.push(bytes)) return;
      this.#exchange = undefined;
      exchange.resolve(exchange.answer);
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #onSilence(): void {
    if (!this.#exchange) return;
    const { HeadersTimeoutError, BodyTimeoutError } = undiciErrors;
    const isHead = this.#exchange.answer.status === 0;
    this.destroy(isHead ? new HeadersTimeoutError() : new BodyTimeoutError());
  }
}
