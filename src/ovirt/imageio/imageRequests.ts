/**
 * Requests for one image: with its ticket, one answer each, failures as errors.
 *
 * The URL is the credential. It never gets into an error, a log line or a report.
 */
import type { Agent, Dispatcher } from 'undici';
import { BackupError, type ErrorCode, type TransferError } from '../../core/errors.ts';
import { readBody } from '../http.ts';
import { MAX_TEXT_BYTES } from './badAnswer.ts';
import { type ImageRequest, networkError, refusalOf, send } from './imageioTransport.ts';

export class ImageRequests {
  /** Scheme, host and port, without the ticket. */
  readonly #origin: string;
  readonly #agent: Agent;
  /** Secret. */
  readonly #path: string;
  #lastActivityAtMs = performance.now();

  /** Owns `agent` from now on; {@link close} destroys it. */
  constructor(agent: Agent, url: URL) {
    this.#agent = agent;
    this.#origin = url.origin;
    this.#path = url.pathname;
  }

  /** Milliseconds since the last finished request. */
  get idleMs(): number {
    return performance.now() - this.#lastActivityAtMs;
  }

  /** Sends a request and waits for the head of its answer. The caller must take the body. */
  async send(
    request: ImageRequest,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
    what: string = request.method,
  ): Promise<Dispatcher.ResponseData> {
    return await send(this.#agent, this.#origin, this.#path, request, code, what);
  }

  /** Changes the image. @throws {@link TransferError} `TRANSFER_WRITE_FAILED` … */
  async change(what: string, request: ImageRequest): Promise<void> {
    const response = await this.send(request, 'TRANSFER_WRITE_FAILED', what);
    if (response.statusCode !== 200) {
      throw await this.refusal(response, what, 'TRANSFER_WRITE_FAILED');
    }
    await this.discard(response);
  }

  async discard(response: Dispatcher.ResponseData): Promise<void> {
    await response.body.dump();
    this.#lastActivityAtMs = performance.now();
  }

  /** Runs `take`, which takes a body. A failure in the middle of it is one of the network. */
  async receive<T>(
    what: string,
    signal: AbortSignal | undefined,
    take: () => Promise<T>,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
  ): Promise<T> {
    try {
      const taken = await take();
      this.#lastActivityAtMs = performance.now();
      return taken;
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw networkError(error, this.#origin, what, code, signal);
    }
  }

  /** The error for an answer with an unexpected status; takes its body. */
  async refusal(
    response: Dispatcher.ResponseData,
    what: string,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
  ): Promise<TransferError> {
    const text = await readBody(response.body, MAX_TEXT_BYTES).catch(() => Buffer.alloc(0));
    return this.refusalOf(response.statusCode, what, text.toString('utf8'), code);
  }

  /** As {@link refusal}, with the body as `text`. The ticket is cut out: servers may repeat it. */
  refusalOf(
    status: number,
    what: string,
    text: string,
    code: ErrorCode = 'TRANSFER_READ_FAILED',
  ): TransferError {
    const shown = text.replaceAll(this.#path.split('/').at(-1) ?? '', '…');
    return refusalOf(status, what, shown.split('\n')[0]?.slice(0, 200) ?? '', code);
  }

  /** Closes all connections at once; requests under way fail. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}
