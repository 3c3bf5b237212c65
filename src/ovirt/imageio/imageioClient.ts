/**
 * Image data over HTTP: one ticket, several connections. Ranges are read into memory of the caller; nothing is
 * retried here but by the caller, who knows the range.
 *
 * The URL is the credential: it never gets into an error, a log line or a report.
 *
 * @see ovirt-imageio docs/images.md
 */
import type { Agent, Dispatcher } from 'undici';
import { z } from 'zod';
import { type ErrorCode, TransferError } from '../../core/errors.ts';
import type { ExtentList } from './extentList.ts';
import { parseExtents } from './extentParser.ts';
import { readBody } from '../http.ts';
import { checkContentRange, type Range, RangeBody } from './rangeAnswer.ts';
import { RangePool } from './rangePool.ts';
import {
  askOptions,
  badAnswer,
  type ImageioOptions,
  type ImageRequest,
  makeAgent,
  MAX_TEXT_BYTES,
  networkError,
  parseImageUrl,
  parseJson,
  refusalOf,
  send,
  type ServerOptions,
} from './imageioTransport.ts';
import type { OvirtTimings } from '../timings.ts';

/** qemu-nbd serves 8 clients; the next one would hang without an error. */
const MAX_CONNECTIONS = 8;
/** Of a download: the list of extents may take minutes, and the ticket is pinged meanwhile. */
const AGENT_CONNECTIONS = 2;
/** Below this limit ranges share the connections of the agent. */
const MIN_APART = 4;

const checksumAnswer = z.object({
  algorithm: z.string(),
  block_size: z.number().int().positive(),
  checksum: z.string().regex(/^[0-9a-f]+$/i),
});

export interface ImageChecksum {
  readonly algorithm: string;
  readonly blockSizeBytes: number;
  /** Hexadecimal, lower case. */
  readonly checksum: string;
}

export class ImageioClient {
  readonly features: ReadonlySet<string>;
  /** Data requests that may run at once. */
  readonly connections: number;
  /** Advertised by a daemon that runs on its host's socket as well. */
  readonly unixSocket: string | undefined;
  readonly #agent: Agent;
  /** Undefined where the server takes few connections, and for uploads: then the agent has them all. */
  readonly #ranges: RangePool | undefined;
  readonly #origin: string;
  /** Secret. */
  readonly #path: string;
  readonly #timings: OvirtTimings;
  #lastActivityAtMs = performance.now();

  private constructor(
    agent: Agent,
    ranges: RangePool | undefined,
    url: URL,
    options: ImageioOptions,
    server: ServerOptions,
  ) {
    this.#agent = agent;
    this.#ranges = ranges;
    this.#origin = url.origin;
    this.#path = url.pathname;
    this.#timings = options.timings;
    this.features = new Set(server.features);
    this.unixSocket = server.unix_socket;
    const most = ranges?.limit ?? maxRequests(options, server);
    this.connections = Math.min(options.connections, most);
  }

  /**
   * Asks what the server can do. Servers that do not answer OPTIONS get one connection and no features.
   *
   * @throws {@link TransferError} `TRANSFER_UNREACHABLE`, `TRANSFER_TLS_UNTRUSTED`, `TRANSFER_TICKET_GONE`
   */
  static async open(
    secretUrl: string,
    options: ImageioOptions,
    signal?: AbortSignal,
  ): Promise<ImageioClient> {
    const url = parseImageUrl(secretUrl, options.socketPath !== undefined);
    const server = await askOptions(url, options, signal);
    const most = Math.min(maxRequests(options, server), MAX_CONNECTIONS);
    if (options.direction === 'upload' || most < MIN_APART) {
      const agent = makeAgent(options, Math.min(options.connections + 1, most));
      return new ImageioClient(agent, undefined, url, options, server);
    }
    const ranges = makeRanges(
      options,
      url,
      Math.min(options.connections, most - AGENT_CONNECTIONS),
    );
    return new ImageioClient(makeAgent(options, AGENT_CONNECTIONS), ranges, url, options, server);
  }

  /** Milliseconds since the last finished request. */
  get idleMs(): number {
    return performance.now() - this.#lastActivityAtMs;
  }

  /** Host and port, without the ticket. */
  get origin(): string {
    return this.#origin;
  }

  /**
   * All extents of the image. The server collects them before it answers, which may take minutes.
   *
   * @throws {@link TransferError} `TRANSFER_NO_CHANGE_MAP` when the ticket has no dirty extents,
   *   `TRANSFER_BAD_EXTENTS`
   */
  async extents(context: 'zero' | 'dirty', signal?: AbortSignal): Promise<ExtentList> {
    const response = await this.#request({
      method: 'GET',
      suffix: '/extents',
      query: { context },
      headMs: this.#timings.imageioExtentsMs,
      signal,
    });
    if (response.statusCode !== 200) throw await this.#refusal(response, `${context} extents`);
    return await this.#receive(`${context} extents`, signal, () =>
      parseExtents(response.body as AsyncIterable<Uint8Array>, context),
    );
  }

  /**
   * Reads as many bytes from `offsetBytes` on as the targets hold together. Their memory stays the caller's and is not
   * written to after the call has ended.
   *
   * @returns bytes read; fewer than asked when the server sent less.
   */
  async readInto(
    targets: readonly Uint8Array[],
    offsetBytes: number,
    signal?: AbortSignal,
  ): Promise<number> {
    const lengthBytes = targets.reduce((sum, target) => sum + target.length, 0);
    const range: Range = { offsetBytes, lengthBytes, targets };
    const what = `read at ${offsetBytes} B`;
    if (!this.#ranges) return await this.#readByAgent(range, what, signal);
    const ranges = this.#ranges;
    const answer = await this.#receive(what, signal, () => ranges.fetch(range, what, signal));
    if (!answer.isRange) throw this.#refusalOf(answer.status, what, answer.text);
    return answer.receivedBytes;
  }

  async #readByAgent(range: Range, what: string, signal: AbortSignal | undefined): Promise<number> {
    const { offsetBytes, lengthBytes } = range;
    const response = await this.#request({
      method: 'GET',
      headers: { range: `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}` },
      headMs: this.#timings.imageioReadMs,
      signal,
    });
    if (response.statusCode !== 206) throw await this.#refusal(response, what);
    const taken = new RangeBody(range, what);
    return await this.#receive(what, signal, async () => {
      checkContentRange(String(response.headers['content-range']), range, what);
      for await (const piece of response.body as AsyncIterable<Buffer>) taken.take(piece);
      return taken.receivedBytes;
    }).finally(() => response.body.destroy());
  }

  /** Writes bytes; they are durable after {@link flush}. */
  async write(bytes: Uint8Array, offsetBytes: number, signal?: AbortSignal): Promise<void> {
    const end = offsetBytes + bytes.length - 1;
    await this.#change(`write at ${offsetBytes} B`, {
      method: 'PUT',
      query: { flush: 'n' },
      headers: {
        'content-length': String(bytes.length),
        'content-range': `bytes ${offsetBytes}-${end}/*`,
        'content-type': 'application/octet-stream',
      },
      body: bytes,
      headMs: this.#timings.imageioReadMs,
      signal,
    });
  }

  async zero(offsetBytes: number, lengthBytes: number, signal?: AbortSignal): Promise<void> {
    const order = { op: 'zero', offset: offsetBytes, size: lengthBytes, flush: false };
    await this.#patch(`zero at ${offsetBytes} B`, order, signal);
  }

  async flush(signal?: AbortSignal): Promise<void> {
    await this.#patch('flush', { op: 'flush' }, signal);
  }

  /** Checksum of the whole image, computed by the server, which reads everything. */
  async checksum(algorithm: string, signal?: AbortSignal): Promise<ImageChecksum> {
    const response = await this.#request({
      method: 'GET',
      suffix: '/checksum',
      query: { algorithm },
      headMs: this.#timings.imageioExtentsMs,
      signal,
    });
    if (response.statusCode !== 200) throw await this.#refusal(response, 'checksum');
    const text = await this.#receive('checksum', signal, () =>
      readBody(response.body, MAX_TEXT_BYTES),
    );
    const parsed = checksumAnswer.safeParse(parseJson(text));
    if (!parsed.success) throw badAnswer('checksum: the answer is not understood');
    const { block_size: blockSizeBytes, checksum } = parsed.data;
    return { algorithm: parsed.data.algorithm, blockSizeBytes, checksum: checksum.toLowerCase() };
  }

  /** Tells the server that the ticket is in use. */
  async ping(signal?: AbortSignal): Promise<void> {
    const headMs = this.#timings.imageioReadMs;
    const response = await this.#request({ method: 'OPTIONS', headMs, signal });
    await response.body.dump();
    this.#lastActivityAtMs = performance.now();
  }

  /** Closes all connections at once; requests under way fail. */
  async close(): Promise<void> {
    this.#ranges?.close();
    await this.#agent.destroy();
  }

  async #patch(what: string, order: object, signal: AbortSignal | undefined): Promise<void> {
    await this.#change(what, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
      headMs: this.#timings.imageioZeroMs,
      signal,
    });
  }

  async #change(what: string, request: ImageRequest): Promise<void> {
    const response = await this.#request(request, 'TRANSFER_WRITE_FAILED', what);
    if (response.statusCode !== 200) {
      throw await this.#refusal(response, what, 'TRANSFER_WRITE_FAILED');
    }
    await response.body.dump();
    this.#lastActivityAtMs = performance.now();
  }

  async #request(
    request: ImageRequest,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
    what: string = request.method,
  ): Promise<Dispatcher.ResponseData> {
    return await send(this.#agent, this.#origin, this.#path, request, code, what);
  }

  /** Takes a body; failures in its middle are failures of the network. */
  async #receive<T>(
    what: string,
    signal: AbortSignal | undefined,
    take: () => Promise<T>,
  ): Promise<T> {
    try {
      const taken = await take();
      this.#lastActivityAtMs = performance.now();
      return taken;
    } catch (error) {
      if (error instanceof TransferError) throw error;
      throw networkError(error, this.#origin, what, 'TRANSFER_READ_FAILED', signal);
    }
  }

  async #refusal(
    response: Dispatcher.ResponseData,
    what: string,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
  ): Promise<TransferError> {
    const text = await readBody(response.body, MAX_TEXT_BYTES).catch(() => Buffer.alloc(0));
    return this.#refusalOf(response.statusCode, what, text.toString('utf8'), code);
  }

  /** What a server says may hold the ticket. */
  #refusalOf(
    status: number,
    what: string,
    text: string,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
  ): TransferError {
    const shown = text.replaceAll(this.#path.split('/').at(-1) ?? '', '…');
    return refusalOf(status, what, shown.split('\n')[0]?.slice(0, 200) ?? '', code);
  }
}

function maxRequests(options: ImageioOptions, server: ServerOptions): number {
  return options.direction === 'download' ? server.max_readers : server.max_writers;
}

function makeRanges(options: ImageioOptions, url: URL, limit: number): RangePool {
  const { caPem, timings, socketPath } = options;
  const { connectMs, imageioReadMs: readMs } = timings;
  return new RangePool({ url, caPem, connectMs, readMs, socketPath }, limit);
}
