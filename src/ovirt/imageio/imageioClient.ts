/**
 * Image data over HTTP: one ticket, several connections. Ranges are read into memory of the caller.
 * Nothing is retried here; the caller retries, because it knows the range.
 *
 * @see ovirt-imageio docs/images.md
 */
import { z } from 'zod';
import type { ExtentList } from './extentList.ts';
import { parseExtents } from './extentParser.ts';
import { readBody } from '../http.ts';
import { checkContentRange, type Range, RangeBody } from './rangeAnswer.ts';
import { badAnswer, MAX_TEXT_BYTES } from './badAnswer.ts';
import { ImageRanges, type MoveOptions, type ReadRange, type ReadTarget } from './imageRanges.ts';
import { ImageRequests } from './imageRequests.ts';
import {
  askOptions,
  type ImageioOptions,
  makeAgent,
  parseImageUrl,
  parseJson,
  type ServerOptions,
} from './imageioTransport.ts';
import type { OvirtTimings } from '../timings.ts';

/** qemu-nbd serves 8 clients. A ninth would hang without an error. */
const MAX_CONNECTIONS = 8;
/** For all requests except ranges: one for a slow one, such as extents, one for pings meanwhile. */
const AGENT_CONNECTIONS = 2;
/** A server that takes fewer requests than this gets no connections for ranges alone. */
const MIN_APART = 4;
const OK = 200;

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
  /** Data requests that may be under way at once. */
  readonly connections: number;
  /** Path of the daemon's unix socket on its host, where the server names one. */
  readonly unixSocket: string | undefined;
  readonly #requests: ImageRequests;
  /** Undefined for servers that take few requests: `#requests` then moves ranges. */
  readonly #ranges: ImageRanges | undefined;
  readonly #timings: OvirtTimings;

  private constructor(
    requests: ImageRequests,
    ranges: ImageRanges | undefined,
    options: ImageioOptions,
    server: ServerOptions,
  ) {
    this.#requests = requests;
    this.#ranges = ranges;
    this.#timings = options.timings;
    this.features = new Set(server.features);
    this.unixSocket = server.unix_socket;
    const most = ranges?.limit ?? maxRequests(options, server);
    this.connections = Math.min(options.connections, most);
  }

  /**
   * Asks for the abilities of the server and opens a client. A server that does not answer OPTIONS
   * gets one connection and no features. The caller closes the client.
   *
   * @throws {@link TransferError} `TRANSFER_UNREACHABLE`, `TRANSFER_TLS_UNTRUSTED`,
   *   `TRANSFER_TICKET_GONE`, `TRANSFER_BAD_ANSWER`
   */
  static async open(
    secretUrl: string,
    options: ImageioOptions,
    signal?: AbortSignal,
  ): Promise<ImageioClient> {
    const url = parseImageUrl(secretUrl, options.socketPath !== undefined);
    const server = await askOptions(url, options, signal);
    const most = Math.min(maxRequests(options, server), MAX_CONNECTIONS);
    const areShared = most < MIN_APART;
    const count = areShared ? Math.min(options.connections + 1, most) : AGENT_CONNECTIONS;
    const ranges = areShared
      ? undefined
      : makeRanges(options, url, Math.min(options.connections, most - AGENT_CONNECTIONS));
    const requests = new ImageRequests(makeAgent(options, count), url);
    return new ImageioClient(requests, ranges, options, server);
  }

  /** Milliseconds since the last finished request. */
  get idleMs(): number {
    return this.#requests.idleMs;
  }

  /**
   * All extents of the image. The server collects them before it answers, which may take minutes.
   *
   * @throws {@link TransferError} `TRANSFER_NO_CHANGE_MAP` when the ticket has no dirty extents,
   *   `TRANSFER_BAD_EXTENTS`
   */
  async extents(context: 'zero' | 'dirty', signal?: AbortSignal): Promise<ExtentList> {
    const what = `${context} extents`;
    const response = await this.#requests.send({
      method: 'GET',
      suffix: '/extents',
      query: { context },
      headMs: this.#timings.imageioExtentsMs,
      signal,
    });
    if (response.statusCode !== 200) throw await this.#requests.refusal(response, what);
    return await this.#requests.receive(what, signal, () =>
      parseExtents(response.body as AsyncIterable<Uint8Array>, context),
    );
  }

  /**
   * Fills the targets, one after the other, with the bytes from `offsetBytes` on. Their memory is
   * not written to after the call has ended.
   */
  async read(
    targets: readonly ReadTarget[],
    offsetBytes: number,
    options: MoveOptions = {},
  ): Promise<ReadRange> {
    const { signal } = options;
    const lengthBytes = targets.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const what = `read at ${offsetBytes} B`;
    const range: Range = { offsetBytes, lengthBytes, targets: targets.map(({ bytes }) => bytes) };
    const ranges = this.#ranges;
    if (!ranges) {
      return { receivedBytes: await this.#readByAgent(range, what, signal), fingerprints: [] };
    }
    const answer = await this.#requests.receive(what, signal, () =>
      ranges.read(targets, range, what, options),
    );
    if (!answer.isRange) throw this.#requests.refusalOf(answer.status, what, answer.text);
    return answer;
  }

  async #readByAgent(range: Range, what: string, signal: AbortSignal | undefined): Promise<number> {
    const { offsetBytes, lengthBytes } = range;
    const response = await this.#requests.send({
      method: 'GET',
      headers: { range: `bytes=${offsetBytes}-${offsetBytes + lengthBytes - 1}` },
      headMs: this.#timings.imageioReadMs,
      signal,
    });
    if (response.statusCode !== 206) throw await this.#requests.refusal(response, what);
    const taken = new RangeBody(range, what);
    return await this.#requests
      .receive(what, signal, async () => {
        checkContentRange(String(response.headers['content-range']), range, what);
        for await (const piece of response.body as AsyncIterable<Buffer>) taken.take(piece);
        return taken.receivedBytes;
      })
      .finally(() => response.body.destroy());
  }

  /** Writes bytes. They are durable after {@link flush}. */
  async write(bytes: Uint8Array, offsetBytes: number, options: MoveOptions = {}): Promise<void> {
    const { signal } = options;
    const what = `write at ${offsetBytes} B`;
    const ranges = this.#ranges;
    if (!ranges) return await this.#writeByAgent(bytes, offsetBytes, signal);
    const answer = await this.#requests.receive(
      what,
      signal,
      () => ranges.write(bytes, offsetBytes, what, options),
      'TRANSFER_WRITE_FAILED',
    );
    if (answer.status === OK) return;
    throw this.#requests.refusalOf(answer.status, what, answer.text, 'TRANSFER_WRITE_FAILED');
  }

  async #writeByAgent(
    bytes: Uint8Array,
    offsetBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const end = offsetBytes + bytes.length - 1;
    await this.#requests.change(`write at ${offsetBytes} B`, {
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

  /** Checksum of the whole image. The server reads all of it, which may take minutes. */
  async checksum(algorithm: string, signal?: AbortSignal): Promise<ImageChecksum> {
    const response = await this.#requests.send({
      method: 'GET',
      suffix: '/checksum',
      query: { algorithm },
      headMs: this.#timings.imageioExtentsMs,
      signal,
    });
    if (response.statusCode !== 200) throw await this.#requests.refusal(response, 'checksum');
    const text = await this.#requests.receive('checksum', signal, () =>
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
    const response = await this.#requests.send({ method: 'OPTIONS', headMs, signal });
    await this.#requests.discard(response);
  }

  /** Closes all connections at once; requests under way fail. */
  async close(): Promise<void> {
    await Promise.all([this.#ranges?.close(), this.#requests.close()]);
  }

  async #patch(what: string, order: object, signal: AbortSignal | undefined): Promise<void> {
    await this.#requests.change(what, {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
      headMs: this.#timings.imageioZeroMs,
      signal,
    });
  }
}

function maxRequests(options: ImageioOptions, server: ServerOptions): number {
  return options.direction === 'download' ? server.max_readers : server.max_writers;
}

function makeRanges(options: ImageioOptions, url: URL, limit: number): ImageRanges {
  const { caPem, timings, socketPath } = options;
  const { connectMs, imageioReadMs: readMs } = timings;
  return new ImageRanges({ url, caPem, connectMs, readMs, socketPath }, limit);
}
