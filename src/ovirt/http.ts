/** HTTP for the clients of engine and imageio: agents, bounded bodies, names of failures. */
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';
import { Agent, type Dispatcher, errors as undiciErrors } from 'undici';
import { errnoOf } from '../core/errors.ts';

function trustedCertificates(caPem: string | undefined): string[] {
  // Both kinds are needed: the engine may have a public certificate, but imageio has one of the
  // engine's internal CA.
  return caPem === undefined ? [...rootCertificates] : [...rootCertificates, caPem];
}

let newest: { readonly caPem: string | undefined; readonly context: SecureContext } | undefined;

/** Connections share it: parsing 150 certificates costs more than a handshake. */
export function secureContextFor(caPem: string | undefined): SecureContext {
  if (!newest || newest.caPem !== caPem) {
    newest = { caPem, context: createSecureContext({ ca: trustedCertificates(caPem) }) };
  }
  return newest.context;
}

export interface ConnectionOptions {
  readonly caPem: string | undefined;
  readonly connectMs: number;
  /** Most connections to one origin. */
  readonly connections: number;
  /** Longest wait for a piece of a body. */
  readonly bodyMs: number;
  /** Path of a unix socket to use instead of TCP. */
  readonly socketPath?: string | undefined;
}

export function createAgent(options: ConnectionOptions): Agent {
  const { caPem, connectMs, connections, bodyMs, socketPath } = options;
  return new Agent({
    connections,
    pipelining: 1,
    bodyTimeout: bodyMs,
    connect: {
      timeout: connectMs,
      secureContext: secureContextFor(caPem),
      // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
      rejectUnauthorized: true,
      ...(socketPath === undefined ? {} : { socketPath }),
    },
  });
}

/** Reads a body. @throws undici's ResponseExceededMaxSizeError above `maxBytes` */
export async function readBody(
  body: Dispatcher.ResponseData['body'],
  maxBytes: number,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) {
      body.destroy();
      throw new undiciErrors.ResponseExceededMaxSizeError(`body above ${maxBytes} B`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes);
}

const TLS_CODES =
  /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|INVALID_CA)/;
const NOT_SENT_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export interface NetworkFailure {
  /** Short name: an errno, an undici code or a TLS code. */
  readonly reason: string;
  readonly isTls: boolean;
  /** The request never reached the server. It may be repeated even if it changes state. */
  readonly isUnsent: boolean;
}

/** Names a failure of a request that got no complete answer. */
export function describeFailure(error: unknown): NetworkFailure {
  const inner = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
  const code = errnoOf(inner) ?? errnoOf((inner as { cause?: unknown } | undefined)?.cause);
  const reason = code ?? (error instanceof Error ? error.name : 'unknown failure');
  const isTls = TLS_CODES.test(reason);
  // ERR_SSL_ errors may also come after the handshake, when the request was sent.
  const isHandshake = isTls && !reason.startsWith('ERR_SSL_');
  return { reason, isTls, isUnsent: isHandshake || NOT_SENT_CODES.has(reason) };
}

/** True when the error is the abort of the caller's own signal. */
export function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error instanceof Error;
}
