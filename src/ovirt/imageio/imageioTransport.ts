/** Single requests to imageio, and the errors they end with. Messages never hold the ticket. */
import type { Agent, Dispatcher } from 'undici';
import { z } from 'zod';
import { type ErrorCode, TransferError } from '../../core/errors.ts';
import { plainReason } from '../../core/errorWords.ts';
import { createAgent, readBody } from '../http.ts';
import { describeFailure, isAbort } from '../networkFailure.ts';
import { proxyHint } from '../proxyVariables.ts';
import type { OvirtTimings } from '../timings.ts';
import { badAnswer, MAX_TEXT_BYTES } from './badAnswer.ts';

const RETRYABLE_STATUS = new Set([429, 500, 502, 503, 504]);

export interface ImageioOptions {
  readonly caPem: string | undefined;
  readonly timings: OvirtTimings;
  /** Most data requests at once. Pings and lists of extents use further connections. */
  readonly connections: number;
  readonly direction: 'download' | 'upload';
  /** Path of a unix socket to use instead of the URL's host. */
  readonly socketPath?: string | undefined;
}

export interface ImageRequest {
  readonly method: 'GET' | 'OPTIONS' | 'PUT' | 'PATCH';
  /** Added to the path of the image. */
  readonly suffix?: string;
  readonly query?: Record<string, string>;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array | string;
  /** Wait for the head of the answer. */
  readonly headMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Abilities of a server. */
export interface ServerOptions {
  readonly features: readonly string[];
  readonly max_readers: number;
  readonly max_writers: number;
  readonly unix_socket?: string | undefined;
}

const optionsAnswer: z.ZodType<ServerOptions> = z.object({
  features: z.array(z.string()).default([]),
  max_readers: z.number().int().positive().default(1),
  max_writers: z.number().int().positive().default(1),
  unix_socket: z.string().optional(),
});

export function makeAgent(options: ImageioOptions, connections: number): Agent {
  const { caPem, timings, socketPath } = options;
  const { connectMs, imageioReadMs: bodyMs } = timings;
  return createAgent({ caPem, connectMs, connections, bodyMs, socketPath });
}

/** Asks for the abilities, on a separate connection: the answer tells how many there may be. */
export async function askOptions(
  url: URL,
  options: ImageioOptions,
  signal: AbortSignal | undefined,
): Promise<ServerOptions> {
  const agent = makeAgent(options, 1);
  try {
    const headMs = options.timings.imageioReadMs;
    const request: ImageRequest = { method: 'OPTIONS', headMs, signal };
    const response = await send(
      agent,
      url.origin,
      url.pathname,
      request,
      'TRANSFER_READ_FAILED',
      'open',
    );
    const body = await readBody(response.body, MAX_TEXT_BYTES).catch((error: unknown) => {
      throw networkError(error, url.origin, 'open', 'TRANSFER_READ_FAILED', signal);
    });
    if (response.statusCode === 200) {
      const parsed = optionsAnswer.safeParse(parseJson(body));
      if (!parsed.success) throw badAnswer('open: the answer to OPTIONS is not understood');
      return parsed.data;
    }
    if (response.statusCode === 405 || response.statusCode === 204) return optionsAnswer.parse({});
    throw refusalOf(response.statusCode, 'open', '', 'TRANSFER_READ_FAILED');
  } finally {
    await agent.destroy();
  }
}

export async function send(
  agent: Agent,
  origin: string,
  path: string,
  request: ImageRequest,
  code: ErrorCode,
  what: string,
): Promise<Dispatcher.ResponseData> {
  const { method, suffix = '', query, headers, body, headMs, signal } = request;
  try {
    return await agent.request({
      origin,
      path: path + suffix,
      method,
      headersTimeout: headMs,
      ...(query ? { query } : {}),
      ...(headers ? { headers } : {}),
      ...(body === undefined ? {} : { body }),
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    throw networkError(error, origin, what, code, signal);
  }
}

export function parseImageUrl(secretUrl: string, isLocalSocket: boolean): URL {
  let url: URL;
  try {
    url = new URL(secretUrl);
  } catch {
    throw badAnswer('the engine gave no valid transfer URL');
  }
  // The ticket is the credential. Without TLS it may go only to a unix socket of this host.
  if (url.protocol !== 'https:' && !isLocalSocket) {
    throw badAnswer(`the transfer URL has protocol ${url.protocol}`);
  }
  return url;
}

/** Undefined for bytes that are no JSON. */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** The error for a request that failed on the network. @throws the reason of an aborted signal */
export function networkError(
  error: unknown,
  origin: string,
  what: string,
  code: ErrorCode,
  signal: AbortSignal | undefined,
): TransferError {
  if (isAbort(error, signal)) signal?.throwIfAborted();
  const { reason, isTls, isUnsent } = describeFailure(error);
  if (isTls) {
    return new TransferError('TRANSFER_TLS_UNTRUSTED', `${what} at ${origin}: ${reason}`, {
      hint: 'hosts and the image proxy are signed by the internal CA of the engine: give it with --ca-file, OVIRT_CAFILE or caFile of a job file, also when the engine itself has a public certificate',
    });
  }
  return new TransferError(
    isUnsent ? 'TRANSFER_UNREACHABLE' : code,
    `${what} at ${origin}: ${plainReason(reason)}`,
    {
      retryable: true,
      hint: `check the network to the host (TCP 54322) or the engine (TCP 54323), and ovirt-imageio there${proxyHint()}`,
      details: { reason },
    },
  );
}

/** The error for an answer with an unexpected status. */
export function refusalOf(
  status: number,
  what: string,
  text: string,
  code: ErrorCode,
): TransferError {
  const message = `${what}: HTTP ${status}${text ? `: ${text}` : ''}`;
  const details = { httpStatus: status };
  if (status === 403) {
    return new TransferError('TRANSFER_TICKET_GONE', message, {
      details,
      hint: 'the transfer was cancelled or has expired; the event list of the engine tells more',
    });
  }
  if (status === 404 && what === 'dirty extents') {
    return new TransferError('TRANSFER_NO_CHANGE_MAP', message, { details });
  }
  const retryable = RETRYABLE_STATUS.has(status);
  return new TransferError(code, message, {
    details,
    retryable,
    hint: 'the log of ovirt-imageio on the host tells more (/var/log/ovirt-imageio/daemon.log)',
  });
}
